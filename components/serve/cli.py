"""Subcommand `serve`."""

import re
from typing import Any

import click

from components.serve.access_log import FORMATS, STREAMS

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_ORIGIN = re.compile(r"\*|https?://[a-z0-9.\[\]:-]+")


def _checked_name(_: click.Context, __: click.Parameter, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise click.BadParameter("give letters, digits, dots, dashes and underscores")
    return name


def _checked_origins(_: click.Context, __: click.Parameter, origins: tuple[str, ...]) -> tuple[str, ...]:
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise click.BadParameter(f"{origin!r}: give scheme and host, as in https://example.com, or *")
    return origins


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
@click.option(
    "--max-connections",
    default=1000,
    type=click.IntRange(min=1),
    help="The most connections at a time. Beyond, one that waits for nothing makes room for a new one.",
)
@click.option(
    "--allowed-host",
    multiple=True,
    help="A name under which the server may be asked beside localhost, --host and all addresses, such as "
    "films.example.com or *.example.com; * for all. Repeatable.",
)
@click.option(
    "--access-log",
    default="off",
    type=click.Choice(FORMATS),
    help="Write a line about each request: time, request id, client, method, path, status, ms.",
)
@click.option(
    "--access-log-to", default="stdout", type=click.Choice(list(STREAMS)), help="Where these lines go."
)
@click.option(
    "--api-keys", default="", help="A file of API keys, one a line; without one nobody needs a key."
)
@click.option("--public-metrics", is_flag=True, help="Answer /metrics without an API key.")
@click.option(
    "--cors-origin",
    multiple=True,
    callback=_checked_origins,
    help="An origin, such as https://example.com, whose pages may ask; * for all. Repeatable.",
)
@click.option(
    "--grace-seconds",
    default=3.0,
    type=click.FloatRange(min=0, max=600),
    help="After SIGTERM, time to serve on while /readyz says no, in seconds.",
)
def serve(
    max_body_kb: int,
    access_log: str,
    access_log_to: str,
    api_keys: str,
    public_metrics: bool,
    cors_origin: tuple[str, ...],
    allowed_host: tuple[str, ...],
    **options: Any,
) -> None:
    """Answers over HTTP like TensorFlow Serving, and on a page for people.

    A new champion is loaded beside the current one and replaces it; no request fails.
    """
    from components.serve.frontend import AccessSettings
    from components.serve.server import serve as run

    hosts = ("localhost", options["host"], *allowed_host)
    access = AccessSettings(access_log, access_log_to, api_keys, public_metrics, cors_origin, hosts)
    run(body_bytes=max_body_kb * 1024, access=access, **options)
