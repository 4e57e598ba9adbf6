"""The summary of a run on a terminal."""

import io
import re

import pytest
from rich.console import Console

from components.evaluate.verdict import load_verdict
from components.registry.run_records import RowCounts, RunRecord
from components.report.terminal import run_summary
from components.step import StepRecord

STEPS = [
    StepRecord(step="ingest", seconds=1.0, peak_memory_bytes=3 * 2**30),
    StepRecord(step="train", seconds=768.2, peak_memory_bytes=2**30),
]


@pytest.fixture
def lines_of(evaluated):
    """The lines of the summary of a model given as tables, as they go into a pipe."""

    def tell(name, tables=None, **record):
        verdict = load_verdict(evaluated(name, **(tables or {}))[1])
        facts = {
            "run_id": "run-1",
            "outcome": "refused",
            "reason": verdict.reason,
            "steps": STEPS,
            **record,
        }
        out = io.StringIO()
        console = Console(file=out, width=80)
        for part in run_summary(RunRecord(**facts), verdict):
            console.print(part, highlight=False)
        return out.getvalue().splitlines()

    return tell


def test_a_published_run(lines_of):
    rows = RowCounts(read=3605, kept=3600, rejected=5)
    lines = lines_of("good", outcome="published", version="20261124-105900-3f9a1c02", sequence=12, rows=rows)
    assert lines[0].startswith("Published: 20261124-105900-3f9a1c02 is served now, number 12")
    assert "3,605 rows read, 3,600 kept, 5 rejected" in lines
    assert any(line.startswith("  It finds ") for line in lines)
    text = " ".join(" ".join(lines).split())
    assert "in lists of 15; the champion finds" in text
    found = text[text.index("Finds of 100 (top-15 unseen): ") : text.index("Stars off (RMSE): ")]
    assert re.findall(r"[\d.]+ ([a-z]+)", found.partition(": ")[2]) == [
        "challenger",
        "champion",
        "popularity",
    ]
    assert "fail:" not in text
    assert text.index("pass: ") < text.index("top_100_vs_champion") < text.index("skipped: ")
    assert lines[-1] == "Took 12 min 49 s, 12 min 48 s of it to train; 3.0 GB of memory at most"


def test_a_refused_run_says_why_first(lines_of, world):
    lines = lines_of("useless", {"scores": 0 * world.scores, "stars": 6 - world.stars})
    assert lines[0] == "Refused: it does not go live"
    assert "It finds 0 of 100 movies" in lines[1]
    assert any(line.startswith("✗ rules that fail: ") and "top_100_vs_popularity" in line for line in lines)


def test_a_superseded_run(lines_of):
    lines = lines_of(
        "good", outcome="superseded", version="20261124-105900-3f9a1c02", reason="another came in between"
    )
    assert lines[0] == "Superseded: another came in between"


def test_it_is_short_narrow_and_plain(lines_of, world):
    for name, tables in (("good", {}), ("useless", {"scores": 0 * world.scores, "stars": 6 - world.stars})):
        lines = lines_of(name, tables)
        assert len(lines) <= 22
        assert max(map(len, lines)) <= 80
        assert not any("\x1b" in line for line in lines)
