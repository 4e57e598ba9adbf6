"""The log of KFP's local runner, reduced to what a person wants to know."""

import pytest

from pipelines.run import Event, event

_CYAN, _GREEN, _RESET = "\x1b[96m", "\x1b[92m", "\x1b[0m"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"10:11:12.123 - INFO - Executing task {_CYAN}'ingest'{_RESET}\n", Event("started", "ingest")),
        (
            f"10:11:12 - INFO - Task {_CYAN}'ingest'{_RESET} finished with status {_GREEN}SUCCESS{_RESET}",
            Event("ended", "ingest"),
        ),
        ("10:11:12.123 - ERROR - Task 'train' finished with status FAILURE\n", Event("failed", "train")),
        (
            "10:11:12.123 - INFO - Task train cache hit (key=0123456789ab); skipping execution.\n",
            Event("cached", "train"),
        ),
        ("    twotower: ingest: 1,000 rows in 0.1 s\n", Event("line", "ingest: 1,000 rows in 0.1 s")),
        (
            "    twotower: … train: 10/100 steps · 9 s left\n",
            Event("progress", "… train: 10/100 steps · 9 s left"),
        ),
        ("    error: r.csv is empty; name another file\n", None),
        ("    twotower: to repeat this step: twotower ingest\n", None),
        ("    [KFP Executor 2026-11-24 INFO]: Looking for component\n", None),
        ("\n", None),
    ],
)
def test_a_line_stands_for_an_event(line, expected):
    assert event(line) == expected
