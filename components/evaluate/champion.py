"""The champion: its model, the data it was trained on, and rules about differences of the data."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from components.errors import UserError
from components.evaluate import rules
from components.evaluate.held_out import HeldOut
from components.evaluate.names import UNREAD_BY_CHAMPION
from components.evaluate.rules import Rule, split_mismatch
from components.evaluate.slices import Slice
from components.vocabulary.data_summary import DataSummary, HashSample, id_hashes, row_hashes
from components.vocabulary.vocabulary import Vocabulary

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class DataChange:
    """The known ratings at hand beside those of the champion.

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
    """Which held-out pairs a model was trained on, as far as the sample of its training rows tells.

    Attributes:
      told: how many pairs it can be told of.
      trained: on how many of those the model was trained.
      unread: bool [p], the pairs that it was certainly not trained on.
    """

    told: int
    trained: int
    unread: Array

    @classmethod
    def of(cls, trained: DataSummary, held_out: HeldOut) -> Self:
        """Looks for the held-out pairs in the sample of training rows."""
        users, movies = id_hashes(held_out.user_ids), id_hashes(held_out.movie_ids)
        rows = row_hashes(users[held_out.user_of_pair], movies[held_out.pairs.movies])
        told, held = trained.rows.covers(rows), trained.rows.holds(rows)
        return cls(int(np.count_nonzero(told)), int(np.count_nonzero(held)), told & ~held)

    @property
    def share(self) -> float:
        """The estimated share of the held-out pairs that the model was trained on, 0 to 1."""
        return self.trained / self.told if self.told else 0.0


def _distance(one: dict[str, int], other: dict[str, int]) -> float:
    sizes = max(sum(one.values()), 1), max(sum(other.values()), 1)
    levels = one.keys() | other.keys()
    return sum(abs(one.get(level, 0) / sizes[0] - other.get(level, 0) / sizes[1]) for level in levels) / 2


def _new(there: HashSample, here: HashSample) -> float:
    """The share of what is here and not there; of those that both samples tell of."""
    told = here.hashes[there.covers(here.hashes)]
    return float(np.mean(~there.holds(told))) if len(told) else 0.0


_CHAMPION_FILE = "champion.json"
_MODEL_FILE = "model.json"
_MODEL = "model"
SAVED_MODEL = "saved_model"
# If none of so many test rows are among the champion's training rows, hardly any of the others are.
_ENOUGH_TOLD = 1000


@dataclass(frozen=True)
class Champion:
    """The model that is served now.

    Attributes:
      version: its id; "" if there is none.
      sequence: its place in the champion log; 0 if there is none, or it does not come from a registry.
      model: its Model directory; None if there is none.
    """

    version: str
    sequence: int
    model: Path | None

    @classmethod
    def load(cls, path: str) -> Self:
        """Reads what lies at `path`; "" stands for no champion.

        Raises:
          UserError: if it is neither an artifact of the step `champion` nor a Model.
        """
        if not path:
            return cls("", 0, None)
        directory = Path(path)
        if (directory / SAVED_MODEL).is_dir():
            return cls(directory.name, 0, directory)
        record = read_json(directory / _CHAMPION_FILE)
        if not isinstance(record, dict):
            raise UserError(
                f"--champion {path} holds neither {_CHAMPION_FILE} nor {SAVED_MODEL}/; "
                "name what `twotower champion` wrote, or a Model"
            )
        if not record.get("exists"):
            return cls("", 0, None)
        return cls(str(record.get("version", "")), int(record.get("sequence", 0)), directory / _MODEL)

    def as_json(self) -> dict[str, Any]:
        """Its entry in the verdict."""
        return {"exists": self.model is not None, "version": self.version, "sequence": self.sequence}


