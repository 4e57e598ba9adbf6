"""Movies that came after training: reads them, and places them in the index by their features."""

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.errors import UserError
from components.ingest import movie_tables
from components.ingest.inputs import open_all
from components.ingest.settings import ReadOptions
from components.progress import log
from components.train.content import Descriptions
from components.train.scoring import ScoringModel
from components.vocabulary.interactions import UserRatings
from components.vocabulary.vocabulary import Vocabulary


@dataclass(frozen=True)
class NewMovies:
    """Movies that join the end of a catalogue of M movies; n of them."""

    first: int  # M, the row of the first of them
    movie_ids: list[str]
    described: Descriptions
    placed: dict[str, np.ndarray]  # the outputs of `candidate_from_features`
    bounds: tuple[float, float]  # of predicted ratings, in stars

    def extend(self, names: Vocabulary) -> Vocabulary:
        """Returns the vocabulary of the whole catalogue."""
        return dataclasses.replace(
            names,
            movie_ids=np.append(names.movie_ids, np.array(self.movie_ids, object)),
            titles=np.append(names.titles, self.described.titles),
            years=np.append(names.years, self.described.years),
            genres=None if names.genres is None else np.append(names.genres, self.described.genres),
        )


def read_new_movies(
    movies: str, model: str | Path, scoring: ScoringModel, options: ReadOptions
) -> NewMovies | None:
    """Reads the movie table `movies` and places those movies that `scoring` does not have; None if none.

    Raises `UserError` if the table cannot be read, or the model at `model` cannot place movies.
    """
    with tempfile.TemporaryDirectory() as scratch:
        files = open_all(movies, "--movies", Path(scratch), lambda file: movie_tables.fits(file, options))
        table = movie_tables.read(files, options)
    place = scoring.signature("candidate_from_features")
    if place is None:
        raise UserError(
            f"--movies {movies}: {model} cannot place new movies; train a model anew on a movie table with "
            "titles, years or genres"
        )
    there = set(scoring.movie_ids.tolist())
    new = np.array([number for number, name in enumerate(table.movie_ids) if name not in there], int)
    if known := len(table.movie_ids) - len(new):
        log(f"--movies {movies}: {known:,} movies are in the catalogue already and stay as they are")
    described = Descriptions(
        np.array(table.titles, object),
        np.array([year or 0 for year in table.years], np.int32),
        np.array(table.genres, object),
    )
    title, year, genres = described.select(new).inputs()
    placed = {name: values.numpy() for name, values in place(title=title, year=year, genres=genres).items()}
    kept = placed.pop("features") > 0
    if left_out := np.count_nonzero(~kept):
        log(
            f"--movies {movies}: {left_out:,} new movies share no word, year or genre with a rated one and "
            "are left out"
        )
    new = new[kept]
    if not len(new):
        return None
    rating_candidates = scoring.signature("rating_candidates")
    low, high = rating_candidates()["bounds"].numpy().tolist()
    return NewMovies(
        first=len(scoring.movie_ids),
        movie_ids=[table.movie_ids[number] for number in new],
        described=described.select(new),
        placed={name: values[kept] for name, values in placed.items()},
        bounds=(low, high),
    )


class ExtendedScoring(ScoringModel):
    """A scoring model with new movies at the end of its catalogue."""

    def __init__(self, scoring: ScoringModel, new: NewMovies) -> None:
        """Args: `new`: were placed by `scoring`."""
        self._scoring, self._new = scoring, new
        self.movie_ids = np.append(scoring.movie_ids, new.movie_ids)
        self.vectors = np.concatenate([scoring.vectors, new.placed["vector"]])
        self.biases = np.concatenate([scoring.biases, new.placed["bias"]])

    def signature(self, name: str) -> Any:
        """Returns a signature of the model, whose catalogue has no new movies."""
        return self._scoring.signature(name)

    def star_table(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Returns the model's table, with the new movies at its end."""
        table = self._scoring.star_table()
        if table is None:
            return None
        placed = np.column_stack([self._new.placed["rating_vector"], self._new.placed["rating_bias"]])
        return np.concatenate([table[0], placed]), table[1]

    def query(self, user_ids: Any, history: UserRatings) -> np.ndarray:
        """Does what the model does; new movies have no ratings."""
        return self._scoring.query(user_ids, history)

    def rate(
        self, user_ids: Any, history: UserRatings, pair_row: np.ndarray, pair_movie: np.ndarray
    ) -> np.ndarray:
        """Returns stars, float32 [p], as `ScoringModel.rate`; those of new movies by their features."""
        stars = self._scoring.rate(user_ids, history, pair_row, pair_movie)
        place = np.asarray(pair_movie) - self._new.first
        new = place >= 0
        taste = self._scoring.taste(user_ids, history)[np.asarray(pair_row)[new]]
        products = np.sum(taste * self._new.placed["rating_vector"][place[new]], axis=1)
        ratings = products + self._new.placed["rating_bias"][place[new]]
        stars[new] = np.clip(ratings, *self._new.bounds)
        return stars


class NewMovieRatings(tf.Module):  # type: ignore[misc]
    """Predicted ratings of new movies, whose rows follow those of the model's catalogue."""

    def __init__(self, new: NewMovies) -> None:
        super().__init__(name="new_movies")
        self.first, self._bounds = new.first, new.bounds
        # The next row stands for no movie.
        self._last = len(new.movie_ids) - 1
        self._vectors = tf.Variable(new.placed["rating_vector"], trainable=False, name="rating_vectors")
        self._biases = tf.Variable(new.placed["rating_bias"], trainable=False, name="rating_biases")

    def rate(self, taste: tf.Tensor, movies: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
        """Returns `others`, float32 [p], with the ratings of new movies among `movies`, int32 [p].

        `taste` is float32 [p, K], the user factors of each pair.
        """
        place = tf.clip_by_value(movies - self.first, 0, self._last)
        products = tf.reduce_sum(taste * tf.gather(self._vectors, place), axis=-1)
        ratings = tf.clip_by_value(products + tf.gather(self._biases, place), *self._bounds)
        return tf.where((movies >= self.first) & (movies <= self.first + self._last), ratings, others)
