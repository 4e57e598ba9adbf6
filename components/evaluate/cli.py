"""The subcommand `twotower evaluate`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from components.errors import UserError

if TYPE_CHECKING:
    from components.evaluate.measure import Judgement

_MODEL_FLAGS = ("model", "interactions", "vocabulary", "output")


def _names_what_to_measure(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that say which models are measured, and on what."""
    options = {
        "--model": "The challenger: a directory that `twotower train` wrote.",
        "--champion": "What `twotower champion` wrote, or any Model directory to compare with; "
        "empty for none.",
        "--interactions": "Interactions that `twotower vocabulary` wrote.",
        "--vocabulary": "Vocabulary that `twotower vocabulary` wrote.",
        "--index": "In place of these four, an exported index as the challenger: its directory, a version of "
        "--registry, or `champion`.",
        "--against": "Another index to compare it with, named likewise; empty for none.",
        "--ratings": "Held-out ratings to measure indexes on, a file or several; empty for the test "
        "rows that they hold.",
        "--columns": "Columns of these ratings in another layout: user=…,movie=…,rating=….",
        "--output": "Evaluation: the directory to write. With --index it may be left out.",
    }
    for flag, text in reversed(options.items()):
        command = click.option(flag, default="", help=text)(command)
    return command


@click.command()
@_names_what_to_measure
@click.option("--registry", default="registry", help="With --index, where versions lie.")
@click.option(
    "--gate",
    type=click.Choice(["enforce", "report"]),
    default="enforce",
    help="Publish only what passes every rule, or publish and record the verdict.",
)
@click.option(
    "--min-top-100-accuracy",
    default=0.0,
    help="Least top-100 accuracy among unseen movies, 0 to 1; 0 sets no bound.",
)
@click.option("--max-rmse", default=0.0, help="Greatest root mean squared error, in stars; 0 sets no bound.")
@click.option(
    "--ignore-champion/--no-ignore-champion",
    default=False,
    help="Leave the champion out, for one that can no longer be scored.",
)
@click.option("--seed", default=42, help="Decides the resampling of users behind the intervals.")
@click.option(
    "--metrics-path", default="", help="A JSON file to write the challenger's metrics to; empty for none."
)
def evaluate(**flags: Any) -> None:
    """Measures a model beside the champion and baselines, and decides whether it may go live.

    As a step of the pipeline it takes --model, --champion, --interactions, --vocabulary and --output. Any two
    exported indexes are compared with --index A --against B, on rows that neither was trained on.
    """
    from rich.console import Console

    from components.evaluate.console import verdict_tables
    from components.evaluate.verdict import load_verdict

    of_indexes = {name: flags.pop(name) for name in ("index", "against", "registry", "ratings", "columns")}
    if of_indexes["index"]:
        verdict = _of_indexes(of_indexes, flags).verdict
    else:
        _of_model(of_indexes, flags)
        verdict = load_verdict(flags["output"])
    Console().print(*verdict_tables(verdict), sep="\n")


def _of_model(of_indexes: dict[str, str], flags: dict[str, Any]) -> None:
    from components.evaluate.step import evaluate as step

    missing = [f"--{name}" for name in _MODEL_FLAGS if not flags[name]]
    if missing:
        raise UserError(
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing; name what to measure by "
            "--model, --interactions, --vocabulary and --output, or by --index and --against"
        )
    _refuse_together("--model", [name for name in ("against", "ratings", "columns") if of_indexes[name]])
    step(**flags)


def _of_indexes(of_indexes: dict[str, str], flags: dict[str, Any]) -> "Judgement":
    from components.evaluate.indexes import evaluate_indexes
    from components.evaluate.step import gate_settings
    from components.outputs import output_directory

    others = ("model", "champion", "interactions", "vocabulary", "ignore_champion", "metrics_path")
    _refuse_together("--index", [name for name in others if flags[name]])
    settings = gate_settings(flags["gate"], flags["min_top_100_accuracy"], flags["max_rmse"])
    judgement = evaluate_indexes(**of_indexes, settings=settings, gate=flags["gate"], seed=flags["seed"])
    if flags["output"]:
        with output_directory(flags["output"]) as directory:
            judgement.write(directory)
    return judgement


def _refuse_together(flag: str, others: list[str]) -> None:
    if others:
        other = f"--{others[0].replace('_', '-')}"
        raise UserError(f"{flag} and {other} do not go together; leave one of them out")
