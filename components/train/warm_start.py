"""Warm start: decides whether a training may begin at the champion's weights."""

import dataclasses
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from components.errors import UserError
from components.ingest.dataset import SplitSettings
from components.progress import log
from components.storage import open_storage, version_key
from components.train.artifact import WEIGHTS_FILE, TrainingStart
from components.train.settings import AUTO, Settings, TrainRequest, current_names
from components.train.training_data import RatedCatalogue
from components.train.weights import MatchedWeights, Weights
from components.vocabulary.data_summary import (
    SAMPLES_FILE,
    SUMMARY_FILE,
    USERS_FILE,
    DataSummary,
    Hashes,
    id_hashes,
    row_hashes,
)
from components.vocabulary.interactions import Interactions, UserRatings, chunks
from components.vocabulary.vocabulary import Vocabulary

Array = npt.NDArray[Any]

# What a warm training has only a part of, unless it is given.
_SHORTENED = ("steps", "warmup_steps", "sweeps", "validations")
_SHORTER = 3
# A warm chain needs no time to find the posterior, but its draws must not lie too close to each other.
_LEAST_SWEEPS = 40
# Settings that decide the shapes of the variables, or what they are trained for.
_SHAPES = ("dimension", "hidden_units", "ensemble_size", "rating_head", "rating_weights", "retrieval_loss")
_USERS_AT_ONCE = 1 << 14


class Candidate(NamedTuple):
    """A published version whose weights a training may begin at, if they suit."""

    registry: str = ""
    version: str = ""  # "" for none
    allowed: bool = True  # by --warm-start
    given: Collection[str] = ()  # settings that are given and not the preset's
    refused: str = ""  # a sentence, if it must not be begun at; else ""

    @classmethod
    def of(cls, request: TrainRequest) -> "Candidate":
        """Returns the candidate that the inputs of the step `train` name."""
        allowed = request.warm_start == AUTO
        given = {*current_names(request.overrides())}
        return cls(request.registry, request.champion_version, allowed, given, request.cold_start)


NO_CANDIDATE = Candidate()


