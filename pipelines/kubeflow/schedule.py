"""Schedules by name: plan, creation, deletion, and runs started by hand."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import islice
from typing import Any

from components.errors import UserError
from pipelines.kubeflow.client import FINISHED, ApiError, Kubeflow, get_or_create, repeat, where
from pipelines.kubeflow.trigger import Trigger


@dataclass(frozen=True)
class Plan:
    """Desired state of a schedule.

    Attributes:
      name: of the schedule.
      trigger: when it fires.
      experiment_id: the experiment that holds the runs.
      pipeline_id: the pipeline that runs.
      version_id: the version that runs; "" for the newest at each firing.
      arguments: of the pipeline, typed.
      max_concurrency: the most runs at a time.
      service_account: account of the pods; "" for the default of the namespace.
      pipeline_root: place of the outputs of the steps; "" for the default of the server.
    """

    name: str
    trigger: Trigger
    experiment_id: str
    pipeline_id: str
    version_id: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    max_concurrency: int = 1
    service_account: str = ""
    pipeline_root: str = ""

    def to_api(self) -> Any:
        """Returns the schedule as the API has it, disabled."""
        from kfp_server_api import (
            RecurringRunMode,
            V2beta1PipelineVersionReference,
            V2beta1RecurringRun,
            V2beta1RuntimeConfig,
        )

        return V2beta1RecurringRun(
            display_name=self.name,
            trigger=self.trigger.to_api(),
            experiment_id=self.experiment_id,
            # The client of KFP requires a version; the server takes the newest where there is none.
            pipeline_version_reference=V2beta1PipelineVersionReference(
                pipeline_id=self.pipeline_id, pipeline_version_id=self.version_id or None
            ),
            runtime_config=V2beta1RuntimeConfig(
                parameters=self.arguments, pipeline_root=self.pipeline_root or None
            ),
            service_account=self.service_account or None,
            max_concurrency=str(self.max_concurrency),
            # Otherwise a schedule that was disabled for a week would start every missed run.
            no_catchup=True,
            mode=RecurringRunMode.DISABLE,
        )

    def matches(self, schedule: Any) -> bool:
        """Returns true if a schedule on the server has this state, enabled or not.

        Values that the plan leaves to the server (service account, pipeline root) are not compared.
        """
        wanted, found = _plain(self.to_api()), _plain(schedule)
        del wanted["mode"]
        pinned_to = found.get("pipeline_version_reference", {}).get("pipeline_version_id", "")
        same_arguments = schedule.runtime_config is not None and (
            (schedule.runtime_config.parameters or {}) == self.arguments
        )
        return _within(wanted, found) and pinned_to == self.version_id and same_arguments


def _plain(value: Any) -> Any:
    """Turns models into nested dictionaries without empty values, which a server may send or omit."""
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    if isinstance(value, dict):
        return {key: plain for key, item in value.items() if (plain := _plain(item)) not in ("", {})}
    return "" if value is None else value


def _within(wanted: Any, found: Any) -> bool:
    """Returns true if `found` has all values of `wanted`."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(key in found and _within(item, found[key]) for key, item in wanted.items())
    return bool(wanted == found)


_ENABLED = "ENABLED"

# The most runs of a schedule that the server starts at a time.
MOST_CONCURRENT = 10


@dataclass(frozen=True)
class Created:
    """Result of `create`: the schedule, true if it existed already, and the number that it replaced."""

    schedule: Any
    found: bool
    replaced: int


def create(kubeflow: Kubeflow, plan: Plan, *, kill_running: bool = False) -> Created:
    """Makes the plan the only schedule of its name, and enables it.

    Args:
      kubeflow: the server.
      plan: the schedule.
      kill_running: replace a schedule although that kills its runs in progress.

    Raises:
      UserError: if a run in progress would be killed, somebody else creates the same name at the same
        moment, or the server refuses the request.
    """
    before = named(kubeflow, plan.name)
    same = next((schedule for schedule in before if plan.matches(schedule)), None)
    old = [schedule for schedule in before if schedule is not same]
    if not kill_running:
        _refuse_to_kill(kubeflow, old, f"twotower schedule create {plan.name} …")
    schedule = same or _create_disabled(kubeflow, plan, before)
    if same is None:
        old = _older(kubeflow, schedule, before)
    for other in old:
        _switch(kubeflow, other, on=False)
    _switch(kubeflow, schedule, on=True)
    for other in old:
        _delete(kubeflow, other)
    return Created(schedule, same is not None, len(old))


def delete(kubeflow: Kubeflow, name: str, *, kill_running: bool = False) -> None:
    """Deletes the schedule called `name`.

    Raises:
      UserError: if there is none, or a run in progress would be killed.
    """
    schedules = existing(kubeflow, name)
    if not kill_running:
        _refuse_to_kill(kubeflow, schedules, f"twotower schedule delete {name}")
    for schedule in schedules:
        _delete(kubeflow, schedule)


def switch(kubeflow: Kubeflow, name: str, *, on: bool) -> None:
    """Enables or disables the schedule called `name`; runs in progress continue.

    Raises:
      UserError: if there is none, or several would be enabled.
    """
    schedules = existing(kubeflow, name)
    if on and len(schedules) > 1:
        raise UserError(
            f"{len(schedules)} schedules are called {name}, since a replacement was cut off; repeat its "
            "`twotower schedule create`"
        )
    for schedule in schedules:
        _switch(kubeflow, schedule, on=on)


