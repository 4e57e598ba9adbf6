"""`twotower export`."""

import click

from components.export.manifest import BRUTE_FORCE, KINDS
from components.export.step import MAX_LATENCY_MS


@click.command()
@click.option("--model", required=True, help="Directory written by `twotower train`.")
@click.option("--vocabulary", required=True, help="Vocabulary written by `twotower vocabulary`.")
@click.option("--interactions", required=True, help="Interactions written by `twotower vocabulary`.")
@click.option("--output", required=True, help="Directory to write the index to; replaced if it exists.")
@click.option(
    "--index",
    default=BRUTE_FORCE,
    show_default=True,
    type=click.Choice(KINDS),
    help="How movies are found; auto takes ScaNN where it is measured faster and finds 99% of the best 100.",
)
@click.option(
    "--max-latency-ms",
    default=MAX_LATENCY_MS,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Refuse the index if the median answer for one user takes longer, in milliseconds.",
)
def export(
    model: str, vocabulary: str, interactions: str, output: str, index: str, max_latency_ms: float
) -> None:
    """Wrap a model into the SavedModel that a server loads, and prove it in a fresh process."""
    from components.export.step import export as export_step

    summary = export_step(
        model=model,
        vocabulary=vocabulary,
        interactions=interactions,
        output=output,
        index=index,
        max_latency_ms=max_latency_ms,
    )
    click.echo(
        f"{output}: {summary.movies:,} movies, {summary.users:,} users, {summary.ratings:,} ratings, "
        f"{summary.bytes / 1e6:.1f} MB; answers for one user in {summary.recommend_p50_ms:.1f} ms (median), "
        f"by {summary.search}"
    )
