"""Settings that depend on the size of the data, and an estimate of time and memory."""

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from components.display import duration, size
from components.errors import UserError
from components.ingest.settings import IMPLICIT, STARS, Feedback
from components.machine import available_cpus, memory_limit
from components.progress import log
from components.train.settings import IN_BATCH, NO_HEAD, REGRESSION, SAMPLED, TOP_K, Settings
from components.train.svd_init import NEARLY_ALL

# Beyond so many movies the exact softmax takes seconds a step on a small machine.
_LARGEST_FULL_SOFTMAX = 250_000
# It holds a row of scores for each user of a batch, and what the gradient keeps of them, in so many copies;
# they may take this share of the memory.
_SCORE_COPIES = 4
_SHARE_FOR_SCORES = 0.25
# Up to so many ratings the rating head is a sampled one: for more, the sweeps take longer than all else.
_MOST_SAMPLED_RATINGS = 3_000_000
# It has as many sweeps as go over so many ratings, within these bounds: enough to settle, no more than gain.
_SWEPT, _LEAST_SWEEPS, _MOST_SWEEPS = 80_000_000, 24, 80
# It has about as many weights as a user or movie has ratings, within these bounds.
_LEAST_WEIGHTS, _MOST_WEIGHTS = 8, 32
# So many numbers of a movie predict ratings. On validation rows of MovieLens 1M thinned to 3% and 5%, 32
# draws of 8 weights were .002 better than 8, on a tenth of the users 16 draws of 16 weights .001.
_DRAWN = 256
# Steps for a million ratings, which a twelfth of them needs a fifth of. On validation rows of MovieLens 1M,
# one pair of towers had .502 after 1,000 steps and .504 after 1,500.
_STEPS, _STEPS_EXPONENT = 2000, 0.65
# Where the softmax is sampled, a step is to see so many ratings at least, of at most so many users: its cost
# is that of its ratings then, and those of a small batch have few negatives.
_SAMPLED_RATINGS, _MOST_SAMPLED_USERS = 32_768, 4096
# Places that the retrieval loss fills: on validation rows 30 to 100 were alike; of a small catalogue, fewer.
_PLACES, _SHARE_OF_PLACES = 60, 1 / 16
# Rank of the item-item path, numbers in each of its tables, and the least rank. On validation rows of
# MovieLens 1M (3,697 movies), a rank of 1024 was as good as all directions, 512 brought two thirds; on
# last.fm (16,488 artists) a rank of 237 brought .018 of top-100 accuracy, 64 a third of it.
_ITEM_ITEM_RANK, _ITEM_ITEM_TABLE, _LEAST_ITEM_ITEM_RANK = 1024, 1 << 22, 64
# With fewer ratings a user fewer directions say something, and more are not worth the time: on FilmTrust (19
# a user) 256 are as good as 1024; on MovieLens 1M thinned to 3, 5 and 10% of its rows the path brings little.
_ITEM_ITEM_RATINGS, _FEW_RATINGS_RANK = 20, 256
# Numbers in the table of movie vectors; Adam keeps three more of the same size.
_LARGEST_TABLE = 1 << 25


