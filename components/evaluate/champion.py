"""The champion: its model, the data that it was trained on, and the rules about differences of the data."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from components.documents import read_document
from components.errors import UserError
from components.evaluate import rules
from components.evaluate.held_out import HeldOut, Slice
from components.evaluate.rules import split_mismatch
from components.metrics import NOT_TRAINED_ON_BY_CHAMPION
from components.verdict import ComparedChampion, Comparison, Rule
from components.vocabulary.data_summary import DataSummary, HashSample, id_hashes, row_hashes
from components.vocabulary.vocabulary import Vocabulary

if TYPE_CHECKING:
    from components.train.scoring import ScoringModel

Array = npt.NDArray[Any]


_NO_CHAMPION = ComparedChampion(exists=False)

# Opens a model, or raises whatever a broken one does.
Opener = Callable[[], "ScoringModel"]


@dataclass(frozen=True)
class DataChange:
    """Differences of the known ratings from those that the champion was trained on.

    Attributes:
      rows_share: the number of ratings here / there.
      mean_shift: the absolute difference of the mean ratings, in stars.
      histogram_distance: the share of ratings that would have to be others for the two histograms to agree
        (total variation distance), 0 to 1.
      new_users, new_movies: the share of users, and of movies, with ratings here and none there, 0 to 1.
      scale: the width of the rating scale here, in stars.
    """

    rows_share: float
    mean_shift: float
    histogram_distance: float
    new_users: float
    new_movies: float
    scale: float

    @classmethod
    def between(cls, champion: DataSummary, here: DataSummary, rating_scale: tuple[float, float]) -> Self:
        """Compares two summaries."""
        return cls(
            rows_share=here.ratings / champion.ratings if champion.ratings else float("inf"),
            mean_shift=abs(here.rating_mean - champion.rating_mean),
            histogram_distance=_distance(champion.rating_histogram, here.rating_histogram),
            new_users=_new(champion.users, here.users),
            new_movies=_new(champion.movies, here.movies),
            scale=rating_scale[1] - rating_scale[0],
        )


@dataclass(frozen=True)
class Overlap:
    """Held-out pairs that a model was trained on, by the sample of its training rows.

    Attributes:
      covered: the number of pairs that the sample covers, so that it is known whether they were trained on.
      trained: the number of those that the model was trained on.
      not_trained_on: bool [p], the covered pairs that it was not trained on.
    """

    covered: int
    trained: int
    not_trained_on: Array

    @classmethod
    def of(cls, trained: DataSummary, held_out: HeldOut) -> Self:
        """Looks the held-out pairs up in the sample of training rows."""
        users, movies = id_hashes(held_out.user_ids), id_hashes(held_out.movie_ids)
        rows = row_hashes(users[held_out.user_of_pair], movies[held_out.pairs.movies])
        covered, held = trained.rows.covers(rows), trained.rows.holds(rows)
        return cls(int(np.count_nonzero(covered)), int(np.count_nonzero(held)), covered & ~held)

    @property
    def share(self) -> float:
        """The estimated share of the held-out pairs that the model was trained on, 0 to 1."""
        return self.trained / self.covered if self.covered else 0.0


def _distance(one: dict[str, int], other: dict[str, int]) -> float:
    sizes = max(sum(one.values()), 1), max(sum(other.values()), 1)
    levels = one.keys() | other.keys()
    return sum(abs(one.get(level, 0) / sizes[0] - other.get(level, 0) / sizes[1]) for level in levels) / 2


def _new(there: HashSample, here: HashSample) -> float:
    """Estimates the share of the ids here that are not there, from those that both samples cover."""
    covered = here.hashes[there.covers(here.hashes)]
    return float(np.mean(~there.holds(covered))) if len(covered) else 0.0


_CHAMPION_FILE = "champion.json"
_MODEL_FILE = "model.json"
_MODEL = "model"
SAVED_MODEL = "saved_model"
# If none of at least so many test rows are among the champion's training rows, hardly any of the others are.
_ENOUGH_COVERED = 1000


@dataclass(frozen=True)
class Champion:
    """The model that is served now.

    Attributes:
      record: its entry in the verdict.
      model: its Model directory; None if there is none.
    """

    record: ComparedChampion
    model: Path | None

    @classmethod
    def load(cls, path: str) -> Self:
        """Reads the artifact or Model at `path`; "" stands for no champion.

        Raises:
          UserError: if it is neither an artifact of the step `champion` nor a Model.
        """
        if not path:
            return cls(_NO_CHAMPION, None)
        directory, marker = Path(path), Path(path) / _CHAMPION_FILE
        if (directory / SAVED_MODEL).is_dir():
            return cls(ComparedChampion(exists=True, version=directory.name), directory)
        if not marker.is_file():
            raise UserError(
                f"--champion {path} holds neither {_CHAMPION_FILE} nor {SAVED_MODEL}/; "
                "name what `twotower champion` wrote, or a Model"
            )
        record = read_document(marker, ComparedChampion, "name what `twotower champion` wrote, or a Model")
        return cls(record, directory / _MODEL if record.exists else None)


@dataclass(frozen=True)
class ChampionComparison:
    """Conditions under which the challenger is compared with the champion.

    Attributes:
      record: the champion's entry in the verdict.
      opener: opens the champion; None if there is no comparison.
      absence: why there is no comparison; "" if there is one.
      part: the only rows to compare on, where the champion was trained on others of the test rows; else None.
      data: the differences from the champion's data; None if they are not known.
      no_data: why they are not known.
    """

    record: ComparedChampion = _NO_CHAMPION
    opener: Opener | None = None
    absence: str = ""
    part: Slice | None = None
    data: DataChange | None = None
    no_data: str = ""


def comparison(
    champion: Champion, held_out: HeldOut, names: Vocabulary, split: dict[str, Any], ignored: bool
) -> ChampionComparison:
    """Determines on which rows of `held_out` the champion can be compared with, if at all.

    A champion that says which rows it was trained on is compared on those that it was not; one that does
    not say, only if its data were split as those at hand.

    Args:
      names: users and movies of the data at hand.
      split: how the data at hand were split.
      ignored: whether the champion is to be left out.
    """
    record = champion.record
    if champion.model is None:
        return ChampionComparison(record, absence="There is no champion yet.")
    if ignored:
        return ChampionComparison(record, absence="The champion was left out, as asked.")
    theirs = DataSummary.load(champion.model)
    mismatch = split_mismatch(split_of(champion.model), split)
    opener = partial(open_model, champion.model)
    if theirs is None:
        return ChampionComparison(
            record,
            None if mismatch else opener,
            mismatch,
            no_data="The champion does not say what its data were like.",
        )
    overlap = Overlap.of(theirs, held_out)
    here = DataSummary.of(held_out.known, names.user_ids, names.movie_ids, held_out.rating_scale)
    data = DataChange.between(theirs, here, held_out.rating_scale)
    enough = overlap.trained > 0 or overlap.covered >= _ENOUGH_COVERED
    part = Slice(NOT_TRAINED_ON_BY_CHAMPION, overlap.not_trained_on) if overlap.trained else None
    absence = "" if enough else mismatch
    return ChampionComparison(record, None if absence else opener, absence, part, data)


def open_model(directory: Path) -> "ScoringModel":
    """Opens the scoring model of a Model directory."""
    from components.train.scoring import ScoringModel

    return ScoringModel.load(directory)


def split_of(model: Path) -> dict[str, Any] | None:
    """Reads the split of the data of a model; None if it does not state it."""
    record = read_json(model / _MODEL_FILE)
    split = record.get("split") if isinstance(record, dict) else None
    return split if isinstance(split, dict) else None


def read_json(file: Path) -> Any:
    """Reads a JSON file; None if it cannot be read."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


