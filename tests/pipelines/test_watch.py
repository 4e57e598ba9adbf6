"""What a person sees while the pipeline runs."""

import io
import sys

import pytest
from rich.console import Console

from components.recommend.showcase import Showcase
from pipelines import screen
from pipelines.run import Event
from pipelines.screen import Watch

_EVENTS = [
    Event("started", "ingest"),
    Event("progress", "… ingest: 10/100 rows · 9 s left"),
    Event("line", "ingest: 100 rows [kept]"),
    Event("ended", "ingest"),
    Event("cached", "train"),
    Event("failed", "evaluate"),
    Event("failed", "exit-handler-1"),
]


def _shown(terminal: bool) -> str:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, color_system=None, width=80)
    with Watch(console) as watch:
        for event in _EVENTS:
            watch(event)
    return screen.getvalue()


def test_a_log_gets_a_line_for_each_event():
    assert _shown(terminal=False).splitlines() == [
        "Ingest the ratings",
        "  … ingest: 10/100 rows · 9 s left",
        "  ingest: 100 rows [kept]",
        "✓ Ingest the ratings 0.0 s",
        "✓ Train the two-tower model as before (cached)",
        "✗ Evaluate and decide",
    ]


def test_a_terminal_keeps_what_lasts():
    shown = _shown(terminal=True)
    assert "✓ Ingest the ratings 0.0 s" in shown
    assert "ingest: 100 rows [kept]" in shown


@pytest.mark.parametrize(
    ("started", "word"),
    [
        (".venv/bin/twotower", ".venv/bin/twotower"),
        ("/opt/two towers/bin/twotower", "'/opt/two towers/bin/twotower'"),
        ("/on/the/path/twotower", "twotower"),
        ("/src/pipelines/cli.py", f"{sys.executable} -m pipelines.cli"),
    ],
)
def test_the_next_commands_are_for_where_the_user_stands(monkeypatch, started, word):
    monkeypatch.setattr(sys, "argv", [started])
    monkeypatch.setattr(screen.shutil, "which", lambda name: "/on/the/path/twotower")
    printed = io.StringIO()
    # Of a user who has rated everything.
    shown = Showcase("u 1", 1, [{"movie_id": "m1", "rating": 5.0}], [])
    screen._print_next_commands(shown, "v1", "registry", Console(file=printed, width=200))
    assert printed.getvalue().splitlines() == [
        f"type next   {word} recommend 'u 1' -k 5 --order rating",
        f"            {word} rate 'u 1' m1",
        f"            {word} history 'u 1'",
    ]
