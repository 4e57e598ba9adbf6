"""Middleware around the routes, called without a server."""

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from components.serve.access_log import AccessLog, Entry
from components.serve.frontend import AccessSettings, wrap
from components.serve.prometheus import Metrics, ServedState

STATE = ServedState(waiting=4, number=7, version="20261129-a", reloads=2, failures=3, restarts=1)


async def greet(_: Request) -> Response:
    return PlainTextResponse("hello")


async def fail(_: Request) -> Response:
    raise ValueError("no")


async def never(_: Request) -> Response:
    raise asyncio.CancelledError  # as when the client has left


class Entries(AccessLog):
    """A log that keeps its entries."""

    def __init__(self) -> None:
        super().__init__("json", descriptor=1)
        self.kept: list[Entry] = []

    def add(self, entry: Entry) -> None:
        self.kept.append(entry)


class Site:
    """An application in its middleware."""

    def __init__(self, draining: Callable[[], bool] = lambda: False) -> None:
        self.metrics, self.log = Metrics(lambda: STATE), Entries()
        routes = [Route("/greet", greet), Route("/fail", fail), Route("/never", never)]
        app = Starlette(routes=[*routes, Route("/metrics", self.metrics.metrics)])
        self.app = wrap(app, AccessSettings(), None, self.metrics, self.log, draining)

    def ask(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
        """Returns status, headers and body of the answer; 0 and nothing if there is none."""
        sent: list[Any] = []
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"user=6",
            "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
            "client": ("10.0.0.7", 4711),
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b""}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        with suppress(ValueError, asyncio.CancelledError):
            asyncio.run(self.app(scope, receive, send))  # type: ignore[arg-type]
        if not sent:
            return 0, {}, b""
        given = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], given, b"".join(message.get("body", b"") for message in sent)

    def values(self) -> dict[str, float]:
        """Returns the samples that Prometheus's own parser reads, by name and labels."""
        text = self.ask("/metrics")[2].decode()
        return {
            sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


def test_an_id_is_taken_from_the_client_or_made_and_is_the_one_in_the_log() -> None:
    site = Site()
    assert site.ask("/greet", {"X-Request-Id": "Root=1-67:a_b.c"})[1]["x-request-id"] == "Root=1-67:a_b.c"
    made = [
        site.ask("/greet", {"X-Request-Id": bad})[1]["x-request-id"] for bad in ("", "a b", 'a"', "a" * 129)
    ]
    made.append(site.ask("/absent")[1]["x-request-id"])
    assert len({*made}) == 5
    assert all(re.fullmatch("[0-9a-f]{12}-[0-9a-f]+", one) for one in made)
    assert [entry.request_id.decode() for entry in site.log.kept] == ["Root=1-67:a_b.c", *made]


def test_a_line_has_the_status_whatever_happened_and_no_query() -> None:
    site = Site()
    for path in ("/greet", "/absent", "/fail", "/never"):
        site.ask(path)
    assert [(entry.path, entry.status) for entry in site.log.kept] == [
        (b"/greet", 200),
        (b"/absent", 404),
        (b"/fail", 500),
        (b"/never", 499),
    ]
    assert "user" not in str(site.log.kept)


def test_requests_are_counted_by_endpoint_and_status_and_unknown_paths_share_a_label() -> None:
    site = Site()
    site.ask("/greet")
    site.ask("/greet")
    site.ask("/fail")
    site.ask("/wp-login-0")
    site.values()
    before = site.values().keys()
    for number in range(1, 50):
        site.ask(f"/wp-login-{number}")
    values = site.values()
    assert values.keys() == before
    assert values["twotower_requests_total greet 200"] == 2
    assert values["twotower_requests_total fail 500"] == 1
    assert values["twotower_requests_total other 404"] == 50
    assert values["twotower_request_duration_seconds_count greet"] == 2
    assert values["twotower_request_duration_seconds_bucket greet +Inf"] == 2


def test_the_state_is_that_of_the_moment() -> None:
    values = Site().values()
    assert values["twotower_queue"] == 4
    assert values["twotower_champion_number"] == 7
    assert values["twotower_champion 20261129-a"] == 1
    assert values["twotower_reloads_total"] == 2
    assert values["twotower_reload_failures_total"] == 3
    assert values["twotower_restarts_total"] == 1
    assert values["process_open_fds"] > 0


def test_the_page_lists_every_metric() -> None:
    page = (Path(__file__).parents[2] / "docs" / "http.md").read_text("utf-8")
    site = Site()
    site.ask("/greet")
    names = {name.split()[0].removesuffix("_bucket") for name in site.values()}
    counts = {f"{name}_{part}" for name in names for part in ("count", "sum")}
    ours = {name for name in names - counts if name.startswith("twotower_")}
    assert len(ours) == 9
    assert [name for name in ours if f"`{name}" not in page] == []


def test_prometheus_is_answered_in_the_format_that_it_prefers() -> None:
    site = Site()
    accept = {"Accept": "application/openmetrics-text;version=1.0.0"}
    assert site.ask("/metrics", accept)[1]["content-type"].startswith("application/openmetrics-text")
    assert site.ask("/metrics")[1]["content-type"].startswith("text/plain; version=")


@pytest.mark.parametrize("draining", [False, True])
def test_a_server_that_ends_sends_the_next_request_elsewhere(draining: bool) -> None:
    headers = Site(lambda: draining).ask("/greet")[1]
    assert (headers.get("connection") == "close") == draining
