"""The command `twotower`: one subcommand a component, a verb of the pipeline, or a use of its result."""

import importlib
import os
import sys
from contextlib import suppress

import click

from components import __version__
from components.command import command_of
from components.errors import UserError
from components.outputs import FULL_DISK

# Subcommand -> where its click command lies, or the step that it is generated from, and its line in `--help`.
# The module is imported only when the subcommand is called, so that `--help` and `compile` never wait for
# TensorFlow.
COMMANDS = {
    "run": ("pipelines.run_cli:run", "run the whole pipeline on this machine"),
    "compile": ("pipelines.run_cli:compile_pipeline", "write the pipeline as YAML for Kubeflow"),
    "submit": ("pipelines.kubeflow.cli:submit", "start a run on Kubeflow, and follow it"),
    "upload": ("pipelines.kubeflow.cli:upload", "bring a version to schedules that run the newest"),
    "schedule": ("pipelines.kubeflow.schedule_cli:schedule", "retrain on a schedule, on Kubeflow"),
    "cluster": (
        "pipelines.kubeflow.cluster_cli:cluster",
        "list, cancel and retry runs, read their logs",
    ),
    "doctor": ("pipelines.kubeflow.cli:doctor", "check all that runs on Kubeflow need"),
    "sample": ("components.sample.step:sample", "generate a ratings file and a movie table"),
    "prepare": ("components.registry.step:prepare_command", "look at the input, copy the served model"),
    "describe": ("components.ingest.step:describe", "what ingest would find in ratings and movie files"),
    "ingest": ("components.ingest.step:ingest_command", "ratings and movie files -> RatingsDataset"),
    "vocabulary": ("components.vocabulary.step:vocabulary", "RatingsDataset -> Vocabulary, Interactions"),
    "train": ("components.train.step:train_command", "Interactions -> Model"),
    "evaluate": ("components.evaluate.step:evaluate_command", "Model, champion, Interactions -> Evaluation"),
    "report": ("components.report.step:report_command", "show the page of a run or version; or make one"),
    "export": ("components.export.step:export_command", "Model, Vocabulary, ratings -> Index"),
    "publish": (
        "components.publish.step:publish_command",
        "Index -> a version in the registry, the champion",
    ),
    "refuse": ("components.publish.step:refuse_command", "record why a run is not published"),
    "notify": ("components.publish.step:notify_command", "record how a run ended, and call the webhook"),
    "recommend": ("components.recommend.cli:recommend", "what should this user watch?"),
    "rate": ("components.recommend.cli:rate", "how would this user rate that movie?"),
    "history": ("components.recommend.cli:history", "what did this user rate?"),
    "similar": ("components.recommend.cli:similar", "which movies are most like that one?"),
    "batch": ("components.recommend.step:batch_command", "recommend to many users, into a Parquet file"),
    "serve": ("components.serve.cli:serve", "answer over HTTP, and take up each new champion"),
    "versions": ("components.registry.cli:versions", "list the versions in a registry"),
    "runs": ("components.registry.cli:runs", "list the runs: how each ended, and why"),
    "compare": ("components.report.cli:compare", "two runs or versions: which is better, what differs"),
    "show": (
        "components.report.cli:show",
        "show a version: its data, settings, metrics, and when it was served",
    ),
    "rollback": ("components.registry.cli:rollback", "serve an earlier version again"),
    "prune": ("components.registry.cli:prune", "delete old versions"),
    "verify": ("components.registry.cli:verify", "compare every file of a registry with its checksum"),
}


class LazyGroup(click.Group):
    """A click group that imports a subcommand's module when the subcommand is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        found = getattr(importlib.import_module(module), attribute)
        return found if isinstance(found, click.Command) else command_of(found)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="twotower")
def twotower() -> None:
    """Turns a file of ratings into a published two-tower movie recommender."""


def main() -> None:
    """Runs the command line; a user's mistake ends it with one line and status 2."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # for a terminal in Latin-1
    try:
        try:
            twotower(prog_name="twotower")
        finally:
            sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise
        with suppress(OSError):
            sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  # else the interpreter's end complains
        print(f"error: {error.filename or 'standard output'}: {error.strerror}; make room", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
