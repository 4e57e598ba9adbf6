"""Subcommand `serve`."""

import re
from typing import Any

import click

_NAME = re.compile(r"[A-Za-z0-9_.-]+")


def _checked_name(_: click.Context, __: click.Parameter, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise click.BadParameter("give letters, digits, dots, dashes and underscores")
    return name


@click.command()
@click.option("--registry", default="registry", help="The registry: a directory, gs:// or s3:// prefix.")
@click.option("--index", default="", help="An index directory to serve instead of a registry's champion.")
@click.option("--name", default="twotower", callback=_checked_name, help="The model's name in the paths.")
@click.option("--host", default="127.0.0.1", help="The address to listen on; 0.0.0.0 for all.")
@click.option("--port", default=8501, type=click.IntRange(0, 65535), help="Its port; 0 for a free one.")
@click.option(
    "--poll-seconds",
    default=5.0,
    type=click.FloatRange(min=0.1),
    help="How often to look for a new champion, in seconds.",
)
@click.option(
    "--max-body-kb",
    default=1024,
    type=click.IntRange(min=1),
    help="The largest body of a request, in KB; a larger one is refused.",
)
@click.option(
    "--timeout",
    default=10.0,
    type=click.FloatRange(min=0.1),
    help="How long a request may wait for its answer, in seconds; then it is answered by 504.",
)
def serve(max_body_kb: int, **options: Any) -> None:
    """Answers over HTTP like TensorFlow Serving, and on a page for people.

    A new champion is loaded beside the current one and replaces it; no request fails.
    """
    from components.serve.server import serve as run

    run(body_bytes=max_body_kb * 1024, **options)
