"""What an index is made of, read and checked to belong together."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from components.errors import UserError
from components.train.scoring import ScoringModel
from components.vocabulary.interactions import Interactions, UserRatings
from components.vocabulary.vocabulary import Vocabulary


@dataclass(frozen=True)
class Inputs:
    """Model, Vocabulary and Interactions of one run.

    Attributes:
      model: the Model directory; `scoring` is its SavedModel, `settings` the part of its record that an index
        repeats.
      names: users and movies.
      interactions: the ratings; `known` are those that the model may read, `held_out` the test split's.
    """

    model: Path
    scoring: ScoringModel
    settings: dict[str, Any]
    names: Vocabulary
    interactions: Interactions
    known: UserRatings
    held_out: UserRatings

    @classmethod
    def load(cls, model: str, vocabulary: str, interactions: str) -> Self:
        """Reads the three directories.

        Raises:
          UserError: if one is not whole, or they do not speak of the same users and movies.
        """
        settings = _settings(Path(model))
        names, rows = Vocabulary.load(vocabulary), Interactions.load(interactions)
        if (len(names.user_ids), len(names.movie_ids)) != (rows.users, rows.movies):
            raise UserError(
                f"{interactions} was not made with {vocabulary}; take both from one `twotower vocabulary`"
            )
        scoring = ScoringModel.load(model)
        if not np.array_equal(scoring.movie_ids, names.movie_ids):
            raise UserError(
                f"{model} was trained on another catalogue than {vocabulary}; name its own run's vocabulary"
            )
        return cls(Path(model), scoring, settings, names, rows, rows.known(), rows.split("test"))


def _settings(model: Path) -> dict[str, Any]:
    try:
        record = json.loads((model / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{model} has no readable model.json; make the model anew with `twotower train`"
        ) from error
    return {key: record[key] for key in ("preset", "settings", "fingerprint") if key in record}
