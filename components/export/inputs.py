"""The inputs of an index: the model, the names and the ratings of one run."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from components.errors import UserError
from components.export.arrays import PackedRatings, Texts, fields_by_name, pack, texts_by_name
from components.export.histories import encode_all
from components.export.manifest import NONE, SourceModel
from components.export.new_movies import ExtendedScoring, NewMovies, read_new_movies
from components.ingest.settings import ReadOptions
from components.train.artifact import model_digest, read_record
from components.train.scoring import ScoringModel
from components.vocabulary.attributes import Attributes
from components.vocabulary.interactions import Interactions, UserRatings
from components.vocabulary.vocabulary import Vocabulary, load_attributes, load_encoded


@dataclass(frozen=True)
class Inputs:
    """Model, Vocabulary and Interactions of one run."""

    model: Path
    scoring: ScoringModel
    source: SourceModel
    names: Vocabulary
    attributes: Attributes
    interactions: Interactions
    known: UserRatings  # the ratings of training and validation
    held_out: UserRatings  # those of the test split
    new: NewMovies | None = None  # at the end of the catalogue of `scoring` and `names`

    @classmethod
    def load(
        cls,
        model: str,
        vocabulary: str,
        interactions: str,
        movies: str = "",
        options: ReadOptions | None = None,
    ) -> Self:
        """Reads the directories, and the movie table `movies` with movies that came after training, if named.

        `options` are those of reading the movie table.

        Raises `UserError` if one is damaged, their users or movies differ, or no movie can be added.
        """
        record = read_record(model)
        source = SourceModel(
            preset=record.preset,
            settings=record.settings,
            fingerprint=record.fingerprint,
            digest=model_digest(model),
        )
        rows, names = load_encoded(interactions, vocabulary)
        scoring = ScoringModel.load(model)
        if not np.array_equal(scoring.movie_ids, names.movie_ids):
            raise UserError(
                f"{model} was trained on another catalogue than {vocabulary}; name its own run's vocabulary"
            )
        new = read_new_movies(movies, model, scoring, options or ReadOptions()) if movies else None
        if new is not None:
            scoring, names = ExtendedScoring(scoring, new), new.extend(names)
        attributes = Attributes.of(names, load_attributes(vocabulary))
        ratings = rows.known(), rows.split("test")
        return cls(Path(model), scoring, source, names, attributes, rows, *ratings, new)

    @cached_property
    def packed(self) -> PackedRatings:
        """The ratings of all users."""
        return pack(self.known, self.held_out, len(self.names.movie_ids), self.interactions.directory)

    @cached_property
    def profiles(self) -> np.ndarray | None:
        """The model's encoding of all users, as `encode_all` returns it."""
        return encode_all(self.scoring, self.packed)

    @cached_property
    def counts(self) -> np.ndarray:
        """The known ratings of each movie, int64 [M]; the vectors of those without are not trained."""
        return self.known.movie_counts(len(self.names.movie_ids))

    def arrays(self, histories: str) -> dict[str, np.ndarray]:
        """Returns the arrays from which `MappedIndex` answers, by name; `histories` is one of `HISTORIES`."""
        movies = texts_by_name("movie_id", self.names.movie_ids) | texts_by_name("title", self.names.titles)
        arrays = {
            **movies,
            "year": np.asarray(self.names.years, np.int32),
            "rated": self.counts > 0,
            # A row for each component, as in `BiasedBruteForce`, each row in one piece: a product with a few
            # queries takes half the time.
            "candidates": np.ascontiguousarray(np.vstack([self.scoring.vectors.T, self.scoring.biases])),
        }
        if histories == NONE:
            return arrays
        users = texts_by_name("user_id", self.names.user_ids)
        arrays |= {**users, "user_id.order": Texts(*users.values()).order()}
        arrays |= fields_by_name("histories", self.packed)
        table = self.scoring.star_table()
        if table is not None and self.profiles is not None:
            arrays |= {"profiles": self.profiles, "stars": table[0], "stars.bounds": table[1]}
        return arrays
