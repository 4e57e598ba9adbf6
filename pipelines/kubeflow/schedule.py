"""Schedules by name, of which the server itself takes care that none is there twice: it does not.

The server cannot change a schedule, only create and delete it, and does not mind two of one name. Here the
name stands for one schedule. Its successor is created switched off, the old one is switched off, the new
one on, and then the old one is deleted: at no moment are two of them on, and wherever that is cut off, the
same call completes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import islice
from typing import Any

from components.errors import UserError
from pipelines.kubeflow.client import FINISHED, Kubeflow, create_once, repeat, where
from pipelines.kubeflow.plan import Plan
from pipelines.kubeflow.transport import ApiError

_ENABLED = "ENABLED"

# The server starts no more runs of a schedule at a time than this.
MOST_CONCURRENT = 10


@dataclass(frozen=True)
class Created:
    """What `create` came to: the schedule, whether it was there already, and how many it replaced."""

    schedule: Any
    found: bool
    replaced: int


def create(kubeflow: Kubeflow, plan: Plan, *, kill_running: bool = False) -> Created:
    """Sees to it that the one schedule of the plan's name is what the plan says, and on.

    Args:
      kubeflow: where.
      plan: the schedule.
      kill_running: whether runs in progress of a schedule that is replaced may die with it.

    Raises:
      UserError: if a run in progress would be killed, somebody else creates the same name at the same
        moment, or the server refuses it.
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
    """Deletes the schedule of a name.

    Raises:
      UserError: if there is none, or a run in progress would be killed.
    """
    schedules = existing(kubeflow, name)
    if not kill_running:
        _refuse_to_kill(kubeflow, schedules, f"twotower schedule delete {name}")
    for schedule in schedules:
        _delete(kubeflow, schedule)


def switch(kubeflow: Kubeflow, name: str, *, on: bool) -> None:
    """Switches the schedule of a name on or off; runs in progress go on.

    Raises:
      UserError: if there is none, or more than one is to be switched on.
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
    """All schedules of a name, newest first. More than one: a replacement was cut off."""
    return [schedule for schedule in kubeflow.recurring_runs() if schedule.display_name == name]


def existing(kubeflow: Kubeflow, name: str) -> list[Any]:
    """Like `named`, but raises `UserError` if there is none."""
    found = named(kubeflow, name)
    if not found:
        others = sorted({schedule.display_name for schedule in kubeflow.recurring_runs()})
        raise UserError(f"no schedule is called {name}; there are: {', '.join(others) or 'none'}")
    return found


def runs_of(kubeflow: Kubeflow, schedule: Any) -> list[Any]:
    """The newest runs of a schedule, newest first, as many as can be in progress at a time."""
    runs = kubeflow.runs(filter=where("recurring_run_id", "EQUALS", schedule.recurring_run_id))
    return list(islice(runs, MOST_CONCURRENT))


def _create_disabled(kubeflow: Kubeflow, plan: Plan, before: Sequence[Any]) -> Any:
    known = {schedule.recurring_run_id for schedule in before}

    def find() -> Any | None:
        new = (one for one in named(kubeflow, plan.name) if one.recurring_run_id not in known)
        return next((schedule for schedule in new if plan.matches(schedule)), None)

    body = plan.to_api()
    calls = kubeflow.sdk.recurring_runs
    return create_once(find, lambda: calls.recurring_run_service_create_recurring_run(recurring_run=body))


def _older(kubeflow: Kubeflow, schedule: Any, before: Sequence[Any]) -> list[Any]:
    """The other schedules of the name. Raises `UserError` if one is newer: of two callers the last wins."""
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
        if error.status != HTTPStatus.NOT_FOUND:  # it went at the first try, or by another hand
            raise
