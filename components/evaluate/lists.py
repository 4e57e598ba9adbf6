"""What would be recommended: the best unseen movies of some users."""

from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate.held_out import History
from components.evaluate.ranking import Columns

Array = npt.NDArray[Any]

LENGTH = 10


def best_unseen(
    scores: Array, history: History, rows: Array, columns: Columns | None = None, k: int = LENGTH
) -> Array:
    """The k best movies that a user has not rated, best first.

    Args:
      scores: float32 [n, C].
      history: what is known of the n users.
      rows: int [s], the users asked about.
      columns: which column each movie has; None if each has its own.

    Returns:
      int32 [s, k], movie indices; -1 where there are no more candidates.
    """
    best = np.full((len(rows), k), -1, np.int32)
    for place, row in enumerate(rows):
        of_user = scores[row] if columns is None else scores[row][columns.of_movie]
        candidates = np.where(np.isnan(of_user), -np.inf, of_user)
        candidates[history.movies[history.row_splits[row] : history.row_splits[row + 1]]] = -np.inf
        count = min(k, int(np.count_nonzero(candidates > -np.inf)))
        if count:
            top = np.argpartition(-candidates, count - 1)[:count]
            best[place, :count] = top[np.argsort(-candidates[top], kind="stable")]
    return best
