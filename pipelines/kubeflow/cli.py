"""Subcommands `submit`, `doctor` and `schedule …`."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from components.documents import now
from pipelines.kubeflow.options import connection_options, param_option, place_options, pod_options
from pipelines.kubeflow.waiting import parse_timeout, wait_for, wait_options

if TYPE_CHECKING:
    from pipelines.kubeflow.client import Kubeflow
    from pipelines.kubeflow.pods import PodSettings
    from pipelines.kubeflow.submit import Place


@click.command(
    help="Start a run of the pipeline on Kubeflow, and print its page. A run with the same inputs that has "
    "not ended yet is found rather than started again. With --wait, exits with 0 if the run succeeds, 1 if "
    "it fails, 130 if it is cancelled, 124 if --timeout is over."
)
@param_option
@place_options
@pod_options
@connection_options
@click.option(
    "--upload/--no-upload",
    default=True,
    help="Keep the pipeline on the server, a version for each content; or only send it with the run.",
)
@click.option("--again", is_flag=True, help="Start a run even if one with the same inputs has not ended yet.")
@wait_options
def submit(
    *,
    kubeflow: "Callable[[], Kubeflow]",
    pods: "PodSettings",
    place: "Place",
    texts: tuple[str, ...],
    upload: bool,
    again: bool,
    wait: bool,
    timeout: str,
) -> None:
    from pipelines.kubeflow.submit import package, pipeline_arguments
    from pipelines.kubeflow.submit import submit as start

    limit = parse_timeout(timeout, wait=wait)
    arguments = pipeline_arguments(texts, pods)
    connection = kubeflow()
    with package(pods.for_release(connection.release)) as compiled:
        started = start(connection, compiled, arguments, place, keep_version=upload, again=again)
    if started.found:
        click.echo("a run with the same inputs has not ended yet; --again starts another", err=True)
    click.echo(started.url)
    if wait:
        sys.exit(wait_for(connection, started.run_id, limit))


_SIGNS = {"well": "✓", "ill": "✗", "unknown": "?"}


@click.command(
    help="Look at all that runs on Kubeflow need: the server, your access, and what the other flags name. "
    "Give it the flags of `twotower submit`. Exits with 1 if anything is missing."
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    help="Pods that are to train together, by --param workers=N: whether the steps may start them.",
)
@place_options
@pod_options
@connection_options
def doctor(*, kubeflow: "Callable[[], Kubeflow]", pods: "PodSettings", place: "Place", workers: int) -> None:
    from components.image import IMAGE
    from pipelines.kubeflow.doctor import examine

    ill = 0
    for finding in examine(kubeflow, place, pods, pods.image or IMAGE, workers):
        ill += finding.verdict == "ill"
        click.echo(f"{_SIGNS[finding.verdict]} {finding.what:<16}{finding.text}")
    sys.exit(1 if ill else 0)


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
    from pipelines.kubeflow.schedule import Plan, firing_lines, next_firings, runs_of
    from pipelines.kubeflow.schedule import create as put
    from pipelines.kubeflow.submit import experiment, package, pipeline_arguments, upload
    from pipelines.kubeflow.trigger import parse_trigger

    trigger = parse_trigger(cron, every)
    arguments = pipeline_arguments((*texts, *["skip_unchanged=true"] * skip_unchanged), pods)
    connection = kubeflow()
    with package(pods.for_release(connection.release)) as compiled:
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
    for line in firing_lines(next_firings(created.schedule, runs, now())):
        click.echo(f"  {line}")


@schedule.command(
    name="list", help="List the schedules: when, which version and image, how the last run ended."
)
@connection_options
def list_schedules(*, kubeflow: "Callable[[], Kubeflow]") -> None:
    from collections import Counter

    from rich.console import Console

    from components.display import table
    from pipelines.kubeflow.schedule import view

    connection = kubeflow()
    schedules = sorted(connection.recurring_runs(), key=lambda one: one.display_name)
    if not schedules:
        click.echo("no schedules; `twotower schedule create` makes one")
        return
    count = Counter(one.display_name for one in schedules)
    rows = []
    for one in schedules:
        seen = view(connection, one, now(), alone=count[one.display_name] == 1)
        rows.append((seen.name, seen.state, seen.trigger, seen.version, seen.image, seen.age, seen.outcome))
    console = Console()
    if not console.is_terminal:  # programs read a schedule from one line
        console.width = 250
    headers = ("name", "state", "when (UTC)", "version", "image", "age", "last run")
    console.print(table("", headers, rows))


@schedule.command(help="Show the schedule NAME: its inputs, its last run, and when it fires next.")
@click.argument("name")
@connection_options
def show(*, kubeflow: "Callable[[], Kubeflow]", name: str) -> None:
    from pipelines.kubeflow.schedule import existing, firing_lines, view

    connection = kubeflow()
    found = existing(connection, name)
    for one in found:
        seen = view(connection, one, now(), alone=len(found) == 1)
        for title, text in (
            ("schedule", f"{seen.name} ({seen.state}), {seen.age} old"),
            ("when (UTC)", seen.trigger),
            ("version", seen.version),
            ("image", seen.image),
            ("last run", " ".join([seen.outcome, seen.run_url]).strip()),
            *((key, value) for key, value in sorted(seen.arguments.items()) if key != "image"),
            *(("next", line) for line in firing_lines(seen.firings)),
        ):
            click.echo(f"{title:<22}{text}")


@schedule.command(help="Stop starting runs of the schedule NAME, until it is resumed.")
@click.argument("name")
@connection_options
def pause(*, kubeflow: "Callable[[], Kubeflow]", name: str) -> None:
    from pipelines.kubeflow.schedule import switch

    switch(kubeflow(), name, on=False)
    click.echo(f"schedule {name} is off; a run in progress goes on")


@schedule.command(help="Start runs of the schedule NAME again. Those that it missed are not made up for.")
@click.argument("name")
@connection_options
def resume(*, kubeflow: "Callable[[], Kubeflow]", name: str) -> None:
    from pipelines.kubeflow.schedule import switch

    switch(kubeflow(), name, on=True)
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
    from pipelines.kubeflow.submit import run_now as start

    click.echo(start(kubeflow(), name))