def resolve(
    settings: Settings,
    user_counts: npt.NDArray[np.int64],
    movies: int,
    memory: int = 0,
    feedback: Feedback = STARS,
) -> Settings:
    """Returns `settings` with everything that is 0 or "" decided by the data.

    Raises `UserError` if `top_k` is more than the rated movies.

    Args:
      user_counts: training ratings of each user, int64 [users].
      movies: movies with known ratings.
      memory: bytes that may be used; 0 for `memory_limit`.
      feedback: that of the ratings.
    """
    memory = memory or memory_limit()
    users, ratings = int(np.count_nonzero(user_counts)), int(user_counts.sum())
    # How many times fewer than a million. The laws that follow were fitted on validation rows of data sets of
    # a million and of 80,000 ratings (docs/model.md); beyond these sizes they are not continued.
    scarcity = float(np.clip(1e6 / max(ratings, 1), 1.0, 12.0))
    # Some eight steps an epoch at least: few users want smaller steps, not fewer.
    eighth = int(max(users // 8, 8))
    batch_users = settings.batch_users or min(eighth, 256)
    exact = (
        movies <= _LARGEST_FULL_SOFTMAX
        and score_bytes(batch_users * settings.ensemble_size, movies) <= _SHARE_FOR_SCORES * memory
    )
    retrieval_loss = settings.retrieval_loss or (TOP_K if exact else IN_BATCH)
    if retrieval_loss == IN_BATCH and not settings.batch_users:
        wanted = _SAMPLED_RATINGS * users // max(ratings, 1)
        batch_users = min(eighth, int(np.clip(wanted, 256, _MOST_SAMPLED_USERS)))
    if retrieval_loss == TOP_K:
        dropout, prior, tower_rate = 0.7, 20.0 * scarcity**0.88, min(0.3 * scarcity**0.5, 1.0)
    else:
        dropout, prior, tower_rate = 0.5, 40.0 * scarcity**0.6, 1.0
    weights = 2.0 ** round(math.log2(max(ratings, 1) / max(users + movies, 1)))
    of_stars = SAMPLED if ratings <= _MOST_SAMPLED_RATINGS else REGRESSION
    head = settings.rating_head or (NO_HEAD if feedback == IMPLICIT else of_stars)
    least = _LEAST_WEIGHTS if head == SAMPLED else _MOST_WEIGHTS
    weights = settings.rating_weights or int(np.clip(weights, least, _MOST_WEIGHTS))
    most = _ITEM_ITEM_RANK if ratings >= _ITEM_ITEM_RATINGS * users else _FEW_RATINGS_RANK
    rank = min(most, _ITEM_ITEM_TABLE // movies)
    chosen = dataclasses.replace(
        settings,
        item_item_rank=settings.item_item_rank or (rank if rank >= _LEAST_ITEM_ITEM_RANK else -1),
        rating_head=head,
        rating_weights=weights,
        draws=settings.draws or max(_DRAWN // weights, 1),
        sweeps=settings.sweeps or int(np.clip(_SWEPT // max(ratings, 1), _LEAST_SWEEPS, _MOST_SWEEPS)),
        steps=settings.steps or round(_STEPS * scarcity**-_STEPS_EXPONENT / 10) * 10,
        batch_users=batch_users,
        dimension=settings.dimension or int(np.clip(2 ** int(np.log2(_LARGEST_TABLE / movies)), 16, 128)),
        dropout=settings.dropout or dropout,
        mask_rate=settings.mask_rate or 0.2 + 0.28 * math.log10(scarcity),
        retrieval_l2=settings.retrieval_l2 or prior,
        learning_rate=settings.learning_rate or 0.01 * scarcity**-0.5,
        tower_rate=settings.tower_rate or tower_rate,
        kl_weight=settings.kl_weight or 2.0 * scarcity**-0.28,
        retrieval_loss=retrieval_loss,
        top_k=settings.top_k or max(min(_PLACES, int(movies * _SHARE_OF_PLACES)), 1),
    )
    if chosen.top_k > movies:
        raise UserError(f"--train-settings: top_k is {chosen.top_k}; give at most {movies}, the rated movies")
    return chosen


def score_bytes(users: int, movies: int) -> int:
    """Returns the memory of a batch's scores in training: float32 [users, movies] in several copies."""
    return _SCORE_COPIES * np.dtype(np.float32).itemsize * users * movies


# The parameters themselves, their gradients, Adam's two moments and the best weights so far.
_COPIES = 5
# Interpreter, TensorFlow and its compiled functions.
_BASE_BYTES = 700 << 20
# Seconds of one processor, fitted to steps of eight data sets of 40,000 to 100 million ratings on x86-64 with
# AVX-512: for each rating of a batch in the rating head and in a query tower, for each multiplication of the
# scores, with all that is done to a score, and for the rest of a step. Where a step changes the rows of its
# movies alone, for each number in these.
_RATING_HEAD, _QUERY_TOWER, _MULTIPLICATION, _REST, _IN_ROWS = 2.0e-6, 0.4e-6, 8e-11, 0.015, 5.5e-8

# For each rating, for each rating and weight, and for each user and movie in a sweep of the sampled head.
_SWEPT_RATING, _SWEPT_WEIGHT, _SWEPT_ROW = 0.35e-6, 0.016e-6, 8e-6
# To trace the step, for a validation, and for each score of it; little of it is shared out.
_BEFORE_STEPS, _VALIDATION, _VALIDATION_SCORE = 2.0, 0.12, 1.6e-9

# Likewise to trace the signatures and write the Model, the latter for each parameter, and for the two
# decompositions of the item-item path: for each movie times the square of the rank, or for the cube of the
# shorter side where it is near the rank.
SECONDS_TO_WRITE, _WRITTEN = 2.8, 1e-7
_ITEM_ITEM, _DECOMPOSED, _EXACTLY = 0.5, 1.4e-9, 0.6e-9


def item_item_seconds(settings: Settings, movies: int, users: int) -> float:
    """Returns about the seconds that fitting the item-item path takes."""
    shorter = min(users, movies)
    rank = max(min(settings.item_item_rank, shorter), 0)
    exact = shorter <= NEARLY_ALL * rank
    return (_ITEM_ITEM if rank else 0.0) + (
        _EXACTLY * shorter**3 if exact else _DECOMPOSED * movies * rank**2
    )


def log_estimate(
    model: Any, settings: Settings, movies: int, counts: npt.NDArray[np.int64], validating: int, refits: bool
) -> None:
    """Logs the number of parameters, and the memory and time that the training will take at most.

    The time is that from this line on to the written Model.

    Args:
      model: the model to train.
      settings: its settings.
      movies: rows of the model's tables.
      counts: training ratings of each user, int64 [users].
      validating: users whose validation rows choose the weights.
      refits: is there a final refit?
    """
    parameters = sum(int(variable.shape.num_elements()) for variable in model.trainable_variables)
    users, ratings, processors = int(np.count_nonzero(counts)), int(counts.sum()), available_cpus()
    in_batch = settings.retrieval_loss == IN_BATCH
    columns = settings.in_batch_pairs if in_batch else movies
    scores = score_bytes(settings.batch_users * settings.ensemble_size, columns)
    # Vectors of every rating of a batch.
    vectors = 4 * settings.batch_ratings * (2 * settings.dimension + 10 * settings.rating_weights)
    memory = _BASE_BYTES + _COPIES * 4 * parameters + scores + vectors
    batch = min(settings.batch_users * ratings / users, settings.batch_ratings)
    # The scores are multiplied three times in all.
    products = 3.0 * settings.batch_users * columns * settings.dimension
    retrieval = settings.ensemble_size * (_QUERY_TOWER * batch + _MULTIPLICATION * products)
    step, sweep = retrieval + _REST, 0.0
    if in_batch:
        step += _IN_ROWS * parameters * min(batch / movies, 1.0)
    if settings.rating_head == SAMPLED:
        sweep = ratings * (_SWEPT_RATING + _SWEPT_WEIGHT * settings.rating_weights) + _SWEPT_ROW * (
            users + movies
        )
    elif settings.rating_head == REGRESSION:
        step += _RATING_HEAD * batch
    refit = settings.final_refit if refits else 0.0
    # A final refit makes half as many sweeps again.
    shared = settings.steps * (1.0 + refit) * step + (1.5 if refits else 1.0) * settings.sweeps * sweep
    validation = _VALIDATION + _VALIDATION_SCORE * validating * movies
    alone = _BEFORE_STEPS + validation * settings.validations + SECONDS_TO_WRITE + _WRITTEN * parameters
    seconds = shared / processors + alone + item_item_seconds(settings, movies, users)
    log(
        f"{parameters:,} parameters; at most {settings.steps:,} steps of {settings.batch_users:,} users, "
        f"about {size(memory)} of memory and {duration(seconds)} on {processors} idle processors"
    )
