"""Subcommands `schedule …`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from components.command import json_option, print_json
from components.documents import now
from pipelines.kubeflow.options import connection_options, param_option, place_options, pod_options

if TYPE_CHECKING:
    from pipelines.kubeflow.client import Kubeflow
    from pipelines.kubeflow.pods import PodSettings
    from pipelines.kubeflow.schedule_view import Times, TimeZone
    from pipelines.kubeflow.submit import Place


_KILL_RUNNING = click.option(
    "--kill-running",
    is_flag=True,
    help="Go on although a run of the schedule is in progress, which a server before 2.16 kills with its "
    "schedule.",
)


def _text_option(flag: str, help: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(flag, default="", show_default=False, help=help)


@click.group(help="Retrain on a schedule, on Kubeflow. A name stands for one schedule.")
def schedule() -> None:
    """Group of the commands below."""


@schedule.command(
    help="Create the schedule NAME, or replace it: the new one is in place before the old one goes. Repeat "
    "the call if it was cut off. Times are in the cluster's time zone, UTC unless it was set."
)
@click.argument("name")
@_text_option(
    "--cron",
    "When, in six fields: second minute hour day month weekday; '0 0 3 * * *' is every day at 03:00.",
)
@_text_option("--every", "Or how often: 6h, 30m, 1d12h.")
@_text_option(
    "--start", "No run before this time, in UTC unless it says otherwise: 2026-12-01, 2026-12-01T03:00+01:00."
)
@_text_option("--end", "No run after this time, written as for --start.")
@click.option(
    "--catch-up",
    is_flag=True,
    help="Start a run for each time that was missed (while it was off, or since --start), one after the "
    "other; else only for the last one.",
)
@click.option(
    "--always-latest",
    is_flag=True,
    help="Run the version of the pipeline, and its image and volumes, that is the newest then, not the one "
    "uploaded now. `twotower upload` brings another. Needs Kubeflow Pipelines 2.17.",
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
    help="Most runs of the schedule in progress at a time. A time that comes then is late, not left out.",
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
    start: str,
    end: str,
    catch_up: bool,
    always_latest: bool,
    skip_unchanged: bool,
    max_concurrency: int,
    kill_running: bool,
    texts: tuple[str, ...],
) -> None:
    from pipelines.kubeflow.names import server_name
    from pipelines.kubeflow.schedule import ENABLED, Plan, check_latest
    from pipelines.kubeflow.schedule import create as put
    from pipelines.kubeflow.schedule_view import cluster_time_zone, times_of
    from pipelines.kubeflow.submit import experiment, package, pipeline_arguments
    from pipelines.kubeflow.trigger import parse_trigger
    from pipelines.kubeflow.versions import upload_beside, upload_for_latest

    server_name("the schedule's name", name)
    trigger = parse_trigger(cron, every, start, end, catch_up=catch_up)
    arguments = pipeline_arguments((*texts, *["skip_unchanged=true"] * skip_unchanged), pods)
    connection = kubeflow()
    if always_latest:
        check_latest(connection)
    with package(pods.for_release(connection.release)) as compiled:
        bring = upload_for_latest if always_latest else upload_beside
        version = bring(connection, compiled, place.pipeline, name)
    plan = Plan(
        name=name,
        trigger=trigger,
        experiment_id=experiment(connection, place.experiment).experiment_id,
        pipeline_id=version.pipeline_id,
        version_id="" if always_latest else version.version_id,
        arguments=arguments,
        max_concurrency=max_concurrency,
        catch_up=catch_up,
        service_account=place.service_account,
        pipeline_root=place.pipeline_root,
    )
    created = put(connection, plan, kill_running=kill_running)
    what = "the newest version" if always_latest else f"version {version.name}"
    verb = "is as asked already" if created.found else "replaced" if created.replaced else "created"
    click.echo(f"schedule {name} {verb}: {trigger}, {what} of {version.pipeline}")
    zone = cluster_time_zone()
    if created.found and created.schedule.status != ENABLED:
        click.echo("  it was off: a time that it missed starts a run at once")
    _echo_next(times_of(connection, created.schedule, now(), zone), zone)


def _echo_next(times: "Times", zone: "TimeZone") -> None:
    """Prints when a schedule fires next."""
    from pipelines.kubeflow.schedule_view import time_line

    click.echo(f"  next, in {zone}:")
    for time in times.next:
        click.echo(f"  {time_line(time)}")


@schedule.command(
    name="list", help="List the schedules: when, which version and image, how the last run ended."
)
@json_option
@connection_options
def list_schedules(*, kubeflow: "Callable[[], Kubeflow]", as_json: bool) -> None:
    from collections import Counter
    from dataclasses import asdict

    from rich.console import Console

    from components.display import table
    from pipelines.kubeflow.schedule_view import cluster_time_zone, view

    connection = kubeflow()
    schedules = sorted(connection.recurring_runs(), key=lambda one: one.display_name)
    if not schedules and not as_json:
        click.echo("no schedules; `twotower schedule create` makes one")
        return
    count, zone = Counter(one.display_name for one in schedules), cluster_time_zone()
    seen = [view(connection, one, now(), zone, alone=count[one.display_name] == 1) for one in schedules]
    if as_json:
        print_json([asdict(one) for one in seen])
        return
    rows = [(one.name, one.state, one.trigger, one.version, one.image, one.age, one.outcome) for one in seen]
    console = Console()
    if not console.is_terminal:  # programs read a schedule from one line
        console.width = 250
    console.print(table("", ("name", "state", "when", "version", "image", "age", "last run"), rows))
    click.echo(f"times of crons are in {zone}")
    for one in seen:
        if one.cure:
            click.echo(f"{one.name}: {one.cure}")


@schedule.command(
    help="Show the schedule NAME: its inputs, its last run, when it fires next, and which version with which "
    "volumes runs then."
)
@click.argument("name")
@json_option
@connection_options
def show(*, kubeflow: "Callable[[], Kubeflow]", name: str, as_json: bool) -> None:
    from dataclasses import asdict

    from pipelines.kubeflow.schedule import existing
    from pipelines.kubeflow.schedule_view import cluster_time_zone, time_line, view

    connection = kubeflow()
    found, zone = existing(connection, name), cluster_time_zone()
    views = [view(connection, one, now(), zone, alone=len(found) == 1) for one in found]
    if as_json:
        print_json([asdict(one) for one in views])
        return
    for seen in views:
        for title, text in (
            ("schedule", f"{seen.name} ({seen.state}), {seen.age} old"),
            ("when", seen.trigger),
            ("time zone", str(zone)),
            ("version", seen.version),
            ("", seen.cure),
            ("image", seen.image),
            ("volumes", ", ".join(seen.volumes) or "none"),
            ("last run", " ".join([seen.outcome, seen.run_url]).strip()),
            *((key, value) for key, value in sorted(seen.arguments.items()) if key != "image"),
            ("missed", f"{time_line(seen.missed)}; {seen.after_missed}" if seen.missed else ""),
            *(("next", time_line(time)) for time in seen.next),
        ):
            if text != "":
                click.echo(f"{title:<22}{text}")


@schedule.command(help="Stop starting runs of the schedule NAME, until it is resumed.")
@click.argument("name")
@connection_options
def pause(*, kubeflow: "Callable[[], Kubeflow]", name: str) -> None:
    from pipelines.kubeflow.schedule import pause as switch_off

    switch_off(kubeflow(), name)
    click.echo(f"schedule {name} is off; a run in progress goes on")


@schedule.command(
    help="Start runs of the schedule NAME again. If it missed a time while it was off, a run starts at once."
)
@click.argument("name")
@click.option(
    "--skip-missed",
    is_flag=True,
    help="Start no run for what it missed: a new schedule takes its place, with the same name, version and "
    "inputs.",
)
@_KILL_RUNNING
@connection_options
def resume(*, kubeflow: "Callable[[], Kubeflow]", name: str, skip_missed: bool, kill_running: bool) -> None:
    from pipelines.kubeflow.schedule import ENABLED, existing
    from pipelines.kubeflow.schedule import resume as switch_on
    from pipelines.kubeflow.schedule_view import cluster_time_zone, time_line, times_of

    connection, zone = kubeflow(), cluster_time_zone()
    connection.check_release()
    before = existing(connection, name)[0]
    missed = times_of(connection, before, now(), zone).missed if before.status != ENABLED else None
    resumed = switch_on(connection, name, skip_missed=skip_missed, kill_running=kill_running)
    click.echo(f"schedule {name} is on")
    if missed is not None:
        follows = "no run starts for it" if skip_missed else "a run starts at once"
        click.echo(f"  it missed {time_line(missed)}: {follows}")
    _echo_next(times_of(connection, resumed, now(), zone), zone)


@schedule.command(help="Delete the schedule NAME; its runs stay.")
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
    from pipelines.kubeflow.submit import run_now as start

    click.echo(start(kubeflow(), name))