@dataclass(frozen=True)
class WarmStart:
    """Weights of a published version, matched with the data at hand."""

    version: str
    weights: MatchedWeights
    read: DataSummary  # says which rows they have read
    may_validate: Array  # bool [users], the users none of whose validation rows they have read

    def shorten(self, settings: Settings, given: Collection[str]) -> Settings:
        """Returns `settings` with a third of the steps, and of the sweeps or 40, except for those `given`."""
        shorter = {name: -(-getattr(settings, name) // _SHORTER) for name in _SHORTENED}
        shorter["sweeps"] = min(max(shorter["sweeps"], _LEAST_SWEEPS), settings.sweeps)
        return dataclasses.replace(settings, **{name: shorter[name] for name in shorter.keys() - set(given)})


class _ColdStartError(Exception):
    """Raised with a sentence that says why a training does not begin at the candidate's weights."""


def find_start(
    candidate: Candidate,
    settings: Settings,
    rows: Interactions,
    names: Vocabulary,
    catalogue: RatedCatalogue,
) -> tuple[WarmStart | None, TrainingStart]:
    """Returns where the training begins, None for a cold start, and the record of it; logs it in one line.

    A weights file that is broken is a reason for a cold start and no error: a retraining does not need it.
    Raises `UserError` if there is no such version, or the registry cannot be read.
    """
    try:
        start = _warm_start(candidate, settings, rows, names, catalogue)
    except _ColdStartError as reason:
        log(f"cold start: {reason}")
        return None, TrainingStart(why=str(reason))
    known = int(np.count_nonzero(start.weights.rows >= 0))
    why = (
        f"{known:,} of {len(start.weights.rows):,} rated movies have weights in the version {start.version}."
    )
    log(f"warm start: {why}")
    return start, TrainingStart(version=start.version, why=why)


def _warm_start(
    candidate: Candidate,
    settings: Settings,
    rows: Interactions,
    names: Vocabulary,
    catalogue: RatedCatalogue,
) -> WarmStart:
    if not candidate.allowed:
        raise _ColdStartError("It was asked for (--warm-start never).")
    if not candidate.version:
        raise _ColdStartError("There is no champion to begin at.")
    if candidate.refused:
        raise _ColdStartError(candidate.refused)
    weights, read = _fetch(candidate)
    _check_split(weights.header.split, rows.split_settings)
    for name in _SHAPES:
        theirs, ours = weights.header.settings.get(name), getattr(settings, name)
        if theirs != ours:
            raise _ColdStartError(f"The {name} of the version {candidate.version} is {theirs}, here {ours}.")
    users, movies = id_hashes(names.user_ids), id_hashes(names.movie_ids)
    read_of_test = np.count_nonzero(_find_read(rows.split("test"), read, users, movies))
    if read_of_test:
        raise _ColdStartError(
            f"The version {candidate.version} has read test rows of these data, at least {read_of_test:,}."
        )
    matched = MatchedWeights.of(weights, names, catalogue)
    if np.all(matched.rows < 0):
        raise _ColdStartError(f"None of the movies of the version {candidate.version} is rated here.")
    held_out = rows.split("validation")
    read_before = np.zeros(rows.users, np.bool_)
    read_before[held_out.owners[_find_read(held_out, read, users, movies)]] = True
    new = read.users.covers(users) & ~read.users.holds(users) & ~read_before
    may_validate = np.isin(users, weights.validating_users) | new
    if len(held_out.movies) and not held_out.counts[may_validate].any():
        raise _ColdStartError(f"The version {candidate.version} has read all validation rows of these data.")
    return WarmStart(candidate.version, matched, read, may_validate)


def _fetch(candidate: Candidate) -> tuple[Weights, DataSummary]:
    version, store = candidate.version, open_storage(candidate.registry)
    place = version_key(version, "model")
    keys = {name: f"{place}/{name}" for name in (WEIGHTS_FILE, SUMMARY_FILE, SAMPLES_FILE)}
    if not store.list(version_key(version, "")):
        raise UserError(
            f"--champion-version {version}: {store.root} has no such version; "
            f"`twotower versions --registry {store.root}` lists those it has"
        )
    missing = [name for name, key in keys.items() if not store.exists(key)]
    if missing:
        raise _ColdStartError(
            f"The version {version} has no {missing[0]}; those of earlier releases have none."
        )
    with tempfile.TemporaryDirectory() as directory:
        try:
            keys[USERS_FILE] = f"{place}/{USERS_FILE}"
            for name, key in keys.items():
                if name != USERS_FILE or store.exists(key):  # those of earlier releases have none
                    store.download_file(key, Path(directory) / name)
            weights = Weights.load(Path(directory) / WEIGHTS_FILE)
            read = DataSummary.load(Path(directory))
        except UserError as error:
            raise _ColdStartError(f"{str(error).replace(directory, store.uri(place))}.") from error
    if read is None:
        raise _ColdStartError(f"{store.uri(place)}/{SAMPLES_FILE} is damaged: it says which rows were read.")
    return weights, read


def _check_split(theirs: SplitSettings, ours: SplitSettings) -> None:
    for name in SplitSettings.__struct_fields__:
        one, other = getattr(theirs, name), getattr(ours, name)
        if one != other:
            what = name.replace("_", " ")
            raise _ColdStartError(f"Its data were split otherwise: {what} {one}, here {other}.")


def _find_read(ratings: UserRatings, read: DataSummary, users: Hashes, movies: Hashes) -> Array:
    """Returns which of `ratings` are known to have been read, bool [ratings]."""
    parts = [(users[piece], ratings[piece]) for piece in chunks(ratings.users, _USERS_AT_ONCE)]
    return np.concatenate(
        [read.rows.holds(row_hashes(of_users[part.owners], movies[part.movies])) for of_users, part in parts]
    )
