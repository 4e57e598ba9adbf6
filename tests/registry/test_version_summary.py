"""The summary of a version: its origin, the champion before it, and when it was served."""

from pathlib import Path

import pytest
from verdicts import verdict, write_verdict

from components.errors import UserError
from components.registry.registry import Registry
from components.registry.run_records import RunRecord, SeenChampion
from components.report.lookup import version_summary

VERDICT = {
    "rules": [{"name": "rmse_vs_champion", "against": "champion", "why": "0.90 stars is less than 0.95."}],
    "metrics": {"champion": {"rmse": 0.95}, "baselines": {"popularity": {"rmse": 1.1}}},
}


def record(registry: Registry, tmp_path: Path, run_id: str, version: str, beaten: str) -> None:
    write_verdict(tmp_path, **VERDICT)
    registry.runs.write(
        RunRecord(
            run_id=run_id,
            outcome="published",
            reason="good",
            version=version,
            champion=SeenChampion(version=beaten, sequence=1),
        ),
        {"verdict.json": tmp_path / "verdict.json"},
    )


def test_the_summary_of_the_champion(place: str, tmp_path: Path, promote) -> None:
    registry = Registry(place)
    first, second = (promote(registry, f"run-{number}") for number in (1, 2))
    record(registry, tmp_path, "run-2", second.version, first.version)
    summary = version_summary(registry)
    assert summary.manifest == second
    assert summary.served_now
    assert [entry.sequence for entry in summary.places] == [2]
    assert summary.replaced_by is None
    assert summary.compared_with == first.version
    assert summary.verdict == verdict(**VERDICT)
    assert summary == version_summary(registry, second.version)


def test_the_summary_of_a_version_that_was_served_twice(place: str, promote) -> None:
    registry = Registry(place)
    first, second = (promote(registry, f"run-{number}").version for number in (1, 2))
    registry.rollback(reason="it recommends sequels only")
    promote(registry, "run-3")
    summary = version_summary(registry, first)
    assert not summary.served_now
    assert [(entry.sequence, entry.why) for entry in summary.places] == [(1, "published"), (3, "rollback")]
    assert summary.places[1].reason == "it recommends sequels only"
    assert summary.replaced_by is not None
    assert summary.replaced_by.sequence == 4
    replaced = version_summary(registry, second).replaced_by
    assert replaced is not None
    assert (replaced.version, replaced.why) == (first, "rollback")
    assert summary.record is None
    assert summary.compared_with == ""


def test_the_summary_of_a_version_that_was_never_served(place: str, promote, add_version) -> None:
    registry = Registry(place)
    promote(registry, "run-1")
    summary = version_summary(registry, add_version(registry, "run-2").version)
    assert (summary.served_now, summary.places, summary.replaced_by) == (False, [], None)


def test_the_record_of_a_later_run_of_that_name_is_not_taken_for_its_own(
    place: str, tmp_path: Path, promote
) -> None:
    registry = Registry(place)
    version = promote(registry, "run-1").version
    record(registry, tmp_path, "run-1", "another version", "")
    summary = version_summary(registry, version)
    assert summary.record is None
    assert summary.verdict is None


def test_a_broken_verdict_is_named(place: str, tmp_path: Path, promote) -> None:
    registry = Registry(place)
    version = promote(registry, "run-1").version
    record(registry, tmp_path, "run-1", version, "")
    registry.storage.write_bytes("runs/run-1/verdict.json", b"{")
    with pytest.raises(UserError, match=r"runs/run-1/verdict\.json is not JSON .*; restore it"):
        version_summary(registry)
    registry.storage.delete("runs/run-1/verdict.json")
    assert version_summary(registry).verdict is None


def test_without_a_champion_a_version_must_be_named(place: str) -> None:
    with pytest.raises(UserError, match="has no champion; name a version: `twotower versions"):
        version_summary(Registry(place))
