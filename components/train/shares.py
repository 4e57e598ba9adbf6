"""A batch of users dealt out to the replicas of a model."""

from typing import Any

import numpy as np
import numpy.typing as npt

from components.train.catalogue import Ragged

Array = npt.NDArray[Any]


def deal(batch: Ragged, replicas: int) -> list[Ragged]:
    """Each replica's share of a batch: whole users, with about as many ratings for each replica.

    The users are dealt to and fro by falling number of ratings, as teams are chosen. Together the shares are
    the batch. Only a batch with fewer users than replicas deals some of them more than once, since the model
    has no loss for an empty share; each replica then hides other ratings of theirs.

    Args:
      batch: movies int32 [t], ratings float32 [t] and row_splits int64 [n + 1], n at least 1.
    """
    if replicas == 1:
        return [batch]
    order = np.argsort(-np.diff(batch[2]), kind="stable")
    users = np.resize(order, max(len(order), replicas))
    there_and_back = np.concatenate([np.arange(replicas), np.arange(replicas)[::-1]])
    seats = np.resize(there_and_back, len(users))
    return [_of_users(batch, np.sort(users[seats == replica])) for replica in range(replicas)]


def _of_users(batch: Ragged, users: Array) -> Ragged:
    movies, ratings, row_splits = batch
    lengths = np.diff(row_splits)[users]
    shares = np.concatenate([[0], np.cumsum(lengths)])
    rows = np.arange(shares[-1]) + np.repeat(row_splits[users] - shares[:-1], lengths)
    return movies[rows], ratings[rows], shares.astype(row_splits.dtype)
