"""`twotower schedule …`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from pipelines.kubeflow.options import connection_options, param_option, place_options, pod_options

if TYPE_CHECKING:
    from pipelines.kubeflow.client import Kubeflow
    from pipelines.kubeflow.pods import PodSettings
    from pipelines.kubeflow.submit import Place

# Columns in which a schedule takes one line, for programs that read the list.
_ONE_LINE = 250

_KILL_RUNNING = click.option(
    "--kill-running",
    is_flag=True,
    help="Go on although a run of the schedule is in progress, which the server kills with its schedule.",
)


@click.group(help="Retrain on a schedule, on Kubeflow. A name stands for one schedule.")
def schedule() -> None:
    """Holds the commands below."""


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
    from pipelines.kubeflow.plan import Plan
    from pipelines.kubeflow.prepare import package, pipeline_arguments
    from pipelines.kubeflow.schedule import create as put
    from pipelines.kubeflow.schedule import runs_of
    from pipelines.kubeflow.schedule_view import firing_lines, next_firings, present
    from pipelines.kubeflow.submit import experiment
    from pipelines.kubeflow.trigger import parse_trigger
    from pipelines.kubeflow.upload import upload

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

    from pipelines.kubeflow.schedule_view import present, view

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
    from pipelines.kubeflow.schedule_view import firing_lines, present, view

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
    from pipelines.kubeflow.run_now import run_now as start

    click.echo(start(kubeflow(), name))


def _switch(kubeflow: "Callable[[], Kubeflow]", name: str, **state: Any) -> None:
    from pipelines.kubeflow.schedule import switch

    switch(kubeflow(), name, **state)
