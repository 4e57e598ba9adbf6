"""Runs on the server: listing them, finding one by its name or id, cancelling and retrying it."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from components.errors import UserError
from pipelines.kubeflow.client import CANCELING, FINISHED, Kubeflow, get_or_create, state_of, where


class RunView(NamedTuple):
    """A run for people and programs."""

    run_id: str
    name: str
    state: str  # as `state_of` returns it
    created_at: str  # ISO 8601, in UTC
    finished_at: str  # "" while it goes on
    seconds: float  # from its creation to its end, or until now
    url: str  # of its page
    registry: str  # the input of that name


def registry_of(run: Any) -> str:
    """Returns the registry of a run; "" if its inputs do not name one."""
    return str(((run.runtime_config and run.runtime_config.parameters) or {}).get("registry", ""))


def view(kubeflow: Kubeflow, run: Any, now: datetime) -> RunView:
    """Describes a run."""
    # A run that has not ended has no end time, or 1970.
    ended = run.finished_at if run.finished_at and run.finished_at >= run.created_at else None
    return RunView(
        run_id=run.run_id,
        name=run.display_name,
        state=state_of(run),
        created_at=_text(run.created_at),
        finished_at=_text(ended) if ended else "",
        seconds=max(((ended or now) - run.created_at).total_seconds(), 0.0),
        url=kubeflow.run_url(run.run_id),
        registry=registry_of(run),
    )


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds")


def find_run(kubeflow: Kubeflow, name: str) -> Any:
    """Finds the run with a name, or with an id that begins with it.

    Raises `UserError` unless there is exactly one.
    """
    found = list(kubeflow.runs(filter=where("display_name", "EQUALS", name)))
    if not found:
        like = kubeflow.runs(filter=where("run_id", "IS_SUBSTRING", name))
        found = [run for run in like if run.run_id.startswith(name)]
    if not found:
        raise UserError(f"no run has the name {name}, or an id that begins so; see `twotower cluster runs`")
    if len(found) > 1:
        ids = ", ".join(run.run_id for run in found[:5])
        raise UserError(f"{len(found)} runs are meant by {name}; give more of the id: {ids}")
    return read_run(kubeflow, found[0].run_id)


def read_run(kubeflow: Kubeflow, run_id: str) -> Any:
    """Returns a run with the states of its steps."""
    return kubeflow.sdk.runs.run_service_get_run(run_id=run_id)


def cancel(kubeflow: Kubeflow, run: Any) -> None:
    """Cancels a run; its exit handler still runs. Raises `UserError` if it has ended."""
    if run.state in FINISHED:
        raise UserError(f"the run {run.run_id} has ended already: {state_of(run)}")

    def find() -> Any | None:
        now = read_run(kubeflow, run.run_id)
        return now if now.state == CANCELING or now.state in FINISHED else None

    get_or_create(find, lambda: kubeflow.sdk.runs.run_service_terminate_run(run_id=run.run_id))


def retry(kubeflow: Kubeflow, run: Any) -> None:
    """Starts the failed steps of a run again, in the same run. Raises `UserError` unless it has failed."""
    if run.state not in FINISHED:
        raise UserError(
            f"the run {run.run_id} goes on ({state_of(run)}); it can be retried once it has failed, and "
            "`twotower cluster cancel` ends it"
        )
    if run.state != "FAILED":
        raise UserError(f"the run {run.run_id} has {state_of(run)}: there is nothing to retry; submit anew")

    def find() -> Any | None:
        now = read_run(kubeflow, run.run_id)
        return now if now.state not in FINISHED else None

    get_or_create(find, lambda: kubeflow.sdk.runs.run_service_retry_run(run_id=run.run_id))