@dataclass(frozen=True)
class DataBounds:
    """How far the data may be from the champion's.

    Wide, since data may well grow and change; a file that was cut off or mixed up is far beyond.
    """

    # Least number of ratings, as a share of the champion's.
    min_rows_share: float = 0.8
    # Greatest shift of the mean rating, as a share of the rating scale's width.
    max_mean_shift: float = 0.05
    # Greatest share of the ratings in which the histograms differ.
    max_histogram_distance: float = 0.1
    # Greatest shares of the users and of the rated movies that the champion had no rating of.
    max_new_users: float = 0.9
    max_new_movies: float = 0.5


# Metric, the bound's field, comparison and sentence, by field of `DataChange`.
_DATA_RULES: dict[str, tuple[str, str, Comparison, str]] = {
    "rows_share": (
        "rows_share",
        "min_rows_share",
        ">=",
        "There are {value:.1%} as many known ratings as the champion was trained on, and at least "
        "{bound:.0%} are expected",
    ),
    "mean_shift": (
        "rating_mean_shift",
        "max_mean_shift",
        "<=",
        "The mean rating is {value:.3f} stars from that of the champion's data, and at most {bound:.3f} are "
        "expected",
    ),
    "histogram_distance": (
        "rating_histogram_distance",
        "max_histogram_distance",
        "<=",
        "The histogram of ratings differs from that of the champion's data in {value:.1%} of the ratings, "
        "and at most {bound:.0%} are expected",
    ),
    "new_users": (
        "new_users_share",
        "max_new_users",
        "<=",
        "{value:.1%} of the users have no rating in the champion's data, and at most {bound:.0%} are "
        "expected",
    ),
    "new_movies": (
        "new_movies_share",
        "max_new_movies",
        "<=",
        "{value:.1%} of the rated movies have no rating in the champion's data, and at most {bound:.0%} are "
        "expected",
    ),
}


def data_rules(data: DataChange | None, absence: str, bounds: DataBounds) -> Iterator[Rule]:
    """Holds `data` to the bounds; all rules are skipped where it is None, because of `absence`."""
    for field, (metric, bound_field, comparison, why) in _DATA_RULES.items():
        name = f"data_{metric}"
        if data is None:
            yield rules.skipped(name, metric, absence, comparison=comparison)
            continue
        value, bound = getattr(data, field), getattr(bounds, bound_field)
        if field == "mean_shift":
            bound *= data.scale
        sentence = why.format(value=value, bound=bound)
        yield rules.within(name, metric, value, bound, comparison, sentence)
