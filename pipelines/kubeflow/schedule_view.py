"""What a person wants to know of the schedules on the server."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.kubeflow.client import FINISHED, Kubeflow
from pipelines.kubeflow.schedule import runs_of
from pipelines.kubeflow.transport import ApiError
from pipelines.kubeflow.trigger import trigger_of

_ENABLED = "ENABLED"


@dataclass(frozen=True)
class ScheduleView:
    """A schedule and what became of its runs, in words.

    Attributes:
      name: of the schedule.
      state: "on", "off", or "replacement cut off" for what a killed `create` left.
      trigger: the cron expression or the interval.
      version: "latest", or the name of the version that it is pinned to.
      image: that the steps run on.
      age: since the schedule was made.
      outcome: of the newest run, and how long ago it was.
      run_url: the newest run's page; "" if there is none.
      arguments: of the pipeline.
      firings: the next three, in UTC; none if it is off.
    """

    name: str
    state: str
    trigger: str
    version: str
    image: str
    age: str
    outcome: str
    run_url: str
    arguments: dict[str, Any]
    firings: list[datetime]


def view(kubeflow: Kubeflow, schedule: Any, now: datetime, *, alone: bool = True) -> ScheduleView:
    """A schedule in words.

    Args:
      kubeflow: where.
      schedule: as the API gives it.
      now: the present.
      alone: whether no other has its name.
    """
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
        firings=list(next_firings(schedule, runs, now)) if on else [],
    )


def next_firings(schedule: Any, runs: list[Any], now: datetime, count: int = 3) -> Iterator[datetime]:
    """The next times at which a schedule starts a run, in UTC."""
    trigger = trigger_of(schedule.trigger)
    if trigger is None:
        return iter(())
    fired = [run.scheduled_at for run in runs if run.scheduled_at is not None]
    return itertools.islice(trigger.firings(now, max([schedule.created_at, *fired])), count)


def firing_lines(firings: list[datetime]) -> list[str]:
    """The times as lines, in UTC and in the local time of this machine."""
    return [f"{time:%a %Y-%m-%d %H:%M:%S} UTC  =  {time.astimezone():%a %H:%M:%S %Z}" for time in firings]


def ago(time: timedelta) -> str:
    """A span of time in its largest unit."""
    seconds = int(time.total_seconds())
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "moments"


def _outcome(run: Any, now: datetime) -> str:
    if run.state not in FINISHED:
        return f"in progress for {ago(now - run.created_at)}"
    # A run that has not ended has no end, or 1970 for one.
    finished = run.finished_at if run.finished_at and run.finished_at.year > 1970 else run.created_at
    return f"{run.state} {ago(now - finished)} ago"


def _version(kubeflow: Kubeflow, schedule: Any) -> Any | None:
    """The version on the server that the schedule would run; None if there is none."""
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
    """The image that the pipeline itself names."""
    spec = (version.pipeline_spec if version is not None else schedule.pipeline_spec) or {}
    spec = spec.get("pipeline_spec", spec)  # both documents of a package come as one
    inputs = spec.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    return str(inputs.get("image", {}).get("defaultValue", "unknown"))


def present() -> datetime:
    """The present time in UTC."""
    return datetime.now(UTC)
