"""Small artifacts to publish, and processes that publish them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from verdicts import write_verdict

from components.publish import judged
from components.publish.step import PublishSummary
from components.saved_models import SAVED_MODEL, saved_model_digest

Artifacts = dict[str, str]
Publishers = Callable[..., list[PublishSummary | None]]

PASSING = {"name": "finite", "why": "all figures are finite."}
FAILING = [
    {"name": "rmse_vs_bias", "verdict": "fail", "why": "0.95 stars is more than 0.91."},
    {"name": "top_100_vs_popularity", "verdict": "fail", "why": "0.20 is less than 0.31."},
]
VERDICT = {
    "reason": "Good enough: it finds more than popularity does.",
    "metrics": {"challenger": {"rmse": 0.875, "top_100_accuracy_unseen": 0.5, "top_1_accuracy": None}},
    "fingerprint": "12-34",
}


SPLIT = {"kind": "random", "seed": 42, "validation_fraction": 0.1, "test_fraction": 0.1}
MODEL = {
    "format": 1,
    "preset": "default",
    "settings": {"epochs": 3},
    "seed": 42,
    "split": SPLIT,
    "fingerprint": "12-34",
    "rating_scale": [1.0, 5.0],
    "movies": 7,
    "training_users": 3,
    "steps": 100,
    "seconds": 12.0,
    "validation_rmse": 0.875,
    "validation_top_100_accuracy_unseen": None,
}


STATISTICS = {
    "format": 1,
    "rows_read": 10,
    "rows_kept": 9,
    "rows_rejected": 1,
    "rejected_by_reason": {"duplicate": 1},
    "duplicates": 1,
    "rows_left_out": 0,
    "movies": 7,
    "movie_table": {},
    "rating_scale": [1.0, 5.0],
    "splits": {"train": 7, "validation": 1, "test": 1},
    "split": SPLIT,
    "users": 3,
    "movies_rated": 5,
    "share_of_movies_rated": 0.7,
    "density": 0.6,
    "rating_mean": 3.5,
    "rating_histogram": {"3.5": 9},
    "ratings_per_user": {"0.5": 3},
    "ratings_per_movie": {"0.5": 2},
    "time_span": None,
    "fingerprint": "12-34",
    "seconds": 1.0,
}


INDEX = {
    "format": 1,
    "search": "brute-force",
    "movies": 7,
    "users": 3,
    "training_users": 3,
    "ratings": {"known": 8, "held_out": 1},
    "rating_scale": [1.0, 5.0],
    "dimension": 2,
    "bytes": 1000,
    "fingerprint": "12-34",
    "split": SPLIT,
    "validation": {
        "users": 3,
        "answers": 100,
        "largest_difference": 0.0,
        "load_seconds": 1.0,
        "recommend_p50_ms": 1.0,
        "recommend_p99_ms": 1.0,
    },
    "signatures": {},
}


@pytest.fixture(autouse=True)
def _taken_for_loadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The graphs of `artifacts` are texts; test_judged.py publishes real ones."""
    monkeypatch.setattr(judged, "check_operations", lambda _: None)
    monkeypatch.setattr(judged, "check_answers", lambda _: None)


@pytest.fixture
def artifacts(tmp_path: Path) -> Callable[..., Artifacts]:
    """A function that writes the artifacts of a run; its arguments replace parts of the verdict.

    `after` is the number of the champion that the verdict compares with.
    """

    def write(run_id: str, after: int = 0, **verdict: Any) -> Artifacts:
        root = tmp_path / "artifacts" / run_id
        for name, content in {
            "index/saved_model.pb": f"the index of {run_id}",
            "index/variables/variables.index": "numbers",
            "index/variables/variables.data-00000-of-00001": "numbers " * 10_000,
            "model/saved_model/saved_model.pb": f"the towers of {run_id}",
            "model/model.json": MODEL,
            "model/step.json": {"step": "train", "seconds": 12.5, "peak_memory_bytes": 1000},
            "evaluation/step.json": {"step": "evaluate", "seconds": 2.5, "peak_memory_bytes": 2000},
            "dataset/statistics.json": STATISTICS,
            "report/report.html": f"<p>the report of {run_id}",
        }.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content if isinstance(content, str) else json.dumps(content))
        good = verdict.get("blessed", verdict.get("publish", True))
        rules = [PASSING, *([] if good else FAILING)]
        digest = saved_model_digest(root / "model" / SAVED_MODEL)
        (root / "index/manifest.json").write_text(json.dumps({**INDEX, "model": {"digest": digest}}))
        champion = {"exists": True, "version": "before", "sequence": after} if after else {"exists": False}
        facts = {"rules": rules, "champion": champion, "model_digest": digest, **VERDICT, **verdict}
        write_verdict(root / "evaluation", **facts)
        names = ("index", "model", "evaluation", "dataset", "report")
        return {name: str(root / name) for name in names} | {"run_id": run_id, "output": str(root / "output")}

    return write


@pytest.fixture(scope="session")
def publishers() -> Iterator[Publishers]:
    """A function that lets runs publish at once, in a process each; None stands for one that was killed.

    Its options are `die_after` and `kill_after` of publisher.py.
    """
    program = [sys.executable, str(Path(__file__).with_name("publisher.py"))]
    # Its standard error is this process's, so that a failing test shows why a publisher died.
    server = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def publish(
        runs: list[dict[str, Any]], die_after: int = 0, kill_after: float | None = None
    ) -> list[PublishSummary | None]:
        names = ("STORAGE_EMULATOR_HOST", "TWOTOWER_CACHE", "AWS_")
        environment = {name: value for name, value in os.environ.items() if name.startswith(names)}
        request = {
            "runs": runs,
            "environment": environment,
            "die_after": die_after,
            "kill_after": kill_after,
        }
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        summaries = json.loads(server.stdout.readline())
        return [PublishSummary(**summary) if summary else None for summary in summaries]

    yield publish
    server.communicate(timeout=60)
