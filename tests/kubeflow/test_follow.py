"""Following a run to its end, whatever the end and the line are like."""

import io
import re

import pytest
from kubeflow_double import status, truncated
from rich.console import Console

from components.errors import UserError
from pipelines.kubeflow import client
from pipelines.kubeflow import follow as follow_module
from pipelines.kubeflow.follow import Board, follow

_TITLES = {"ingest": "Ingest the ratings", "train": "Train the model", "publish": "Publish"}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(client, "_PAUSES", ())


def _task(name, state, begun="12:00:00", ended="1970-01-01T00:00:00Z", created="12:00:00"):
    return {
        "display_name": name,
        "state": state,
        "create_time": f"2026-11-24T{created}Z",
        "start_time": f"2020-11-24T{begun}Z",
        "end_time": ended,
    }


@pytest.fixture
def run(double):
    """A run that goes on for a while: each look at it finds the next of its states."""
    run = double.add_run(display_name="a run", experiment_id="e", state="PENDING")
    run["run_details"] = {"task_details": []}
    return run


def _play(run, states):
    """A `show` that records the states, and moves the run on to the next."""
    seen = []

    def show(answer):
        seen.append(answer.state)
        if len(seen) < len(states):
            run["state"] = states[len(seen)]

    run["state"] = states[0]
    return seen, show


@pytest.mark.parametrize("end", ["SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"])
def test_every_end_is_an_end(kubeflow, run, end):
    states = ["PENDING", "RUNNING", "PAUSED", "RUNNING", "CANCELING", end]
    seen, show = _play(run, states)
    assert follow(kubeflow, run["run_id"], show, pause=0.01).state == end
    assert seen == states


@pytest.mark.parametrize("fault", [status(500), status(503), truncated])
def test_a_lost_connection_is_no_end(kubeflow, double, run, fault, capsys):
    seen, show = _play(run, ["RUNNING", "SUCCEEDED"])
    double.fail("GET", "/runs/", fault, times=5)
    assert follow(kubeflow, run["run_id"], show, pause=0.01).state == "SUCCEEDED"
    assert seen == ["RUNNING", "SUCCEEDED"]
    # One line when it is lost and one when it is back, however long that takes.
    lost, back = capsys.readouterr().err.splitlines()
    assert "not known, trying again" in lost
    assert "answers again" in back


def test_a_server_that_stays_away_is_an_end(kubeflow, double, run, monkeypatch):
    monkeypatch.setattr(follow_module, "_LONGEST_OUTAGE", 0.1)
    double.fail("GET", "/runs/", status(503), times=10**6)
    with pytest.raises(UserError, match="503"):
        follow(kubeflow, run["run_id"], lambda _: None, pause=0.01)


@pytest.mark.parametrize("code", [401, 403, 404])
def test_what_does_not_pass_is_an_end(kubeflow, double, run, code):
    double.fail("GET", "/runs/", status(code))
    with pytest.raises(UserError, match="injected"):
        follow(kubeflow, run["run_id"], lambda _: None, pause=0.01)


def _shown(kubeflow, run, moments, *, terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, color_system=None, width=80)
    left = list(moments)

    with Board(console, _TITLES) as board:

        def show(answer):
            board(answer)
            run["run_details"]["task_details"] = left.pop(0) if left else []
            run["state"] = "RUNNING" if left else "SUCCEEDED"

        run["run_details"]["task_details"] = left.pop(0)
        follow(kubeflow, run["run_id"], show, pause=0.01)
    return console.file.getvalue()


_ENDED = "2020-11-24T12:01:30Z"
_MOMENTS = [
    [_task("root-driver", "SUCCEEDED"), _task("ingest-driver", "RUNNING"), _task("ingest", "PENDING")],
    [_task("ingest", "SUCCEEDED", ended=_ENDED), _task("executor", "RUNNING")],
    [
        _task("ingest", "SUCCEEDED", ended=_ENDED),
        # Should a step be listed twice, the last start counts.
        _task("train", "SUCCEEDED", begun="12:00:30", ended="2020-11-24T12:02:00Z"),
        _task("train", "FAILED", ended=_ENDED),
        # As the server calls a step that Argo omitted, since one before it failed.
        _task("publish", "RUNTIME_STATE_UNSPECIFIED", ended="2020-11-24T12:00:00Z"),
    ],
    [],
]


def test_a_log_gets_a_line_for_each_change_of_a_step(kubeflow, run):
    assert _shown(kubeflow, run, _MOMENTS, terminal=False).splitlines() == [
        "· Ingest the ratings pending",
        "✓ Ingest the ratings 90 s",
        "✓ Train the model 90 s",
        "- Publish skipped",
    ]


def test_a_step_is_known_by_its_title_as_well(kubeflow, run):
    moments = [[_task("Ingest the ratings", "FAILED", ended=_ENDED)], []]
    assert _shown(kubeflow, run, moments, terminal=False) == "✗ Ingest the ratings 90 s\n"


def test_a_terminal_shows_the_steps_as_they_stand(kubeflow, run):
    shown = _shown(kubeflow, run, _MOMENTS, terminal=True)
    assert re.search(r"✓ +Ingest the ratings +90 s", shown)
    assert "run running" in shown
    assert "executor" not in shown
