"""Follows a TFJob to its end."""

import time
from collections.abc import Iterator
from typing import Any

from components.errors import UserError
from components.progress import PREFIX, log
from components.train.tfjob.api import Api, MissingError, NoAnswerError
from components.train.tfjob.manifest import CONTAINER

SECONDS_BETWEEN_LOOKS = 10.0

# For so long the API may be out of reach: an upgrade of the control plane takes minutes.
_PATIENCE = 600.0
_LINES = 50
_ERROR = "error: "


def follow(api: Api, name: str, workers: int) -> None:
    """Waits for the end of the job, and logs its conditions and what its chief says.

    Raises:
      UserError: if the job failed, in the words of the worker that ended it, or was deleted.
    """
    told: set[tuple[str, str]] = set()
    last = ""
    while True:
        conditions = _conditions(api, name)
        for condition in conditions:
            if (key := (condition["type"], condition.get("lastTransitionTime", ""))) not in told:
                told.add(key)
                log(f"TFJob {name}: {condition['type'].lower()}: {condition.get('message', '')}")
        for line in _since(last, _said(api, name, 0)):
            log(last := line)
        states = {condition["type"]: condition for condition in conditions}
        if "Succeeded" in states:
            return
        if "Failed" in states:
            raise UserError(_why(api, name, workers, states["Failed"].get("message", "")))
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _conditions(api: Api, name: str) -> list[dict[str, Any]]:
    """What is true of the job now."""
    given_up = time.monotonic() + _PATIENCE
    while True:
        try:
            found = api.job(name).get("status", {}).get("conditions") or []
        except NoAnswerError:
            if time.monotonic() > given_up:
                raise
            time.sleep(SECONDS_BETWEEN_LOOKS)
        except MissingError as error:
            raise UserError(f"the TFJob {name} was deleted while it ran; run this step again") from error
        else:
            return [condition for condition in found if condition["status"] == "True"]


def _said(api: Api, name: str, worker: int) -> list[str]:
    """The newest lines for people of a worker, without their prefix."""
    lines = api.last_lines(f"{name}-worker-{worker}", CONTAINER, _LINES)
    return [line.removeprefix(PREFIX) for line in lines if line.startswith((PREFIX, _ERROR))]


def _since(last: str, lines: list[str]) -> Iterator[str]:
    """The lines behind the one that was last logged; all of them if it is not among them."""
    yield from lines[lines.index(last) + 1 :] if last in lines else lines


def _why(api: Api, name: str, workers: int, message: str) -> str:
    said = [line for worker in range(workers) for line in _said(api, name, worker)]
    errors = [line.removeprefix(_ERROR) for line in said if line.startswith(_ERROR)]
    if errors:
        return errors[-1]
    return (
        f"the TFJob {name} failed: {message or 'no reason is given'}; look at the log of its pods, "
        "where your cluster keeps it, and run this step again: it goes on from the last checkpoint"
    )