@dataclass(frozen=True)
class Comparison:
    """Whether, and on which rows, the champion can be compared with.

    Attributes:
      absence: why there is no comparison; "" if there is one.
      overlap: of the test rows with the champion's training rows; None if it does not say what these were.
      data: how the data differ from those that the champion was trained on; None if it does not say.
      no_data: why that is not known.
    """

    absence: str = ""
    overlap: Overlap | None = None
    data: DataChange | None = None
    no_data: str = ""

    @property
    def part(self) -> Slice | None:
        """The rows on which alone to compare, if the champion was trained on others of them."""
        if self.overlap is None or self.overlap.trained == 0:
            return None
        return Slice(UNREAD_BY_CHAMPION, self.overlap.unread)


def comparison(
    champion: Champion, held_out: HeldOut, names: Vocabulary, split: dict[str, Any], ignored: bool
) -> Comparison:
    """Finds out how the champion can be compared with on `held_out`.

    A champion that says which rows it was trained on is compared on those that it was not; one that does
    not say, only if its data were split as those at hand.

    Args:
      names: users and movies of the data at hand.
      split: how the data at hand were split.
      ignored: whether the champion is to be left out.
    """
    if champion.model is None:
        return Comparison("There is no champion yet.")
    if ignored:
        return Comparison("The champion was left out, as asked.")
    theirs = DataSummary.load(champion.model)
    mismatch = split_mismatch(split_of(champion.model), split)
    if theirs is None:
        return Comparison(mismatch, no_data="The champion does not say what its data were like.")
    overlap = Overlap.of(theirs, held_out)
    here = DataSummary.of(held_out.known, names.user_ids, names.movie_ids, held_out.rating_scale)
    data = DataChange.between(theirs, here, held_out.rating_scale)
    enough = overlap.trained > 0 or overlap.told >= _ENOUGH_TOLD
    return Comparison("" if enough else mismatch, overlap, data)


def split_of(model: Path) -> dict[str, Any] | None:
    """How the data of a model were split; None if it does not say."""
    record = read_json(model / _MODEL_FILE)
    split = record.get("split") if isinstance(record, dict) else None
    return split if isinstance(split, dict) else None


def read_json(file: Path) -> Any:
    """What a JSON file holds; None if it cannot be read."""
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


_COMPARISONS = {
    "rows_share": ">=",
    "rating_mean_shift": "<=",
    "rating_histogram_distance": "<=",
    "new_users_share": "<=",
    "new_movies_share": "<=",
}


def data_rules(data: DataChange | None, absence: str, bounds: DataBounds) -> Iterator[Rule]:
    """Holds `data` to the bounds; all rules are skipped where it is None, because of `absence`."""
    if data is None:
        for metric, comparison in _COMPARISONS.items():
            yield rules.skipped(_name(metric), metric, absence, comparison=comparison)
        return
    mean_bound = bounds.max_mean_shift * data.scale
    for metric, value, bound, why in (
        (
            "rows_share",
            data.rows_share,
            bounds.min_rows_share,
            f"There are {data.rows_share:.1%} as many known ratings as the champion was trained on, and at "
            f"least {bounds.min_rows_share:.0%} are expected",
        ),
        (
            "rating_mean_shift",
            data.mean_shift,
            mean_bound,
            f"The mean rating is {data.mean_shift:.3f} stars from that of the champion's data, and at most "
            f"{mean_bound:.3f} are expected",
        ),
        (
            "rating_histogram_distance",
            data.histogram_distance,
            bounds.max_histogram_distance,
            f"The histogram of ratings differs from that of the champion's data in "
            f"{data.histogram_distance:.1%} of the ratings, and at most {bounds.max_histogram_distance:.0%} "
            "are expected",
        ),
        (
            "new_users_share",
            data.new_users,
            bounds.max_new_users,
            f"{data.new_users:.1%} of the users have no rating in the champion's data, and at most "
            f"{bounds.max_new_users:.0%} are expected",
        ),
        (
            "new_movies_share",
            data.new_movies,
            bounds.max_new_movies,
            f"{data.new_movies:.1%} of the rated movies have no rating in the champion's data, and at most "
            f"{bounds.max_new_movies:.0%} are expected",
        ),
    ):
        yield rules.within(_name(metric), metric, value, bound, _COMPARISONS[metric], why)


def _name(metric: str) -> str:
    return f"data_{metric}"
