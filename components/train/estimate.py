"""What a training will need, said before it begins."""

import os
from typing import Any

from components.progress import log
from components.train.settings import IN_BATCH, Settings
from components.train.sizing import score_bytes

# The parameters themselves, their gradients, Adam's two moments and the best weights so far.
_COPIES = 5
# Interpreter, TensorFlow and its compiled functions.
_BASE_BYTES = 700 << 20
# Seconds of one processor, as measured on x86-64 with AVX2: for each rating of a batch in the rating head and
# in a query tower, for each multiplication of the softmax, for each parameter, and for the rest of a step.
_RATING_HEAD, _QUERY_TOWER, _MULTIPLICATION, _PARAMETER, _REST = 2.8e-6, 1.2e-6, 3.3e-11, 7e-9, 0.015


def log_estimate(model: Any, settings: Settings, movies: int, ratings_a_user: float) -> None:
    """Says how many parameters there are, and how much memory and time they will take.

    Args:
      movies: rows of the model's tables.
      ratings_a_user: on average.
    """
    parameters = sum(int(variable.shape.num_elements()) for variable in model.trainable_variables)
    columns = settings.in_batch_pairs if settings.retrieval_loss == IN_BATCH else movies
    scores = score_bytes(settings.batch_users * settings.members, columns)
    # Vectors of every rating of a batch.
    vectors = 4 * settings.batch_ratings * (2 * settings.dimension + 10 * settings.rating_weights)
    memory = _BASE_BYTES + _COPIES * 4 * parameters + scores + vectors
    step = _step_seconds(settings, columns, ratings_a_user) + _PARAMETER * parameters
    seconds = settings.steps * step / (os.cpu_count() or 1)
    log(
        f"{parameters:,} parameters; at most {settings.steps:,} steps of {settings.batch_users:,} users, "
        f"about {memory / 1e9:.1f} GB of memory and {_rounded(seconds)} on {os.cpu_count()} idle processors"
    )


def _step_seconds(settings: Settings, columns: int, ratings_a_user: float) -> float:
    """Of one processor, without the parameters' share. The softmax multiplies three times in all."""
    ratings = min(settings.batch_users * ratings_a_user, settings.batch_ratings)
    softmax = 3.0 * settings.batch_users * columns * settings.dimension
    retrieval = settings.members * (_QUERY_TOWER * ratings + _MULTIPLICATION * softmax)
    return _RATING_HEAD * ratings + retrieval + _REST


def _rounded(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds > 90 else f"{max(seconds, 1):.0f} s"
