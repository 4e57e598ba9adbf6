"""Progress in a log: plain lines, not too many."""

import itertools
import re
import threading

import pytest

from components.ingest.database import database
from components.progress import PREFIX, TRANSIENT, Progress, log


@pytest.fixture
def clock(monkeypatch):
    """Time that a test moves by hand."""
    now = [0.0]
    monkeypatch.setattr("components.progress.time.monotonic", lambda: now[0])
    return now


def test_a_line_says_how_far_it_is_and_how_long_the_rest_takes(clock, capsys):
    with Progress("rank", total=100, unit="users") as progress:
        clock[0] = 10.0
        progress.advance(25, note="loss 0.5")
        clock[0] = 20.0
        progress.advance(25, note="loss 0.4")
        clock[0] = 40.0
        progress.advance(50)
    assert capsys.readouterr().err.splitlines() == [
        f"{PREFIX}{TRANSIENT}rank: 25/100 users · loss 0.5",
        f"{PREFIX}{TRANSIENT}rank: 50/100 users · 20.0 s left · loss 0.4",
        f"{PREFIX}{TRANSIENT}rank: 100/100 users · 0.0 s left",
        f"{PREFIX}rank: 100 users in 40.0 s",
    ]


def test_a_slow_start_and_the_work_of_an_earlier_process_foretell_nothing(clock, capsys):
    with Progress("train", total=3000, unit="steps") as progress:
        progress.advance(500)
        clock[0] = 18.0
        progress.advance()
        clock[0] = 28.0
        progress.advance(100)
        clock[0] = 258.0
        progress.advance(2399)
    lines = [line for line in capsys.readouterr().err.splitlines() if TRANSIENT in line]
    assert lines[:2] == [
        f"{PREFIX}{TRANSIENT}train: 501/3,000 steps",
        f"{PREFIX}{TRANSIENT}train: 601/3,000 steps · 4 min 0 s left",
    ]


def test_few_steps_foretell_nothing_and_the_latest_count(clock, capsys):
    with Progress("train", total=1000, unit="steps") as progress:
        for amount, seconds in ((1, 10.0), (3, 60.0), (6, 10.0), *[(10, 5.0)] * 12):
            clock[0] += seconds
            progress.advance(amount)
    lines = [line.partition("steps")[2] for line in capsys.readouterr().err.splitlines() if TRANSIENT in line]
    # 1% are 10 steps; the last line knows nothing of the slow ones any more: 870 steps of half a second.
    assert lines[:3] == ["", "", ""]
    assert lines[-1] == " · 7 min 15 s left"


def test_steps_in_quick_succession_give_one_line_in_five_seconds(clock, capsys):
    with Progress("rank", total=1000, unit="users") as progress:
        for second in itertools.count(1):
            clock[0] = float(second)
            progress.advance()
            if second == 20:
                break
    assert capsys.readouterr().err.count(TRANSIENT) == 4


def test_work_that_failed_is_not_called_done(capsys):
    with pytest.raises(RuntimeError), Progress("rank", total=10, unit="users"):
        raise RuntimeError
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with Progress("rank", total=10, unit="users") as progress:
        progress.advance(10, note="done")
    assert "rank" in capsys.readouterr().err


def test_a_log_line_is_marked_as_ours(capsys):
    log("five rows")
    assert capsys.readouterr().err == f"{PREFIX}five rows\n"


def test_a_long_query_says_how_far_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("components.ingest.database.SECONDS_BETWEEN_LINES", 0.02)
    before = {*threading.enumerate()}
    with database(tmp_path, 1.0) as connection:
        connection.execute(
            "CREATE TABLE sorted AS SELECT hash(range) AS hash FROM range(10_000_000) ORDER BY 1"
        )
    lines = capsys.readouterr().err.splitlines()
    line = rf"{PREFIX}{TRANSIENT}sort, join and count rows: (\d+)% of the query at hand"
    percents = [int(re.fullmatch(line, one)[1]) for one in lines]
    assert 0 <= percents[0] < percents[-1] <= 100
    assert {*threading.enumerate()} <= before
