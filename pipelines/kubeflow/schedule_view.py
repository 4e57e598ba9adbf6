"""State of a schedule as text: when it fires next, which version runs then, how its last run ended."""

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from components.errors import UserError
from pipelines.kubeflow.client import FINISHED, Kubeflow, state_of
from pipelines.kubeflow.cluster import KUBEFLOW_NAMESPACE, Cluster
from pipelines.kubeflow.schedule import ENABLED, runs_of
from pipelines.kubeflow.transport import ApiError
from pipelines.kubeflow.trigger import trigger_of
from pipelines.kubeflow.versions import Content, present_graph

# The Deployment of the controller that starts the runs of schedules.
_CONTROLLER = "ml-pipeline-scheduledworkflow"
_VARIABLE = "CRON_SCHEDULE_TIMEZONE"


@dataclass(frozen=True)
class TimeZone:
    """Time zone of the schedules."""

    zone: tzinfo
    cluster: str  # the cluster that says so; "" if none does

    def __str__(self) -> str:
        known = f"{self.zone}, as set in {self.cluster}"
        return known if self.cluster else "the cluster's time zone (UTC unless set)"


def cluster_time_zone() -> TimeZone:
    """Reads the time zone from the cluster that kubectl would use, where that may be read."""
    try:
        cluster = Cluster(KUBEFLOW_NAMESPACE)
        name = _setting(cluster)
        return TimeZone(UTC if name in ("", "UTC") else ZoneInfo(name), cluster.name)
    except (UserError, ZoneInfoNotFoundError, ValueError):
        return TimeZone(UTC, "")


def _setting(cluster: Cluster) -> str:
    """Returns the variable of the controller; "" if it is empty. Raises `UserError` if it cannot be read."""
    deployment = cluster.find("deployment", _CONTROLLER)
    if deployment is None:
        raise UserError(f"there is no {_CONTROLLER}")
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        for variable in container.get("env") or []:
            if variable["name"] != _VARIABLE:
                continue
            reference = (variable.get("valueFrom") or {}).get("configMapKeyRef")
            if reference is None:
                return str(variable.get("value") or "")
            settings = cluster.find("config_map", reference["name"]) or {}
            return str((settings.get("data") or {}).get(reference["key"]) or "")
    return ""


# By whether the schedule is on.
_AFTER_MISSED = {
    True: "its run starts when one that is in progress ends",
    False: "resumed, it starts a run at once, unless by --skip-missed",
}


@dataclass(frozen=True)
class ScheduleView:
    """A schedule and its last run, as text and values for JSON."""

    name: str
    state: str  # "on", "off", or "replacement cut off" after an interrupted `create`
    trigger: str  # the cron expression or the interval
    version: str  # the name of the version that runs next
    image: str
    volumes: list[str]  # the claims that its steps mount, as CLAIM:PATH
    cure: str  # how to bring it to the graph of this project; "" if it has that
    age: str  # since the schedule was created
    outcome: str  # of the newest run, and its age
    run_url: str  # the newest run's page; "" if there is none
    arguments: dict[str, Any]
    missed: datetime | None  # the latest time that did not fire
    after_missed: str  # what becomes of it; "" without one
    next: list[datetime]  # the next three times; none if it is off


def view(kubeflow: Kubeflow, schedule: Any, now: datetime, zone: TimeZone, *, alone: bool) -> ScheduleView:
    """Describes a schedule; it is `alone` if no other one has its name."""
    runs = runs_of(kubeflow, schedule)
    on = schedule.status == ENABLED
    trigger = trigger_of(schedule.trigger)
    arguments = (schedule.runtime_config.parameters if schedule.runtime_config else None) or {}
    version = _version(kubeflow, schedule)
    content = Content(schedule.pipeline_spec if version is None else version.pipeline_spec)
    times = _times(schedule, runs, now, zone)
    return ScheduleView(
        name=schedule.display_name,
        state="on" if on else "off" if alone else "replacement cut off",
        trigger=(str(trigger) if trigger else "unknown") + ("" if schedule.no_catchup else ", catching up"),
        version=_version_name(schedule, version),
        image=str(arguments.get("image") or content.image),
        volumes=content.volumes,
        cure=_cure(schedule, version, content),
        age=ago(now - schedule.created_at),
        outcome=_outcome(runs[0], now) if runs else "no run yet",
        run_url=kubeflow.run_url(runs[0].run_id) if runs else "",
        arguments=arguments,
        missed=times.missed,
        after_missed=_AFTER_MISSED[on] if times.missed else "",
        next=times.next if on else [],
    )


class Times(NamedTuple):
    """Times of a schedule, in the zone of its cluster."""

    missed: datetime | None  # the latest time that did not fire, if any
    next: list[datetime]  # three at most


def times_of(kubeflow: Kubeflow, schedule: Any, now: datetime, zone: TimeZone) -> Times:
    """Computes when a schedule fires next, if it is on, and what it missed."""
    return _times(schedule, runs_of(kubeflow, schedule), now, zone)


def _times(schedule: Any, runs: list[Any], now: datetime, zone: TimeZone) -> Times:
    trigger = trigger_of(schedule.trigger)
    if trigger is None:
        return Times(None, [])
    last = max([schedule.created_at, *map(_fired_at, runs)])
    following = itertools.islice(trigger.firings(now, last, zone.zone), 3)
    return Times(trigger.missed(now, last, zone.zone), list(following))


def _fired_at(run: Any) -> datetime:
    """Returns the time for which a run was started, or else at which."""
    time: datetime = run.scheduled_at if run.scheduled_at and run.scheduled_at.year > 1970 else run.created_at
    return time


def time_line(time: datetime) -> str:
    """Formats a time in its zone, and in the local time of this machine."""
    return f"{time:%a %Y-%m-%d %H:%M:%S %Z}  =  {time.astimezone():%a %H:%M:%S %Z}"


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
    return f"{state_of(run)} {ago(now - finished)} ago"


def _version(kubeflow: Kubeflow, schedule: Any) -> Any | None:
    """Finds the version on the server that the schedule would run; None if there is none."""
    reference = schedule.pipeline_version_reference
    if reference is None:
        return None
    try:
        if not reference.pipeline_version_id:
            return kubeflow.newest_version(reference.pipeline_id)
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


def _cure(schedule: Any, version: Any | None, content: Content) -> str:
    """Returns how to bring a schedule to the graph of this project; "" if it has that."""
    if version is None or content.graph == present_graph():
        return ""
    if schedule.pipeline_version_reference.pipeline_version_id:
        return (
            f"another graph than this project's: repeat `twotower schedule create {schedule.display_name} …`"
        )
    return "another graph than this project's: `twotower upload` with its flags"
