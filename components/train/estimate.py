"""What a training will need, said before it begins."""

import os
from typing import Any

from components.progress import log
from components.train.settings import FULL, Settings
from components.train.sizing import score_bytes

# The parameters themselves, their gradients, Adam's two moments and the best weights so far.
_COPIES = 5
# Interpreter, TensorFlow and its compiled functions.
_BASE_BYTES = 700 << 20
# Floating-point operations a second of one core, as this model reaches them.
_SPEED = 6e9


def log_estimate(model: Any, settings: Settings, movies: int) -> None:
    """Says how many parameters there are, and how much memory and time they will take."""
    parameters = sum(int(variable.shape.num_elements()) for variable in model.trainable_variables)
    columns = movies if settings.retrieval_loss == FULL else settings.in_batch_pairs
    scores = score_bytes(settings.batch_users, columns)
    # Vectors of every rating of a batch.
    vectors = 4 * settings.batch_ratings * (2 * settings.dimension + 10 * settings.rating_weights)
    memory = _BASE_BYTES + _COPIES * 4 * parameters + scores + vectors
    log(
        f"{parameters:,} parameters; about {memory / 1e9:.1f} GB of memory at most, "
        f"{settings.steps:,} steps of up to {settings.batch_users:,} users on {os.cpu_count()} processors"
    )
