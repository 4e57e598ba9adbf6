"""Distribution of a training over the GPUs of this process, or over several workers.

The strategies are TensorFlow's own. Each replica trains on a share of every batch (`share_out`), and the
optimizer adds up the gradients of all replicas; so each divides its loss by their number (`compute_loss`).
"""

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.errors import UserError
from components.machine import available_cpus
from components.progress import log
from components.train.settings import NOTEBOOK, check_workers

Array = npt.NDArray[Any]

# Exit status of a worker that has lost another, which its Job starts again.
LOST_WORKER = 138

# Roles in TF_CONFIG that train; the first task of the first role is the chief.
_ROLES = ("chief", "worker")

# Errors that TensorFlow raises in one worker when another one dies, is started again, or does not answer: the
# connection breaks at once, and a machine that vanishes misses the heartbeats of the coordination service,
# which ends every collective operation after ten seconds of that.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnknownError,
)


class OutOfStepError(Exception):
    """Raised when the workers have not read the same checkpoint."""


class Worker(NamedTuple):
    """One of the processes that train together."""

    number: int  # 0 is the chief, who writes everything that is written
    of: int  # number of workers


@contextmanager
def replicas(preset: str) -> Iterator[tf.distribute.Strategy]:
    """Yields the strategy to train `preset` with, and lets all workers end together.

    It is TensorFlow's default for one device, `MirroredStrategy` for several GPUs, and
    `MultiWorkerMirroredStrategy` where TF_CONFIG names several workers. When a worker is lost, the process
    ends with the status `LOST_WORKER`, to be started again and go on from the checkpoint. Nothing else could
    be done: TensorFlow's collective operations do not recover, and the other workers wait in them. Raises
    `UserError` if TF_CONFIG cannot be read, or names workers for a preset that needs one process.
    """
    worker = worker_of_tf_config()
    check_workers(worker.of, preset)
    # TensorFlow reads these with its first operation. By itself it knows the affinity, but no CPU quota.
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(name, str(available_cpus()))
    if worker.of == 1:
        several = len(tf.config.list_physical_devices("GPU")) > 1 and preset != NOTEBOOK
        yield tf.distribute.MirroredStrategy() if several else tf.distribute.get_strategy()
        return
    try:
        log(f"worker {worker.number} of {worker.of}: waiting for the others")
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        yield strategy
        # No worker ends before all are done, the chief with writing: else the others would lose it. One sum
        # is enough to meet; the second one keeps the first worker to leave from breaking the connection while
        # the first sum is still on its way to another.
        with strategy.scope():
            sum_over_workers(np.ones(1))
            with suppress(*_LOST):
                sum_over_workers(np.ones(1))
    except (*_LOST, OutOfStepError) as error:
        _exit(worker, error)


def worker_of_tf_config() -> Worker:
    """Reads this worker's place from TF_CONFIG; one of one without it. Raises `UserError` if it is broken."""
    text = os.environ.get("TF_CONFIG", "")
    try:
        config = json.loads(text or "{}")
        cluster, task = config.get("cluster", {}), config.get("task", {})
        counts = [len(cluster.get(role, [])) for role in _ROLES]
        if sum(counts) <= 1:
            return Worker(0, 1)
        role = _ROLES.index(task["type"])
        return Worker(sum(counts[:role]) + int(task["index"]), sum(counts))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"TF_CONFIG is {text!r}: it must name a cluster of workers and this task among them; "
            "unset it to train in one process"
        ) from error


def this_worker() -> Worker:
    """Returns this process's place among the workers of the present strategy."""
    together = isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy)
    return worker_of_tf_config() if together else Worker(0, 1)


def sum_over_workers(values: Array) -> Array:
    """Returns the sum over all workers of `values` [n]: the same for each of them, to the last bit."""
    strategy, (_, workers) = tf.distribute.get_strategy(), this_worker()
    if workers == 1:
        return values
    devices = strategy.num_replicas_in_sync // workers

    def of_replica(context: Any) -> tf.Tensor:
        first = context.replica_id_in_sync_group % devices == 0
        return tf.constant(values if first else np.zeros_like(values))

    parts = strategy.experimental_distribute_values_from_function(of_replica)
    return np.asarray(strategy.reduce(tf.distribute.ReduceOp.SUM, parts, axis=None))


def gather_from_workers(value: float) -> Array:
    """Returns the `value` of each worker, float64 [workers]."""
    number, workers = this_worker()
    values = np.zeros(workers)
    values[number] = value
    return sum_over_workers(values)


def of_chief(value: float) -> float:
    """Returns the chief's `value` to each worker."""
    return float(gather_from_workers(value)[0])


def require_same(value: float) -> None:
    """Raises `OutOfStepError` in every worker unless `value` is the same in all of them."""
    if len(set(gather_from_workers(value))) > 1:
        raise OutOfStepError("the workers have read different checkpoints")


def _exit(worker: Worker, error: Exception) -> NoReturn:
    # TensorFlow puts the names of its operations in front, and where each was called.
    message = re.sub(r"\{\{.*?\}\}", "", str(getattr(error, "message", error)))
    message = re.sub(r"^(Graph execution error|Detected at| ).*\n", "", message, flags=re.MULTILINE)
    reason = " ".join(message.split())[:200]
    log(
        f"worker {worker.number} of {worker.of} has lost the others ({reason}); it ends with status "
        f"{LOST_WORKER}, to be started again and go on from the checkpoint"
    )
    sys.stdout.flush()
    # TensorFlow's own end of the process waits for the lost worker.
    os._exit(LOST_WORKER)
