"""Subcommands `schedule …`, and the view of the schedules on the server."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from pipelines.kubeflow.client import FINISHED, ApiError, Kubeflow
from pipelines.kubeflow.options import connection_options, param_option, place_options, pod_options
from pipelines.kubeflow.schedule import runs_of
from pipelines.kubeflow.trigger import trigger_of

if TYPE_CHECKING:
    from pipelines.kubeflow.client import Kubeflow
    from pipelines.kubeflow.pods import PodSettings
    from pipelines.kubeflow.submit import Place


_ENABLED = "ENABLED"


@dataclass(frozen=True)
class ScheduleView:
    """A schedule and its last run, as text.

    Attributes:
      name: of the schedule.
      state: "on", "off", or "replacement cut off" after an interrupted `create`.
      trigger: the cron expression or the interval.
      version: "latest", or the name of the version that it is pinned to.
      image: the image that the steps run on.
      age: since the schedule was created.
      outcome: of the newest run, and its age.
      run_url: the newest run's page; "" if there is none.
      arguments: of the pipeline.
      firings: the next three times in UTC; none if it is off.
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
    """Describes a schedule as text.

    Args:
      kubeflow: the server.
      schedule: the schedule as the API returns it.
      now: the current time.
      alone: true if no other schedule has its name.
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
    """Yields the next times at which a schedule starts a run, in UTC."""
    trigger = trigger_of(schedule.trigger)
    if trigger is None:
        return iter(())
    fired = [run.scheduled_at for run in runs if run.scheduled_at is not None]
    return itertools.islice(trigger.firings(now, max([schedule.created_at, *fired])), count)


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


def present() -> datetime:
    """Returns the current time in UTC."""
    return datetime.now(UTC)


# Width at which a schedule takes one line, for programs that read the list.
_ONE_LINE = 250

_KILL_RUNNING = click.option(
    "--kill-running",
    is_flag=True,
    help="Go on although a run of the schedule is in progress, which the server kills with its schedule.",
)


@click.group(help="Retrain on a schedule, on Kubeflow. A name stands for one schedule.")
def schedule() -> None:
    """Group of the commands below."""


@schedule.command(
    help="Create the schedule NAME, or replace it: the new one is in place before the old one goes. Repeat "
    "the call if it was cut off. Times are in UTC."
)
@click.argument("name")
@click.option(
    "--cron",
    default="",
    show_default=False,
    help="When, in six fields: second minute hour day month weekday; '0 0 3 * * *' is every day at 03:00.",
)
@click.option("--every", default="", show_default=False, help="Or how often: 6h, 30m, 1d12h.")
@click.option(
    "--always-latest",
    is_flag=True,
    help="Run the version of the pipeline, and its image, that is the newest then, not the one uploaded now.",
)
@click.option(
    "--skip-unchanged",
    is_flag=True,
    help="End a run at once, saying so, if the champion was trained on the same input files.",
)
@click.option(
    "--max-concurrency",
    type=click.IntRange(1, 10),
    default=1,
    show_default=True,
    help="Most runs of the schedule in progress at a time.",
)
@_KILL_RUNNING
@param_option
@place_options
@pod_options
@connection_options
def create(
    *,
    kubeflow: "Callable[[], Kubeflow]",
    pods: "PodSettings",
    place: "Place",
    name: str,
    cron: str,
    every: str,
    always_latest: bool,
    skip_unchanged: bool,
    max_concurrency: int,
    kill_running: bool,
    texts: tuple[str, ...],
) -> None:
    from pipelines.kubeflow.schedule import Plan, runs_of
    from pipelines.kubeflow.schedule import create as put
    from pipelines.kubeflow.submit import experiment, package, pipeline_arguments, upload
    from pipelines.kubeflow.trigger import parse_trigger

    trigger = parse_trigger(cron, every)
    arguments = pipeline_arguments((*texts, *["skip_unchanged=true"] * skip_unchanged), pods)
    with package(pods) as compiled:
        connection = kubeflow()
        version = upload(connection, compiled, place.pipeline)
    plan = Plan(
        name=name,
        trigger=trigger,
        experiment_id=experiment(connection, place.experiment).experiment_id,
        pipeline_id=version.pipeline_id,
        version_id="" if always_latest else version.version_id,
        arguments=arguments,
        max_concurrency=max_concurrency,
        service_account=place.service_account,
        pipeline_root=place.pipeline_root,
    )
    created = put(connection, plan, kill_running=kill_running)
    what = "the newest version" if always_latest else f"version {version.name}"
    verb = "is as asked already" if created.found else "replaced" if created.replaced else "created"
    click.echo(f"schedule {name} {verb}: {trigger}, {what} of {place.pipeline}")
    runs = runs_of(connection, created.schedule)
    for line in firing_lines(list(next_firings(created.schedule, runs, present()))):
        click.echo(f"  {line}")


@schedule.command(
    name="list", help="List the schedules: when, which version and image, how the last run ended."
)
@connection_options
def list_schedules(*, kubeflow: "Callable[[], Kubeflow]") -> None:
    from collections import Counter

    from rich.console import Console
    from rich.table import Table

    connection = kubeflow()
    schedules = list(connection.recurring_runs())
    if not schedules:
        click.echo("no schedules; `twotower schedule create` makes one")
        return
    count = Counter(one.display_name for one in schedules)
    table = Table(box=None, pad_edge=False)
    for header in ("name", "state", "when (UTC)", "version", "image", "age", "last run"):
        table.add_column(header, overflow="fold")
    for one in sorted(schedules, key=lambda one: one.display_name):
        seen = view(connection, one, present(), alone=count[one.display_name] == 1)
        row = (seen.name, seen.state, seen.trigger, seen.version, seen.image, seen.age, seen.outcome)
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:
        console.width = _ONE_LINE
    console.print(table)


@schedule.command(help="Show the schedule NAME: its inputs, its last run, and when it fires next.")
@click.argument("name")
@connection_options
def show(*, kubeflow: "Callable[[], Kubeflow]", name: str) -> None:
    from pipelines.kubeflow.schedule import existing

    connection = kubeflow()
    found = existing(connection, name)
    for one in found:
        seen = view(connection, one, present(), alone=len(found) == 1)
        for title, text in (
            ("schedule", f"{seen.name} ({seen.state}), {seen.age} old"),
            ("when (UTC)", seen.trigger),
            ("version", seen.version),
            ("image", seen.image),
            ("last run", " ".join([seen.outcome, seen.run_url]).strip()),
            *((key, str(value)) for key, value in sorted(seen.arguments.items()) if key != "image"),
        ):
            click.echo(f"{title:<22}{text}")
        for line in firing_lines(seen.firings):
            click.echo(f"{'next':<22}{line}")


@schedule.command(help="Stop starting runs of the schedule NAME, until it is resumed.")
@click.argument("name")
@connection_options
def pause(*, kubeflow: "Callable[[], Kubeflow]", name: str) -> None:
    _switch(kubeflow, name, on=False)
    click.echo(f"schedule {name} is off; a run in progress goes on")


@schedule.command(help="Start runs of the schedule NAME again. Those that it missed are not made up for.")
@click.argument("name")
@connection_options
def resume(*, kubeflow: "Callable[[], Kubeflow]", name: str) -> None:
    _switch(kubeflow, name, on=True)
    click.echo(f"schedule {name} is on")


@schedule.command(help="Delete the schedule NAME; its runs that have ended stay.")
@click.argument("name")
@_KILL_RUNNING
@connection_options
def delete(*, kubeflow: "Callable[[], Kubeflow]", name: str, kill_running: bool) -> None:
    from pipelines.kubeflow.schedule import delete as remove

    remove(kubeflow(), name, kill_running=kill_running)
    click.echo(f"schedule {name} is deleted")


@schedule.command(name="run-now", help="Start a run with the version and inputs of the schedule NAME, now.")
@click.argument("name")
@connection_options
def run_now(*, kubeflow: "Callable[[], Kubeflow]", name: str) -> None:
    from pipelines.kubeflow.schedule import run_now as start

    click.echo(start(kubeflow(), name))


def _switch(kubeflow: "Callable[[], Kubeflow]", name: str, **state: Any) -> None:
    from pipelines.kubeflow.schedule import switch

    switch(kubeflow(), name, **state)
