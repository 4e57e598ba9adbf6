"""The step `report`, which writes a page on the decision and the model card, and its subcommand."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from components.command import Subcommand, json_option, print_json, subcommand
from components.errors import UserError
from components.outputs import write_text
from components.progress import log
from components.registry.cli import registry_option
from components.step import so_far, step

if TYPE_CHECKING:
    from components.report.lookup import Found

CARD = "model_card.md"


@step
def report(*, evaluation: str, model: str, dataset: str, output: str, model_card: str = "") -> None:
    """Makes one page of the decision, its reasons and the model's quality, and the model card.

    The page tells the time and peak memory of the steps up to this one; the last step of the run adds those
    that follow to the copy of the page in the registry.

    Args:
      evaluation: Evaluation that `evaluate` wrote.
      model: Model that was evaluated, for its settings and its training log.
      dataset: RatingsDataset that it was trained on.
      output: The page to write.
      model_card: The model card to write, as Markdown; "" writes model_card.md beside the page.

    Raises:
      UserError: if there is no verdict or no dataset, or a file cannot be written.
    """
    write_report(evaluation, model, dataset, output, model_card or str(Path(output).with_name(CARD)))


def write_report(evaluation: str, model: str, dataset: str, output: str, model_card: str) -> None:
    """Writes page and model card, with the records of the steps up to the one that runs."""
    from components.report.page import ReportInputs, render, render_card
    from components.report.templates import with_steps

    inputs = ReportInputs.load(evaluation, model, dataset)
    page, card = render(inputs), render_card(inputs)
    page = with_steps(page, [*inputs.steps, so_far()])
    _write("--output", output, page)
    _write("--model-card", model_card, card)
    log(f"report of {len(page) / 1e3:,.0f} kB in {output}")


def _write(flag: str, path: str, text: str) -> None:
    try:
        write_text(path, text)
    except OSError as error:
        raise UserError(f"cannot write {flag} {path}: {error.strerror}; name another file") from error


_INPUTS = ("evaluation", "model", "dataset", "model_card")


class _TwoUses(Subcommand):
    """A command whose help tells the flags of making a page from those of showing one."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [parameter for parameter in self.get_params(ctx) if isinstance(parameter, click.Option)]
        for title, making in (
            ("To show a page of the registry", False),
            ("To make one, as the step does", True),
        ):
            records = (one.get_help_record(ctx) for one in options if (one.name in _INPUTS) == making)
            with formatter.section(title):
                formatter.write_dl([record for record in records if record is not None])


@subcommand(report, cls=_TwoUses, defaults=dict.fromkeys(("evaluation", "model", "dataset", "output"), ""))
@click.argument("run_or_version", metavar="[RUN|VERSION]", default="")
@registry_option
@click.option("--open", "open_", is_flag=True, help="Show the page in a browser.")
@json_option
def report_command(
    run_or_version: str, registry: str, open_: bool, as_json: bool, output: str, **inputs: Any
) -> None:
    """Says how a run ended and where its page lies; or makes a page.

    RUN or VERSION is an id as `twotower runs` lists it, its first characters, or `champion`; without it, the
    run that ended last; --output writes a copy of its page. With --evaluation, --model and --dataset it makes
    a page of a run's artifacts instead, by default report.html, and the model card beside it.
    """
    from components.report.terminal import show, summary

    if not any(inputs.values()):
        found, output = _find(registry, run_or_version, output)
        if as_json:
            print_json({"name": found.name, "run": found.record, "version": found.manifest, "page": output})
        else:
            for line in summary(found):
                click.echo(line)
    elif run_or_version:
        raise UserError(
            f"{run_or_version} has its page already; leave out --evaluation, --model and --dataset"
        )
    else:
        for name in ("evaluation", "model", "dataset"):
            if not inputs[name]:
                raise UserError(f"--{name} is missing: a page is made of --evaluation, --model and --dataset")
        output = output or "report.html"
        report(output=output, **inputs)
    if not as_json:
        click.echo(output)
    if open_:
        show(output)


def _find(registry: str, name: str, output: str) -> tuple["Found", str]:
    """Finds a run or version and its page, copied to `output` if that is not ""."""
    from components.registry.registry import Registry
    from components.report.lookup import find
    from components.report.terminal import local_page

    found = find(Registry(registry), name)
    return found, local_page(Registry(registry), found, output)
