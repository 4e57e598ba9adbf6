"""Subcommands `cluster …`: list, cancel, retry and follow runs on Kubeflow, and read their logs."""

import sys
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from components.command import json_option, print_json
from components.documents import now
from pipelines.kubeflow.options import connection_options
from pipelines.kubeflow.waiting import INTERRUPTED, parse_timeout, step_titles, timeout_option, wait_for

if TYPE_CHECKING:
    from pipelines.kubeflow.client import Kubeflow


@click.group(help="Look after runs on Kubeflow. RUN is the name of a run, or the beginning of its id.")
def cluster() -> None:
    """Group of the commands below."""


@cluster.command(help="List the newest runs: how each stands or ended.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, help="Most runs that are listed.")
@json_option
@connection_options
def runs(*, kubeflow: "Callable[[], Kubeflow]", limit: int, as_json: bool) -> None:
    from rich.console import Console

    from components.display import duration, table
    from pipelines.kubeflow.runs import view
    from pipelines.kubeflow.schedule_view import ago

    connection = kubeflow()
    found = list(islice(connection.runs(), limit))
    for run in found:
        _record_cancel(run)
    views = [view(connection, run, now()) for run in found]
    if as_json:
        print_json([one._asdict() for one in views])
        return
    if not views:
        click.echo("no runs; `twotower submit` starts one")
        return
    rows = [
        (one.run_id[:8], one.name, one.state, ago(now() - run.created_at), duration(one.seconds))
        for one, run in zip(views, found, strict=True)
    ]
    console = Console()
    if not console.is_terminal:  # programs read a run from one line
        console.width = 250
    console.print(table("", ("id", "name", "state", "started ago", "took"), rows))


@cluster.command(help="Cancel RUN, and wait for its end. Its exit handler still runs.")
@click.argument("run")
@click.option("--wait/--no-wait", default=True, help="Wait until the run has ended.")
@json_option
@connection_options
def cancel(*, kubeflow: "Callable[[], Kubeflow]", run: str, wait: bool, as_json: bool) -> None:
    from pipelines.kubeflow.follow import follow
    from pipelines.kubeflow.runs import cancel as end
    from pipelines.kubeflow.runs import find_run, read_run

    connection = kubeflow()
    found = find_run(connection, run)
    end(connection, found)
    try:
        ended = (follow if wait else read_run)(connection, found.run_id)
    except KeyboardInterrupt:
        click.echo("the run is being cancelled; `twotower cluster runs` shows its end", err=True)
        sys.exit(INTERRUPTED)
    _record_cancel(ended)
    _print_run(connection, ended, as_json=as_json)


@cluster.command(help="Print the log of the failed step of RUN, or of the step that runs.")
@click.argument("run")
@click.option("--step", default="", show_default=False, help="Or of this step, such as train.")
@click.option("--lines", type=click.IntRange(1, 100_000), default=200, help="Most lines, from the end.")
@json_option
@connection_options
def logs(*, kubeflow: "Callable[[], Kubeflow]", run: str, step: str, lines: int, as_json: bool) -> None:
    from components.errors import UserError
    from pipelines.kubeflow.runs import find_run
    from pipelines.kubeflow.step_pods import RunPods

    connection = kubeflow()
    found = find_run(connection, run)
    pods = RunPods(connection, found.run_id, step_titles())
    steps = [step] if step else pods.failed_steps(found) or pods.steps(found, "RUNNING")
    if not steps:
        raise UserError(f"no step of the run {found.run_id} failed or runs; name one with --step")
    read = [pods.log(found, one, lines) for one in steps]
    if as_json:
        print_json([{"run_id": found.run_id, **log._asdict()} for log in read])
        return
    for log in read:
        click.echo(f"# {log.step}, from {log.source}", err=True)
        click.echo("\n".join(log.lines))


@cluster.command(
    help="Start the failed steps of RUN again, in the same run: those that succeeded stay, and a training "
    "goes on from its checkpoint."
)
@click.argument("run")
@json_option
@connection_options
def retry(*, kubeflow: "Callable[[], Kubeflow]", run: str, as_json: bool) -> None:
    from pipelines.kubeflow.runs import find_run, read_run
    from pipelines.kubeflow.runs import retry as again

    connection = kubeflow()
    found = find_run(connection, run)
    again(connection, found)
    _print_run(connection, read_run(connection, found.run_id), as_json=as_json)


@cluster.command(help="Follow RUN to its end, and print how it ended; exits like `twotower submit --wait`.")
@click.argument("run")
@timeout_option
@connection_options
def wait(*, kubeflow: "Callable[[], Kubeflow]", run: str, timeout: str) -> None:
    from pipelines.kubeflow.runs import find_run

    limit = parse_timeout(timeout)
    connection = kubeflow()
    sys.exit(wait_for(connection, find_run(connection, run).run_id, limit))


def _record_cancel(run: Any) -> None:
    """Writes into the record of a cancelled run that it was cancelled, where the registry can be reached."""
    from components.errors import UserError
    from pipelines.kubeflow.outcome import mark_cancelled

    try:
        mark_cancelled(run)
    except UserError as error:
        click.echo(f"the record of the run {run.run_id} is not written from here: {error}", err=True)


def _print_run(kubeflow: "Kubeflow", run: Any, *, as_json: bool) -> None:
    from pipelines.kubeflow.runs import view

    one = view(kubeflow, run, now())
    if as_json:
        print_json(one._asdict())
    else:
        click.echo(f"{one.state}: {one.url}")
