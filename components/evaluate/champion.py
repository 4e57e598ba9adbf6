"""The champion: its model, the data that it was trained on, and the conditions of a comparison with it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec
import numpy as np
import numpy.typing as npt

from components.documents import Document, read_document
from components.errors import UserError
from components.evaluate.held_out import HeldOut, Slice
from components.evaluate.verdict import ComparedChampion
from components.ingest.dataset import SplitSettings
from components.ingest.settings import IMPLICIT, STARS, Feedback
from components.metrics import NOT_TRAINED_ON_BY_CHAMPION
from components.registry.champion_log import BEST_MODEL, CHAMPION_FILE, MODEL, ServedChampion
from components.saved_models import SAVED_MODEL
from components.train.artifact import MODEL_FILE
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
    """Differences of the known ratings from those that the champion was trained on."""

    rows_share: float  # the number of ratings here / there
    rating_mean_shift: float  # the absolute difference of the mean ratings, in stars
    # Total variation distance, 0 to 1: the share of ratings to change for the two histograms to agree.
    rating_histogram_distance: float
    new_users_share: float  # the share of users with ratings here that have none there, 0 to 1
    new_movies_share: float  # the same of movies
    scale: float  # the width of the rating scale here, in stars

    @classmethod
    def between(cls, champion: DataSummary, here: DataSummary, rating_scale: tuple[float, float]) -> Self:
        """Compares two summaries."""
        theirs, ours = champion.figures, here.figures
        return cls(
            rows_share=ours.ratings / theirs.ratings if theirs.ratings else float("inf"),
            rating_mean_shift=abs(ours.rating_mean - theirs.rating_mean),
            rating_histogram_distance=_distance(theirs.rating_histogram, ours.rating_histogram),
            new_users_share=_new(champion.users, here.users),
            new_movies_share=_new(champion.movies, here.movies),
            scale=rating_scale[1] - rating_scale[0],
        )


@dataclass(frozen=True)
class Overlap:
    """Held-out pairs that a model was trained on, by the sample of its training rows."""

    covered: int  # the number of pairs of which the sample knows whether they were trained on
    trained: int  # the number of those that the model was trained on
    not_trained_on: Array  # bool [p], the covered pairs that it was not trained on

    @classmethod
    def of(cls, trained: DataSummary, held_out: HeldOut) -> Self:
        """Looks the held-out pairs up in the sample of training rows."""
        users, movies = id_hashes(held_out.user_ids), id_hashes(held_out.movie_ids)
        rows = row_hashes(users[held_out.user_of_pair], movies[held_out.pairs.movies])
        covered, held = trained.rows.covers(rows), trained.rows.holds(rows)
        return cls(int(np.count_nonzero(covered)), int(np.count_nonzero(held)), covered & ~held)

    def shows(self) -> tuple[bool, bool]:
        """Returns whether the model was trained on some of the pairs, and whether the sample tells so."""
        return self.trained > 0, self.trained > 0 or self.covered >= _ENOUGH_COVERED


def _distance(one: dict[str, int], other: dict[str, int]) -> float:
    sizes = max(sum(one.values()), 1), max(sum(other.values()), 1)
    levels = one.keys() | other.keys()
    return sum(abs(one.get(level, 0) / sizes[0] - other.get(level, 0) / sizes[1]) for level in levels) / 2


def _new(there: HashSample, here: HashSample) -> float:
    """Estimates the share of the ids here that are not there, from those that both samples cover."""
    covered = here.hashes[there.covers(here.hashes)]
    return float(np.mean(~there.holds(covered))) if len(covered) else 0.0


# If none of at least so many test rows are among the champion's training rows, hardly any of the others are.
_ENOUGH_COVERED = 1000


@dataclass(frozen=True)
class Champion:
    """The model that is served now."""

    record: ComparedChampion  # its entry in the verdict
    model: Path | None  # its Model directory; None if there is none, or it is to be left out
    best: "Champion | None" = None  # the best of the champions before it, if that is ahead of it

    @classmethod
    def load(cls, path: str) -> Self:
        """Reads the artifact or Model at `path`; "" for no champion. Raises `UserError` if it is neither."""
        if not path:
            return cls(_NO_CHAMPION, None)
        directory, marker = Path(path), Path(path) / CHAMPION_FILE
        cure = "name what `twotower champion` wrote, or a Model"
        if (directory / SAVED_MODEL).is_dir():
            return cls(ComparedChampion(exists=True, version=directory.name), directory)
        if not marker.is_file():
            raise UserError(f"--champion {path} holds neither {CHAMPION_FILE} nor {SAVED_MODEL}/; {cure}")
        served = read_document(marker, ServedChampion, cure)
        record = ComparedChampion(
            exists=served.exists, version=served.version, sequence=served.sequence, ignored=served.ignored
        )
        past = ComparedChampion(exists=True, version=served.best_version, sequence=served.best_sequence)
        return cls(
            record,
            directory / MODEL if served.exists and not served.ignored else None,
            cls(past, directory / BEST_MODEL) if served.best_version else None,
        )


@dataclass(frozen=True)
class ChampionComparison:
    """Conditions under which the challenger is compared with the champion."""

    record: ComparedChampion = _NO_CHAMPION  # the champion's entry in the verdict
    opener: Opener | None = None  # opens the champion; None if there is no comparison
    absence: str = ""  # why there is no comparison; "" if there is one
    part: Slice | None = None  # the only rows to compare on, where the champion was trained on the others
    data: DataChange | None = None  # the differences from the champion's data; None if they are not known
    no_data: str = ""  # why they are not known


@dataclass(frozen=True)
class PastComparison:
    """The best of the champions before the present one, and whether it can be scored on the test rows."""

    record: ComparedChampion = _NO_CHAMPION  # its entry in the verdict
    opener: Opener | None = None  # opens its model; None if there is no comparison
    absence: str = "There is no earlier champion to compare with."

    @classmethod
    def of(cls, champion: Champion, held_out: HeldOut, ignored: bool) -> Self:
        """Compares with `champion.best`, if that was trained on none of the rows of `held_out`."""
        best = champion.best
        if ignored or champion.record.ignored:
            return cls(absence="The champion is ignored, and those before it are.")
        if best is None or best.model is None:
            ahead = "None of the ten champions before is ahead of the present one."
            return cls(absence=ahead) if champion.record.sequence else cls()
        theirs = DataSummary.load(best.model)
        trained, enough = (False, False) if theirs is None else Overlap.of(theirs, held_out).shows()
        absence = "" if enough else split_mismatch(split_of(best.model), held_out.split)
        if trained:
            absence = "The best of the champions before was trained on some of the test rows."
        absence = feedback_mismatch(_data_of(best.model).feedback, held_out.feedback) or absence
        return cls(best.record, None if absence else partial(open_model, best.model), absence)


NO_PAST = PastComparison()


def comparison(champion: Champion, held_out: HeldOut, names: Vocabulary, ignored: bool) -> ChampionComparison:
    """Determines on which rows of `held_out` the champion can be compared with, if at all.

    A champion that says which rows it was trained on is compared on those that it was not; one that does not
    say, only if its data were split as those at hand. `names` are the users and movies of the data at hand;
    `ignored` leaves the champion out.
    """
    record = champion.record
    if record.exists and (ignored or record.ignored):
        why = record.ignored or "It was left out, as asked."
        return ChampionComparison(
            msgspec.structs.replace(record, ignored=why), absence=f"The champion is ignored. {why}"
        )
    if champion.model is None:
        return ChampionComparison(record, absence="There is no champion yet.")
    if other := feedback_mismatch(_data_of(champion.model).feedback, held_out.feedback):
        return ChampionComparison(record, absence=other, no_data=other)
    theirs = DataSummary.load(champion.model)
    mismatch = split_mismatch(split_of(champion.model), held_out.split)
    opener = partial(open_model, champion.model)
    if theirs is None:
        no_data = "The champion does not say what its data were like."
        return ChampionComparison(record, None if mismatch else opener, mismatch, no_data=no_data)
    overlap = Overlap.of(theirs, held_out)
    here = DataSummary.of(held_out.known, names.user_ids, names.movie_ids, held_out.rating_scale)
    data = DataChange.between(theirs, here, held_out.rating_scale)
    trained, enough = overlap.shows()
    part = Slice(NOT_TRAINED_ON_BY_CHAMPION, overlap.not_trained_on) if trained else None
    absence = "" if enough else mismatch
    return ChampionComparison(record, None if absence else opener, absence, part, data)


def split_mismatch(champion: SplitSettings | None, challenger: SplitSettings) -> str:
    """States why the champion may have trained on these test rows; "" if nothing suggests it.

    `champion` is the split that the champion was trained with, None if it is not known; `challenger` that of
    the data at hand.
    """
    if champion is None:
        return "The champion does not say how its data were split: it may have trained on these test rows."
    differing = [
        f"{key.replace('_', ' ')} {getattr(champion, key)}, here {getattr(challenger, key)}"
        for key in SplitSettings.__struct_fields__
        if getattr(champion, key) != getattr(challenger, key)
    ]
    if not differing:
        return ""
    return f"The champion had another split ({'; '.join(differing)}): it may have trained on these test rows."


def open_model(directory: Path) -> "ScoringModel":
    """Opens the scoring model of a Model directory."""
    from components.train.scoring import ScoringModel

    return ScoringModel.load(directory)


class _DataOfModel(Document):
    """All that is read of a champion's model.json: a model of an earlier release may lack other fields."""

    split: SplitSettings | None = None
    feedback: Feedback = STARS


def _data_of(model: Path) -> _DataOfModel:
    try:
        return read_document(model / MODEL_FILE, _DataOfModel)
    except UserError:
        return _DataOfModel()


def split_of(model: Path) -> SplitSettings | None:
    """Reads the split of the data of a model; None if it does not state it."""
    return _data_of(model).split


def feedback_mismatch(champion: Feedback, challenger: Feedback) -> str:
    """States that two models learned from different kinds of feedback; "" if from one."""
    of = {STARS: "from stars", IMPLICIT: "from feedback without stars"}
    return (
        "" if champion == challenger else f"The champion learned {of[champion]}, this one {of[challenger]}."
    )
