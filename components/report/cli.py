"""The subcommand `twotower report`."""

import click

from components.registry.cli import registry_option

_MAKING = ("evaluation", "model", "dataset", "identity", "model_card")


class TwoWays(click.Command):
    """A command whose help tells the flags of making a page from those of showing one."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [parameter for parameter in self.get_params(ctx) if isinstance(parameter, click.Option)]
        for title, making in (
            ("To show a page of the registry", False),
            ("To make one, as the step does", True),
        ):
            records = (one.get_help_record(ctx) for one in options if (one.name in _MAKING) == making)
            with formatter.section(title):
                formatter.write_dl([record for record in records if record is not None])


@click.command(cls=TwoWays)
@click.argument("run_or_version", metavar="[RUN|VERSION]", default="")
@registry_option
@click.option("--open", "open_", is_flag=True, help="Show the page in a browser.")
@click.option(
    "--output",
    default="",
    help="The file to write: a copy of the page that is shown, none by default; or the page that is made, "
    "report.html by default.",
)
@click.option("--evaluation", default="", help="Evaluation: the directory that `twotower evaluate` wrote.")
@click.option(
    "--model", default="", help="Model that was evaluated: the directory that `twotower train` wrote."
)
@click.option("--dataset", default="", help="RatingsDataset that `twotower ingest` wrote.")
@click.option(
    "--identity",
    default="",
    help="Directory that `twotower fingerprint` wrote, for its time; none by default.",
)
@click.option(
    "--model-card", default="", help="The model card to write; model_card.md beside the page by default."
)
def report(
    run_or_version: str,
    registry: str,
    open_: bool,
    output: str,
    evaluation: str,
    model: str,
    dataset: str,
    identity: str,
    model_card: str,
) -> None:
    """Says how a run ended and where its page lies; or makes a page.

    RUN or VERSION is an id as `twotower runs` lists it, its first characters, or `champion`; without it, the
    run that ended last. With --evaluation, --model and --dataset it makes a page of a run's artifacts
    instead, and the model card beside it.
    """
    from components.errors import UserError

    if not (evaluation or model or dataset or identity or model_card):
        _show(registry, run_or_version, output, open_)
        return
    if run_or_version:
        raise UserError(
            f"{run_or_version} has its page already; leave out --evaluation, --model and --dataset"
        )
    for flag, value in (("--evaluation", evaluation), ("--model", model), ("--dataset", dataset)):
        if not value:
            raise UserError(f"{flag} is missing: a page is made of --evaluation, --model and --dataset")
    _make(
        open_,
        evaluation=evaluation,
        model=model,
        dataset=dataset,
        identity=identity,
        output=output or "report.html",
        model_card=model_card,
    )


def _make(open_: bool, output: str, **inputs: str) -> None:
    from components.report.step import report as step
    from components.report.terminal import show

    step(output=output, **inputs)
    click.echo(output)
    if open_:
        show(output)


def _show(registry: str, name: str, output: str, open_: bool) -> None:
    from components.registry.lookup import find
    from components.registry.registry import Registry
    from components.report.terminal import local_page, show, summary

    found = find(Registry(registry), name)
    for line in summary(found):
        click.echo(line)
    page = local_page(Registry(registry), found, output)
    click.echo(page)
    if open_:
        show(page)
