"""The story of a run on a terminal."""

import io
import json

import pytest
from rich.console import Console

from components.registry.run_records import RunRecord
from components.report.terminal import story

STEPS = [{"step": "ingest", "seconds": 1.25}, {"step": "train", "seconds": 768.2}]


@pytest.fixture
def told(evaluated):
    """The lines of the story of a model given as tables, as they go into a pipe."""

    def tell(name, tables=None, **record):
        verdict = json.loads((evaluated(name, **(tables or {}))[1] / "verdict.json").read_text())
        facts = {
            "run_id": "run-1",
            "outcome": "refused",
            "reason": verdict["reason"],
            "steps": STEPS,
            **record,
        }
        out = io.StringIO()
        console = Console(file=out, width=80)
        for part in story(RunRecord(**facts), verdict):
            console.print(part, highlight=False)
        return out.getvalue().splitlines()

    return tell


def test_a_published_run(told):
    rows = {"read": 3605, "kept": 3600, "rejected": 5}
    lines = told("good", outcome="published", version="20261124-105900-3f9a1c02", sequence=12, rows=rows)
    assert lines[0] == "3,605 rows read, 3,600 kept, 5 rejected"
    assert lines[2].startswith("Published: 20261124-105900-3f9a1c02 is served now, number 12")
    assert any(line.startswith("  It finds ") and "the champion finds" in line for line in lines)
    assert any(" challenger" in line and " champion" in line and " popularity" in line for line in lines)
    told_rules = " ".join(lines[lines.index("Rules") :])
    assert "fail:" not in told_rules
    assert (
        told_rules.index("pass: ") < told_rules.index("top_100_vs_champion") < told_rules.index("skipped: ")
    )
    assert lines[-1] == "Time: ingest 1.2 s, train 12 min 48 s"


def test_a_refused_run_says_why_first(told, world):
    lines = told("useless", {"scores": 0 * world.scores, "stars": 6 - world.stars})
    assert lines[1] == "Refused: it does not go live"
    assert "It finds 0 of 100 movies" in lines[2]
    assert any(line.startswith("  ✗ fail: ") and "top_100_vs_popularity" in line for line in lines)


def test_a_superseded_run(told):
    lines = told(
        "good", outcome="superseded", version="20261124-105900-3f9a1c02", reason="another came in between"
    )
    assert lines[1] == "Superseded: another came in between"


def test_it_is_short_narrow_and_plain(told, world):
    for name, tables in (("good", {}), ("useless", {"scores": 0 * world.scores, "stars": 6 - world.stars})):
        lines = told(name, tables)
        assert len(lines) <= 24
        assert max(map(len, lines)) <= 80
        assert not any("\x1b" in line for line in lines)
