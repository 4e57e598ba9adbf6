"""The subcommands by which `refuse` and `notify` are repeated by hand."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from components.errors import UserError
from components.publish.step import notify_command, refuse_command
from components.registry.registry import Registry


def test_a_refusal_is_recorded_by_hand(tmp_path: Path, artifacts) -> None:
    run = artifacts("run-1", publish=False, blessed=False, reason="Refused (rmse_vs_bias): too much.")
    registry = str(tmp_path / "registry")
    words = [word for name in ("evaluation", "report", "output") for word in (f"--{name}", run[name])]
    CliRunner().invoke(refuse_command, [*words, "--registry", registry], catch_exceptions=False)
    [run_id] = Registry(registry).runs.ids()
    assert run_id.startswith("by-hand-")
    assert Path(run["output"], "refused.json").is_file()

    failed = CliRunner().invoke(
        refuse_command, [*words, "--registry", registry, "--run-id", "run-1", "--fail"]
    )
    assert isinstance(failed.exception, UserError)
    assert Registry(registry).runs.ids() == [run_id, "run-1"]


def test_a_failure_is_recorded_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TWOTOWER_WEBHOOK", raising=False)
    monkeypatch.chdir(tmp_path)
    words = ["--status-error", "train failed", "--run-id", "run-1"]
    CliRunner().invoke(notify_command, words, catch_exceptions=False)
    record = Registry("registry").runs.read("run-1")
    assert record is not None
    assert (record.outcome, record.reason) == ("failed", "train failed")
