"""Deletes what the workers of a run left: Job, Service, pods and exchange directories."""

import re
import time

from components.errors import UserError
from components.progress import log
from components.train.pods.api import Api, Kind, NoAnswerError
from components.train.pods.manifests import RUN
from components.train.pods.worker import exchange_of

# A Job first, so that it makes no new pods.
_KINDS: tuple[Kind, ...] = ("job", "service", "pod")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")

SECONDS_BETWEEN_LOOKS = 2.0
# Looks at pods that are ending: a minute.
_LOOKS = 30


def clean_up(run: str, checkpoint_root: str) -> None:
    """Deletes what the workers of the run `run` left, from the exit handler; what it cannot, it logs."""
    if not _LABEL_VALUE.fullmatch(run):
        return  # no pod of the cluster can have it for a label
    try:
        api = Api.of_this_pod()
        if api is not None:
            delete_workers(api, run)
            _wait_for_the_end(api, run)
    except UserError as error:
        left = f"kubectl delete jobs,services,pods -l {RUN}={run}"
        log(f"workers of this run may be left; `{left}` deletes them: {error}")
    try:
        exchange_of(checkpoint_root, run).delete()
    except UserError as error:
        log(f"files of the workers of this run may be left: {error}")


def delete_workers(api: Api, run: str) -> None:
    """Deletes the Jobs, Services and pods with the run's label. Raises `UserError`."""
    for kind in _KINDS:
        for found in api.find(kind, f"{RUN}={run}"):
            if "deletionTimestamp" not in found["metadata"]:
                log(f"deleting the {kind} {found['metadata']['name']}")
                api.delete(kind, found["metadata"]["name"])


def _wait_for_the_end(api: Api, run: str) -> None:
    """Waits until no pod of the workers is left, which might still write into the exchange directory."""
    for _ in range(_LOOKS):
        if not (pods := api.find("pod", f"{RUN}={run}")):
            return
        time.sleep(SECONDS_BETWEEN_LOOKS)
    raise NoAnswerError(f"the pod {pods[0]['metadata']['name']} does not end")
