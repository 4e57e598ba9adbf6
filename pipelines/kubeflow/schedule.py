"""Schedules by name: plan, creation, deletion, and a view of their state."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from components.errors import UserError
from pipelines.kubeflow.client import FINISHED, ApiError, Kubeflow, get_or_create, repeat, where
from pipelines.kubeflow.trigger import Trigger, trigger_of


@dataclass(frozen=True)
class Plan:
    """Desired state of a schedule."""

    name: str
    trigger: Trigger
    experiment_id: str
    pipeline_id: str
    version_id: str = ""  # the version of the pipeline; "" for the newest at each firing
    arguments: dict[str, Any] = field(default_factory=dict)  # of the pipeline, typed
    max_concurrency: int = 1  # the most runs at a time
    service_account: str = ""  # account of the pods; "" for the default of the namespace
    pipeline_root: str = ""  # place of the outputs of the steps; "" for the default of the server

    def to_api(self) -> Any:
        """Returns the schedule as the API has it, disabled."""
        import kfp_server_api as api

        return api.V2beta1RecurringRun(
            display_name=self.name,
            trigger=self.trigger.to_api(),
            experiment_id=self.experiment_id,
            # The client of KFP requires a version; the server takes the newest where there is none.
            pipeline_version_reference=api.V2beta1PipelineVersionReference(
                pipeline_id=self.pipeline_id, pipeline_version_id=self.version_id or None
            ),
            runtime_config=api.V2beta1RuntimeConfig(
                parameters=self.arguments, pipeline_root=self.pipeline_root or None
            ),
            service_account=self.service_account or None,
            max_concurrency=str(self.max_concurrency),
            # Otherwise a schedule that was disabled for a week would start every missed run.
            no_catchup=True,
            mode=api.RecurringRunMode.DISABLE,
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
    """Makes the plan the only schedule of its name, and enables it; with `kill_running` it may kill runs.

    Raises `UserError` if the server is too old, a run in progress would be killed, somebody else creates the
    same name at the same moment, or the server refuses the request.
    """
    kubeflow.check_release()
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
    """Deletes the schedule `name`. Raises `UserError` if there is none, or that would kill a run."""
    schedules = existing(kubeflow, name)
    if not kill_running:
        _refuse_to_kill(kubeflow, schedules, f"twotower schedule delete {name}")
    for schedule in schedules:
        _delete(kubeflow, schedule)


def switch(kubeflow: Kubeflow, name: str, *, on: bool) -> None:
    """Enables or disables the schedule called `name`; runs in progress continue.

    Raises `UserError` if there is none, several would be enabled, or the server is too old to run them.
    """
    if on:
        kubeflow.check_release()
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
    return list(itertools.islice(runs, MOST_CONCURRENT))


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
    known = {one.recurring_run_id for one in before}
    same_name = named(kubeflow, schedule.display_name)
    others = [one for one in same_name if one.recurring_run_id != schedule.recurring_run_id]
    if any(_age(one) > _age(schedule) and one.recurring_run_id not in known for one in others):
        _delete(kubeflow, schedule)
        raise UserError(
            f"somebody else created a schedule called {schedule.display_name} at this moment; "
            "look at `twotower schedule list`, and repeat this if theirs is not the one that is wanted"
        )
    return others


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


@dataclass(frozen=True)
class ScheduleView:
    """A schedule and its last run, as text."""

    name: str
    state: str  # "on", "off", or "replacement cut off" after an interrupted `create`
    trigger: str  # the cron expression or the interval
    version: str  # "latest", or the name of the version that it is pinned to
    image: str
    age: str  # since the schedule was created
    outcome: str  # of the newest run, and its age
    run_url: str  # the newest run's page; "" if there is none
    arguments: dict[str, Any]
    firings: list[datetime]  # the next three times in UTC; none if it is off


def view(kubeflow: Kubeflow, schedule: Any, now: datetime, *, alone: bool = True) -> ScheduleView:
    """Describes a schedule as text; it is `alone` if no other one has its name."""
    runs = runs_of(kubeflow, schedule)
    on = schedule.status == _ENABLED
    trigger = trigger_of(schedule.trigger)
    arguments = (schedule.runtime_config.parameters if schedule.runtime_config else None) or {}
    version = _version(kubeflow, schedule)
    return ScheduleView(
        name=schedule.display_name,
        state="on" if on else "off" if alone else "replacement cut off",
        trigger=str(trigger) if trigger else "unknown",
        version=_version_name(schedule, version),
        image=str(arguments.get("image") or _default_image(schedule, version)),
        age=ago(now - schedule.created_at),
        outcome=_outcome(runs[0], now) if runs else "no run yet",
        run_url=kubeflow.run_url(runs[0].run_id) if runs else "",
        arguments=arguments,
        firings=next_firings(schedule, runs, now) if on else [],
    )


def next_firings(schedule: Any, runs: list[Any], now: datetime) -> list[datetime]:
    """Lists the next three times at which a schedule starts a run, in UTC."""
    trigger = trigger_of(schedule.trigger)
    if trigger is None:
        return []
    fired = [run.scheduled_at for run in runs if run.scheduled_at is not None]
    return list(itertools.islice(trigger.firings(now, max([schedule.created_at, *fired])), 3))


def firing_lines(firings: list[datetime]) -> list[str]:
    """Formats times as lines, in UTC and in the local time of this machine."""
    return [f"{time:%a %Y-%m-%d %H:%M:%S} UTC  =  {time.astimezone():%a %H:%M:%S %Z}" for time in firings]


def ago(time: timedelta) -> str:
    """Formats a span of time in its largest unit."""
    seconds = int(time.total_seconds())
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "moments"


def _outcome(run: Any, now: datetime) -> str:
    if run.state not in FINISHED:
        return f"in progress for {ago(now - run.created_at)}"
    # A run that has not ended has no end time, or 1970.
    finished = run.finished_at if run.finished_at and run.finished_at.year > 1970 else run.created_at
    return f"{run.state} {ago(now - finished)} ago"


def _version(kubeflow: Kubeflow, schedule: Any) -> Any | None:
    """Finds the version on the server that the schedule would run; None if there is none."""
    reference = schedule.pipeline_version_reference
    if reference is None:
        return None
    try:
        if not reference.pipeline_version_id:
            return next(kubeflow.versions(reference.pipeline_id), None)
        return kubeflow.sdk.pipelines.pipeline_service_get_pipeline_version(
            pipeline_id=reference.pipeline_id, pipeline_version_id=reference.pipeline_version_id
        )
    except ApiError as error:
        if error.passing:
            raise
        return None


def _version_name(schedule: Any, version: Any | None) -> str:
    reference = schedule.pipeline_version_reference
    if reference is None:
        return "sent with it"
    name = version.display_name if version is not None else "deleted from the server"
    return name if reference.pipeline_version_id else f"latest ({name})"


def _default_image(schedule: Any, version: Any | None) -> str:
    """Returns the default image of the pipeline."""
    spec = (version.pipeline_spec if version is not None else schedule.pipeline_spec) or {}
    spec = spec.get("pipeline_spec", spec)  # the server returns both documents of a package as one
    inputs = spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    return str(inputs.get("image", {}).get("defaultValue", "unknown"))
