"""Schedules by name: plan, creation, deletion, switching on and off."""

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from components.errors import UserError
from pipelines.kubeflow import names
from pipelines.kubeflow.client import FINISHED, Kubeflow, get_or_create, repeat, where
from pipelines.kubeflow.transport import ApiError
from pipelines.kubeflow.trigger import Trigger


@dataclass(frozen=True)
class Plan:
    """Desired state of a schedule. Raises `UserError` if its name cannot be one."""

    name: str
    trigger: Trigger
    experiment_id: str
    pipeline_id: str
    version_id: str = ""  # the version of the pipeline; "" for the newest at each firing
    arguments: dict[str, Any] = field(default_factory=dict)  # of the pipeline, typed
    max_concurrency: int = 1  # the most runs at a time
    catch_up: bool = False  # whether each time that was missed starts a run, or only the last one
    service_account: str = ""  # account of the pods; "" for the default of the namespace
    pipeline_root: str = ""  # place of the outputs of the steps; "" for the default of the server

    def __post_init__(self) -> None:
        names.server_name("the schedule", self.name)

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
            no_catchup=not self.catch_up,
            mode=api.RecurringRunMode.DISABLE,
        )


def _same(wanted: Any, schedule: Any) -> bool:
    """Returns true if a schedule on the server has the state `wanted`, enabled or not.

    Values that `wanted` leaves to the server (service account, pipeline root) are not compared.
    """
    whole, found = _plain(wanted), _plain(schedule)
    del whole["mode"], whole["trigger"]
    return _within(whole, found) and _exact(wanted) == _exact(schedule)


def _exact(schedule: Any) -> tuple[Any, ...]:
    """Returns the parts in which absence means something."""
    version = schedule.pipeline_version_reference
    parameters = schedule.runtime_config.parameters if schedule.runtime_config is not None else None
    pinned_to = version.pipeline_version_id if version is not None else None
    trigger = {kind: dict(fields) for kind, fields in (_plain(schedule.trigger) or {}).items()}
    for fields in trigger.values():
        start = fields.get("start_time")
        if schedule.no_catchup and start is not None and start <= datetime.now(UTC):
            del fields["start_time"]  # of no effect any more
    return trigger, bool(schedule.no_catchup), pinned_to or "", parameters or {}


def _plain(value: Any) -> Any:
    """Turns models into nested dictionaries without empty values, which a server may send or omit."""
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    if isinstance(value, dict):
        return {key: plain for key, item in value.items() if (plain := _plain(item)) not in ("", {}, False)}
    return "" if value is None else value


