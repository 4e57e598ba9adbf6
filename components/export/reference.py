"""What the model itself answers, by numpy: the index must say the same."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.export.histories import ALL, TRAIN
from components.train.scoring import ScoringModel
from components.vocabulary.interactions import UserRatings

Ragged = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Sample:
    """A few users and what may be read of them.

    Attributes:
      user_ids: strings [n]; the last one is nobody's.
      histories: for each value of the input `ratings`, movies int32, ratings float32 and row_splits
        int64 [n + 1].
    """

    user_ids: list[str]
    histories: dict[str, Ragged]


def draw_sample(user_ids: npt.NDArray[Any], known: UserRatings, held_out: UserRatings) -> Sample:
    """Users from the shortest known history, which may be empty, to the longest, and nobody."""
    by_length = np.argsort(known.counts, kind="stable")
    users = np.unique(by_length[np.linspace(0, len(by_length) - 1, 6).astype(int)])
    rows = np.append(users, -1)
    both = [_joined(known.rows([user]), held_out.rows([user])) for user in rows]
    movies, stars = (np.concatenate(part) for part in zip(*both, strict=True))
    everything = (movies, stars, np.cumsum([0] + [len(own) for own, _ in both]))
    ids = [str(user_ids[user]) for user in users]
    return Sample([*ids, _nobody(set(user_ids))], {TRAIN: known.rows(rows), ALL: everything})


def _joined(one: Ragged, other: Ragged) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    return np.concatenate([one[0], other[0]]), np.concatenate([one[1], other[1]])


def _nobody(user_ids: set[str]) -> str:
    name = "nobody"
    while name in user_ids:
        name += "?"
    return name


def unseen_scores(scoring: ScoringModel, sample: Sample, ratings: str) -> npt.NDArray[np.float32]:
    """Scores of the whole catalogue, float32 [n, M]; -inf for what each user has rated."""
    movies, _, row_splits = history = sample.histories[ratings]
    queries = scoring.query(sample.user_ids, history)
    scores: npt.NDArray[np.float32] = queries @ scoring.vectors.T + scoring.biases
    scores[np.repeat(np.arange(len(queries)), np.diff(row_splits)), movies] = -np.inf
    return scores


def stars(
    scoring: ScoringModel, sample: Sample, ratings: str, rows: npt.ArrayLike, movies: npt.ArrayLike
) -> npt.NDArray[np.float32]:
    """Predicted ratings, float32 [p], of pairs of a row of the sample and a movie (-1: an unknown one)."""
    pairs = (np.asarray(rows, np.int32), np.asarray(movies, np.int32))
    return scoring.rate(sample.user_ids, sample.histories[ratings], *pairs)
