"""Weights file of a Model: the variables of a training, by movie id, for a later training to begin at."""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from components.documents import Document, decode, encode
from components.errors import UserError
from components.ingest.dataset import SplitSettings
from components.train.settings import Settings
from components.train.training_data import RatedCatalogue
from components.vocabulary.data_summary import id_hashes
from components.vocabulary.interactions import Interactions
from components.vocabulary.vocabulary import Vocabulary

Array = npt.NDArray[Any]

_HEADER, _VALIDATING = "header", "validating_users"
# Variables with one row for each movie, and the one with a row for each year.
_BY_MOVIE = ("embeddings", "rating_embeddings", "means", "log_deviations", "movies_parameters")
_BY_YEAR = "year_embeddings"
_SAMPLER = "sampler/0/"
# What is carried over of a chain's state. The prior means are linear in directions that each data set has
# its own of; they are drawn anew in the first sweeps, and so are the users' parameters.
_OF_CHAIN = (
    "movies_parameters",
    "movies_precision",
    "movies_strength",
    "users_precision",
    "users_strength",
    "precision",
)


class WeightsHeader(Document):
    """The part of a weights file that is no array; it lies in it as JSON."""

    _written_by = "twotower train"

    format: Literal[1] = 1
    settings: dict[str, Any]  # of the preset `default`, as they were used
    split: SplitSettings  # of the ratings
    movies: list[str]  # ids of the movies with known ratings, in the order of the tables' rows
    first_year: int  # the year whose number is 1; 0 if none is known


@dataclass(frozen=True)
class Weights:
    """Variables of a training before its final refit: they have read no validation row of some users."""

    header: WeightsHeader
    validating_users: Array  # uint64: hashes of the ids of those users
    # The trainable variables of towers and rating head, or the state of its chain; by name.
    variables: dict[str, Array]

    @classmethod
    def of(
        cls,
        settings: Settings,
        data: tuple[Interactions, Vocabulary, RatedCatalogue],
        validating: Array,
        model: Any,
        sampled: Any,
    ) -> Self:
        """Copies what a later training can begin at.

        Args:
          settings: as they were used.
          data: what was trained on.
          validating: bool [users], those none of whose validation rows were read.
          model: a `TwoTower`.
          sampled: its rating head, a `SampledRatings`; None if it has one of its own.
        """
        rows, names, catalogue = data
        header = WeightsHeader(
            settings=dataclasses.asdict(settings),
            split=rows.split_settings,
            movies=names.movie_ids[catalogue.rows >= 0].tolist(),
            first_year=_first_year(names, catalogue),
        )
        variables = {name: variable.numpy() for name, variable in _named(model)}
        if sampled:
            state = sampled.state()
            variables |= {f"{_SAMPLER}{name}": state[name] for name in _OF_CHAIN}
        return cls(header, id_hashes(names.user_ids[validating]), variables)

    def save(self, file: Path) -> None:
        """Writes a weights file."""
        header = np.frombuffer(encode(self.header), np.uint8)
        arrays: dict[str, Any] = {_HEADER: header, _VALIDATING: self.validating_users, **self.variables}
        np.savez(file, **arrays)

    @classmethod
    def load(cls, file: Path) -> Self:
        """Reads a weights file. Raises `UserError` if it is broken, or of another format."""
        cure = "restore it from a backup, or leave it so: the next version that is published has its own"
        try:
            with file.open("rb") as source, np.load(source, allow_pickle=False) as saved:
                arrays = {name: saved[name] for name in saved.files}
            header, validating = arrays.pop(_HEADER), arrays.pop(_VALIDATING)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise UserError(f"{file} is damaged or cut off; {cure}") from error
        weights = cls(decode(header.tobytes(), WeightsHeader, str(file), cure), validating, arrays)
        tables, rows = (
            [arrays[name] for name in arrays if _last(name) in _BY_MOVIE],
            len(weights.header.movies),
        )
        if not tables or any(table.shape[:1] != (rows,) for table in tables):
            raise UserError(f"{file} is damaged: its tables are not of its {rows:,} movies; {cure}")
        return weights


@dataclass(frozen=True)
class MatchedWeights:
    """Weights whose movies are matched by id with those of the data at hand."""

    weights: Weights
    rows: Array  # int64 [rated movies], the row in the weights' tables of each; -1 for a new movie
    first_year: int  # the year whose number is 1 here; 0 if none is known

    @classmethod
    def of(cls, weights: Weights, names: Vocabulary, catalogue: RatedCatalogue) -> Self:
        """Matches the movies with known ratings."""
        places = {movie: place for place, movie in enumerate(weights.header.movies)}
        rows = [places.get(movie, -1) for movie in names.movie_ids[catalogue.rows >= 0]]
        return cls(weights, np.array(rows, np.int64), _first_year(names, catalogue))

    def move(self, model: Any) -> None:
        """Sets the variables of a `TwoTower` that stands at its cold start.

        New movies keep their values there. Their vectors go through the linear map that brings the others'
        nearest to those in the weights, since training has turned these.
        """
        for name, variable in _named(model):
            there, here = self.weights.variables.get(name), variable.numpy()
            if there is None:
                continue
            if _last(name) == _BY_YEAR:
                variable.assign(self._by_year(there, here))
            elif _last(name) in _BY_MOVIE:
                variable.assign(self._by_movie(there, here, turn=_last(name) == "embeddings"))
            elif there.shape == here.shape:
                variable.assign(there)

    def move_sampler(self, sampler: Any) -> None:
        """Sets what a `Sampler` begins at; the users' parameters follow in its first sweep."""
        moved = {name: self.weights.variables[f"{_SAMPLER}{name}"] for name in _OF_CHAIN}
        state = sampler.state()
        moved["movies_parameters"] = self._by_movie(moved["movies_parameters"], state["movies_parameters"])
        sampler.restore(state | moved)

    def _by_movie(self, there: Array, here: Array, turn: bool = False) -> Array:
        known = self.rows >= 0
        moved = here @ np.linalg.lstsq(here[known], there[self.rows[known]])[0] if turn else here.copy()
        moved[known] = there[self.rows[known]]
        return np.asarray(moved, here.dtype)

    def _by_year(self, there: Array, here: Array) -> Array:
        """Matches rows by the year that they are of; row 0 is of movies without one."""
        numbers = np.arange(len(here))
        rows = np.where(numbers > 0, numbers + self.first_year - self.weights.header.first_year, 0)
        known = ((rows > 0) & (rows < len(there))) | (numbers == 0)
        moved = here.copy()
        moved[known] = there[rows[known]]
        return moved


def _first_year(names: Vocabulary, catalogue: RatedCatalogue) -> int:
    numbers = catalogue.years
    known = np.flatnonzero(numbers)[:1]
    return int((names.years[catalogue.rows >= 0][known] - numbers[known] + 1).sum())


def _named(model: Any) -> Iterator[tuple[str, Any]]:
    """Yields the trainable variables with names that do not depend on how many models a process has made."""
    parts: dict[str, Any] = {}
    for kind, towers in (("candidate", model.candidates), ("query", model.queries)):
        parts |= {f"{kind}_{number}": tower for number, tower in enumerate(towers)}
    if model.rating_head is not None:
        parts["rating_head"] = model.rating_head
    for part, layer in parts.items():
        seen = Counter[str]()
        for variable in layer.trainable_variables:
            name = variable.name.rpartition("/")[2].partition(":")[0]
            yield f"{part}/{seen[name]}/{name}", variable
            seen[name] += 1


def _last(name: str) -> str:
    return name.rpartition("/")[2]