def _within(wanted: Any, found: Any) -> bool:
    """Returns true if `found` has all values of `wanted`."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(key in found and _within(item, found[key]) for key, item in wanted.items())
    return bool(wanted == found)


ENABLED = "ENABLED"

# The most runs of a schedule that the server starts at a time.
_MOST_CONCURRENT = 10

# The first releases that delete a schedule without its runs, and whose schedules take the newest version.
_ORPHANS, _LATEST = (2, 16), (2, 17)
_ORPHAN = "ORPHAN"
_NOBODY = "00000000-0000-0000-0000-000000000000"


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
    if not plan.version_id:
        check_latest(kubeflow)
    wanted, before = plan.to_api(), named(kubeflow, plan.name)
    same = next((schedule for schedule in before if _same(wanted, schedule)), None)
    command = f"twotower schedule create {plan.name} … --kill-running"
    return _replace(kubeflow, wanted, same, before, "" if kill_running else command)


def check_latest(kubeflow: Kubeflow) -> None:
    """Raises `UserError` if schedules of the server cannot take the newest version of a pipeline."""
    if kubeflow.release is not None and kubeflow.release < _LATEST:
        raise UserError(
            f"--always-latest: Kubeflow Pipelines {kubeflow.tag} cannot do that: before 2.17 it fails, or "
            "starts a run every ten seconds; leave the flag out, and repeat `twotower schedule create` for "
            "each new version, or upgrade the server to 2.17"
        )


def delete(kubeflow: Kubeflow, name: str, *, kill_running: bool = False) -> None:
    """Deletes the schedule `name`. Raises `UserError` if there is none, or that would kill a run."""
    schedules = existing(kubeflow, name)
    spared = _spares_runs(kubeflow)
    if not (spared or kill_running):
        _refuse_to_kill(kubeflow, schedules, f"twotower schedule delete {name} --kill-running")
    for schedule in schedules:
        _delete(kubeflow, schedule, spared=spared)


def pause(kubeflow: Kubeflow, name: str) -> None:
    """Disables the schedule called `name`; runs in progress continue. Raises `UserError` if there is none."""
    for schedule in existing(kubeflow, name):
        _switch(kubeflow, schedule, on=False)


def resume(kubeflow: Kubeflow, name: str, *, skip_missed: bool = False, kill_running: bool = False) -> Any:
    """Enables the schedule called `name`; returns it.

    A time that it missed starts a run at once. With `skip_missed` a new schedule takes its place, which has
    missed none. Raises `UserError` if there is none or several, the server is too old to run them, or a run
    in progress would be killed.
    """
    kubeflow.check_release()
    schedules = existing(kubeflow, name)
    wanted = _anew(schedules[0])
    if not all(_same(wanted, other) for other in schedules[1:]) or (len(schedules) > 1 and not skip_missed):
        raise UserError(
            f"{len(schedules)} schedules are called {name}, since a replacement was cut off; repeat its "
            "`twotower schedule create`"
        )
    if skip_missed:
        reference = wanted.pipeline_version_reference
        if reference is not None and not reference.pipeline_version_id:
            check_latest(kubeflow)
        made = schedules[0] if schedules[0].status == ENABLED else None
        command = f"twotower schedule resume {name} --skip-missed --kill-running"
        return _replace(kubeflow, wanted, made, schedules, "" if kill_running else command).schedule
    _switch(kubeflow, schedules[0], on=True)
    return schedules[0]


def _anew(schedule: Any) -> Any:
    """Returns a schedule of the server as one to create, disabled; without a start that is past."""
    import kfp_server_api as api

    body = copy.deepcopy(schedule)
    for key in ("recurring_run_id", "created_at", "updated_at", "status", "error", "namespace"):
        setattr(body, key, None)
    body.mode = api.RecurringRunMode.DISABLE
    for one in (body.trigger.cron_schedule, body.trigger.periodic_schedule) if body.trigger else ():
        if one is not None and one.start_time is not None and one.start_time <= datetime.now(UTC):
            one.start_time = None  # the server would count the times missed from there
    return body


def named(kubeflow: Kubeflow, name: str) -> list[Any]:
    """Lists the schedules called `name`, newest first; several after an interrupted replacement."""
    return list(kubeflow.recurring_runs(filter=where("display_name", "EQUALS", name)))


def existing(kubeflow: Kubeflow, name: str) -> list[Any]:
    """Does `named`, but raises `UserError` if there is none."""
    found = named(kubeflow, name)
    if not found:
        others = sorted({schedule.display_name for schedule in kubeflow.recurring_runs()})
        raise UserError(f"no schedule is called {name}; there are: {', '.join(others) or 'none'}")
    return found


def runs_of(kubeflow: Kubeflow, schedule: Any) -> list[Any]:
    """Lists the newest runs of a schedule, newest first, as many as can be in progress at a time."""
    selected = where("recurring_run_id", "EQUALS", schedule.recurring_run_id)
    return list(itertools.islice(kubeflow.runs(filter=selected, size=_MOST_CONCURRENT), _MOST_CONCURRENT))


def _replace(
    kubeflow: Kubeflow, wanted: Any, same: Any | None, before: Sequence[Any], command: str
) -> Created:
    """Enables `same`, or else a new schedule, in place of all of `before`.

    Args:
      wanted: the new schedule, disabled.
      same: the one of `before` that stays, if any.
      before: the schedules of its name.
      command: the one that would kill runs in progress, for the refusal to; "" to kill them.
    """
    old = [schedule for schedule in before if schedule is not same]
    spared = _spares_runs(kubeflow) if old else True
    if command and not spared:
        _refuse_to_kill(kubeflow, old, command)
    schedule = same or _create_disabled(kubeflow, wanted, before)
    if same is None:
        old = _older(kubeflow, schedule, before)
    for other in old:
        _switch(kubeflow, other, on=False)
    _switch(kubeflow, schedule, on=True)
    for other in old:
        _delete(kubeflow, other, spared=spared)
    return Created(schedule, same is not None, len(old))


def _create_disabled(kubeflow: Kubeflow, wanted: Any, before: Sequence[Any]) -> Any:
    known = {schedule.recurring_run_id for schedule in before}

    def find() -> Any | None:
        new = (one for one in named(kubeflow, wanted.display_name) if one.recurring_run_id not in known)
        return next((schedule for schedule in new if _same(wanted, schedule)), None)

    calls = kubeflow.sdk.recurring_runs
    return get_or_create(find, lambda: calls.recurring_run_service_create_recurring_run(recurring_run=wanted))


def _older(kubeflow: Kubeflow, schedule: Any, before: Sequence[Any]) -> list[Any]:
    """Lists the other schedules of the name. Raises `UserError` if one is newer: the last caller wins."""
    known = {one.recurring_run_id for one in before}
    same_name = named(kubeflow, schedule.display_name)
    others = [one for one in same_name if one.recurring_run_id != schedule.recurring_run_id]
    if any(_age(one) > _age(schedule) and one.recurring_run_id not in known for one in others):
        _delete(kubeflow, schedule, spared=False)  # it was never on
        raise UserError(
            f"somebody else created a schedule called {schedule.display_name} at this moment; "
            "look at `twotower schedule list`, and repeat this if theirs is not the one that is wanted"
        )
    return others


def _age(schedule: Any) -> tuple[Any, str]:
    return schedule.created_at, schedule.recurring_run_id


def _spares_runs(kubeflow: Kubeflow) -> bool:
    """Asks whether the server can delete a schedule without its runs."""
    if kubeflow.release is not None:
        return kubeflow.release >= _ORPHANS
    # One that was built from source names no release. If it knows the parameter, it refuses a wrong value.
    call = kubeflow.sdk.recurring_runs.recurring_run_service_delete_recurring_run
    try:
        call(recurring_run_id=_NOBODY, propagation_policy="UNKNOWN")
    except ApiError as error:
        return error.status == HTTPStatus.BAD_REQUEST
    return False


def _refuse_to_kill(kubeflow: Kubeflow, schedules: Sequence[Any], command: str) -> None:
    running = [run for one in schedules for run in runs_of(kubeflow, one) if run.state not in FINISHED]
    if running:
        raise UserError(
            f"a run of schedule {schedules[0].display_name} is in progress, and Kubeflow Pipelines before "
            "2.16 kills it with its schedule, and shows it as running for ever: "
            f"{kubeflow.run_url(running[0].run_id)}; wait for its end, end it by `twotower cluster cancel "
            f"{running[0].run_id}`, or give `{command}`"
        )


def _switch(kubeflow: Kubeflow, schedule: Any, *, on: bool) -> None:
    calls = kubeflow.sdk.recurring_runs
    change = (
        calls.recurring_run_service_enable_recurring_run
        if on
        else calls.recurring_run_service_disable_recurring_run
    )
    if (schedule.status == ENABLED) != on:
        repeat(lambda: change(recurring_run_id=schedule.recurring_run_id))


def _delete(kubeflow: Kubeflow, schedule: Any, *, spared: bool) -> None:
    """Deletes a schedule; its runs in progress are `spared`, or else killed by the server."""
    call = kubeflow.sdk.recurring_runs.recurring_run_service_delete_recurring_run
    policy = {"propagation_policy": _ORPHAN} if spared else {}
    try:
        repeat(lambda: call(recurring_run_id=schedule.recurring_run_id, **policy))
    except ApiError as error:
        if error.status != HTTPStatus.NOT_FOUND:  # deleted by the first attempt, or by somebody else
            raise