def named(kubeflow: Kubeflow, name: str) -> list[Any]:
    """Lists the schedules called `name`, newest first; several after an interrupted replacement."""
    return [schedule for schedule in kubeflow.recurring_runs() if schedule.display_name == name]


def existing(kubeflow: Kubeflow, name: str) -> list[Any]:
    """Does `named`, but raises `UserError` if there is none."""
    found = named(kubeflow, name)
    if not found:
        others = sorted({schedule.display_name for schedule in kubeflow.recurring_runs()})
        raise UserError(f"no schedule is called {name}; there are: {', '.join(others) or 'none'}")
    return found


def runs_of(kubeflow: Kubeflow, schedule: Any) -> list[Any]:
    """Lists the newest runs of a schedule, newest first, as many as can be in progress at a time."""
    runs = kubeflow.runs(filter=where("recurring_run_id", "EQUALS", schedule.recurring_run_id))
    return list(islice(runs, MOST_CONCURRENT))


def _create_disabled(kubeflow: Kubeflow, plan: Plan, before: Sequence[Any]) -> Any:
    known = {schedule.recurring_run_id for schedule in before}

    def find() -> Any | None:
        new = (one for one in named(kubeflow, plan.name) if one.recurring_run_id not in known)
        return next((schedule for schedule in new if plan.matches(schedule)), None)

    body = plan.to_api()
    calls = kubeflow.sdk.recurring_runs
    return get_or_create(find, lambda: calls.recurring_run_service_create_recurring_run(recurring_run=body))


def _older(kubeflow: Kubeflow, schedule: Any, before: Sequence[Any]) -> list[Any]:
    """Lists the other schedules of the name. Raises `UserError` if one is newer: the last caller wins."""
    known = {one.recurring_run_id for one in (schedule, *before)}
    others = [one for one in named(kubeflow, schedule.display_name) if not _is(one, schedule)]
    if any(_age(one) > _age(schedule) and one.recurring_run_id not in known for one in others):
        _delete(kubeflow, schedule)
        raise UserError(
            f"somebody else created a schedule called {schedule.display_name} at this moment; "
            "look at `twotower schedule list`, and repeat this if theirs is not the one that is wanted"
        )
    return others


def _is(one: Any, other: Any) -> bool:
    return bool(one.recurring_run_id == other.recurring_run_id)


def _age(schedule: Any) -> tuple[Any, str]:
    return schedule.created_at, schedule.recurring_run_id


def _refuse_to_kill(kubeflow: Kubeflow, schedules: Sequence[Any], command: str) -> None:
    running = [run for one in schedules for run in runs_of(kubeflow, one) if run.state not in FINISHED]
    if running:
        raise UserError(
            f"a run of schedule {schedules[0].display_name} is in progress, and the server kills it when its "
            f"schedule goes: {kubeflow.run_url(running[0].run_id)}; wait for its end, or repeat "
            f"`{command}` with --kill-running"
        )


def _switch(kubeflow: Kubeflow, schedule: Any, *, on: bool) -> None:
    calls = kubeflow.sdk.recurring_runs
    change = (
        calls.recurring_run_service_enable_recurring_run
        if on
        else calls.recurring_run_service_disable_recurring_run
    )
    if (schedule.status == _ENABLED) != on:
        repeat(lambda: change(recurring_run_id=schedule.recurring_run_id))


def _delete(kubeflow: Kubeflow, schedule: Any) -> None:
    call = kubeflow.sdk.recurring_runs.recurring_run_service_delete_recurring_run
    try:
        repeat(lambda: call(recurring_run_id=schedule.recurring_run_id))
    except ApiError as error:
        if error.status != HTTPStatus.NOT_FOUND:  # deleted by the first attempt, or by somebody else
            raise


def run_now(kubeflow: Kubeflow, name: str) -> str:
    """Starts a run with the version, the inputs and the experiment of the schedule called `name`.

    Returns:
      The URL of the page of the run.

    Raises:
      UserError: if there is no such schedule, or its pipeline has no version any more.
    """
    from kfp_server_api import V2beta1PipelineVersionReference, V2beta1Run

    schedule = existing(kubeflow, name)[0]
    reference = schedule.pipeline_version_reference
    if reference is not None and not reference.pipeline_version_id:
        reference = V2beta1PipelineVersionReference(
            pipeline_id=reference.pipeline_id,
            pipeline_version_id=_newest(kubeflow, reference.pipeline_id, name),
        )
    run_name = f"{name} out of turn {datetime.now(UTC):%Y-%m-%d %H:%M:%S} {secrets.token_hex(4)}"
    body = V2beta1Run(
        experiment_id=schedule.experiment_id,
        display_name=run_name,
        pipeline_version_reference=reference,
        pipeline_spec=schedule.pipeline_spec if reference is None else None,
        runtime_config=schedule.runtime_config,
        service_account=schedule.service_account,
    )

    def find() -> Any | None:
        runs = kubeflow.runs(
            experiment_id=schedule.experiment_id, filter=where("display_name", "EQUALS", run_name)
        )
        return next(runs, None)

    run = get_or_create(find, lambda: kubeflow.sdk.runs.run_service_create_run(run=body))
    return kubeflow.run_url(run.run_id)


def _newest(kubeflow: Kubeflow, pipeline_id: str, name: str) -> str:
    version = next(kubeflow.versions(pipeline_id), None)
    if version is None:
        raise UserError(
            f"the pipeline of schedule {name} has no version any more; repeat its `twotower schedule create`"
        )
    return str(version.pipeline_version_id)
