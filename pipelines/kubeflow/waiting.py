"""Waiting for a run on Kubeflow: the flag --timeout, and what is printed at its end."""

from typing import TYPE_CHECKING, Any

import click

from components.errors import UserError

if TYPE_CHECKING:
    from pipelines.kubeflow.client import Kubeflow
    from pipelines.kubeflow.step_pods import RunPods

INTERRUPTED, _TIMED_OUT = 130, 124
_STATUS = {"succeeded": 0, "cancelled": INTERRUPTED}

# Lines of the log of a failed step that are shown after a run, and those that are read for them.
_LAST_LINES, _READ_LINES = 15, 500


timeout_option = click.option(
    "--timeout",
    default="",
    show_default=False,
    help="End the waiting after this time, such as 2h or 1h30m, with exit status 124; the run goes on.",
)


def parse_timeout(text: str) -> float | None:
    """Parses --timeout into seconds; None for "". Raises `UserError`."""
    from pipelines.kubeflow.trigger import parse_interval

    return parse_interval("--timeout", text) if text else None


def wait_for(kubeflow: "Kubeflow", run_id: str, timeout: float | None) -> int:
    """Follows a run to its end and prints how it ended; returns the exit status."""
    from rich.console import Console

    from pipelines.kubeflow.client import FINISHED, state_of
    from pipelines.kubeflow.follow import Board, follow
    from pipelines.kubeflow.step_pods import RunPods
    from pipelines.kubeflow.trigger import interval_text

    url, titles = kubeflow.run_url(run_id), step_titles()
    pods = RunPods(kubeflow, run_id, titles)
    again = f"`twotower cluster wait {run_id}` follows it again"
    limit = {} if timeout is None else {"timeout": timeout}
    try:
        with Board(Console(stderr=True), titles, pods.notes) as board:
            run = follow(kubeflow, run_id, board, **limit)
    except KeyboardInterrupt:
        click.echo(f"the run goes on: {url}; {again}", err=True)
        return INTERRUPTED
    if run.state not in FINISHED:
        waited = f"--timeout {interval_text(int(timeout or 0))}: the run is {state_of(run)} and goes on"
        click.echo(f"{'; '.join([waited, *board.notes])}: {url}; {again}", err=True)
        return _TIMED_OUT
    _print_end(run, pods)
    click.echo(f"{state_of(run)}: {url}")
    return _STATUS.get(state_of(run), 1)


def step_titles() -> dict[str, str]:
    """Returns the titles of the steps, by their name in the graph."""
    from pipelines.resources import REQUESTS

    return {name: request.display_name for name, request in REQUESTS.items()}


def _print_end(run: Any, pods: "RunPods") -> None:
    """Prints which steps failed, with the ends of their logs, and the outcome."""
    from rich.console import Console
    from rich.padding import Padding

    from pipelines.kubeflow.client import FAILED, state_of
    from pipelines.kubeflow.outcome import read_outcome

    console = Console()
    if state_of(run) == FAILED:
        for line in failure_lines(run, pods):
            console.print(line, soft_wrap=True, markup=False, highlight=False)
    outcome = read_outcome(run, pods)
    for table in outcome.tables:
        console.print(Padding(table, (1, 0, 0, 0)))
    console.print(outcome.text, soft_wrap=True, markup=False)


def failure_lines(run: Any, pods: "RunPods") -> list[str]:
    """Returns which steps of a failed run failed, why, and the last lines of their logs."""
    messages, steps = pods.node_messages(), pods.failed_steps(run)
    shown = []
    for step in steps or list(messages)[:1]:
        shown.append(f"failed: {pods.title(step)}{f': {messages[step]}' if messages.get(step) else ''}")
        try:
            log = pods.log(run, step, _READ_LINES)
        except UserError as error:
            shown.append(f"  {error}")
        else:
            lines = log.last_of_the_step(_LAST_LINES)
            shown += [f"  the end of its log, from {log.source}:", *(f"  | {line}" for line in lines)]
    return shown
