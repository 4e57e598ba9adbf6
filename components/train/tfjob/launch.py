"""The step `train` with several workers: starts a TFJob, follows it, and leaves nothing of it behind."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn

from components.errors import UserError
from components.progress import log
from components.train.request import Request
from components.train.summary import TrainSummary
from components.train.tfjob.api import Api, ConflictError, MissingError, Object
from components.train.tfjob.exchange import Exchange
from components.train.tfjob.follow import follow
from components.train.tfjob.manifest import tfjob
from components.train.tfjob.pod import OwnPod

SECONDS_BETWEEN_TRIES = 5.0

# A job that was deleted is there until its pods are gone.
_TRIES = 60


def train_in_pods(
    pod: OwnPod, workers: int, request: Request, interactions: str, vocabulary: str, output: str
) -> TrainSummary:
    """Trains in `workers` pods like `pod`, and makes `output` the Model that they trained.

    Inputs and Model go through a directory below the checkpoint root, for whose sake all pods must share it:
    without it a worker that is started again could not go on either. Whatever happens, also when this process
    is told to end, job and directory are removed; the checkpoint stays for the next try.

    Raises:
      UserError: if the place is not shared, the cluster refuses, or the training fails.
    """
    pod.check_shared(workers, request.checkpoint_root)
    name = pod.job_name
    exchange = Exchange(f"{request.checkpoint_root.rstrip('/')}/tfjobs/{name}")
    with _ended_by_sigterm(), _tidied(pod.api, name, exchange):
        log(f"staging the inputs in {exchange.root}")
        exchange.stage(request, Path(interactions), Path(vocabulary))
        _create(pod.api, name, tfjob(name, workers, pod.manifest, exchange.root))
        log(f"TFJob {name} in the namespace {pod.api.namespace}: {workers} workers")
        follow(pod.api, name, workers)
        exchange.fetch_model(output)
    return TrainSummary.of_model(Path(output))


def _create(api: Api, name: str, manifest: Object) -> None:
    """Creates the job, in place of one that an earlier try of this step left."""
    for _ in range(_TRIES):
        try:
            return api.create_job(manifest)
        except ConflictError:
            log(f"removing the TFJob {name} that an earlier try left")
            api.delete_job(name)
            time.sleep(SECONDS_BETWEEN_TRIES)
        except MissingError as error:
            raise UserError(
                "--workers needs Kubeflow's training operator, and this cluster has no TFJob "
                "(kubeflow.org/v1); install the operator, or leave --workers out"
            ) from error
    raise UserError(f"the TFJob {name} of an earlier try does not go away; delete it with kubectl")


@contextmanager
def _tidied(api: Api, name: str, exchange: Exchange) -> Iterator[None]:
    """Removes the job and its files on the way out."""
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # who tells us to end may do so again
        for remove in (partial(api.delete_job, name), exchange.delete):
            try:
                remove()
            except UserError as error:
                # It must not stand in the place of what went wrong before.
                log(f"something was left behind of the TFJob {name} or in {exchange.root}: {error}")


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Lets SIGTERM, by which a run is cancelled, end this process as an exception does."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
