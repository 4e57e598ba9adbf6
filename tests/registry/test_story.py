"""A version's story: where it comes from, whom it beat, and when it was served."""

import json
from pathlib import Path

import pytest

from components.errors import UserError
from components.registry.lookup import version_story
from components.registry.registry import Registry
from components.registry.run_records import RunRecord

VERDICT = {
    "rules": [{"name": "rmse_vs_champion", "verdict": "pass", "why": "0.90 stars is less than 0.95."}],
    "metrics": {"champion": {"rmse": 0.95}, "baselines": {"popularity": {"rmse": 1.1}}},
}


def record(registry: Registry, tmp_path: Path, run_id: str, version: str, beaten: str) -> None:
    (tmp_path / "verdict.json").write_text(json.dumps(VERDICT))
    registry.runs.write(
        RunRecord(
            run_id=run_id,
            outcome="published",
            reason="good",
            version=version,
            champion={"version": beaten, "sequence": 1},
        ),
        {"verdict.json": tmp_path / "verdict.json"},
    )


def test_the_story_of_the_champion(place: str, tmp_path: Path, crown) -> None:
    registry = Registry(place)
    first, second = (crown(registry, f"run-{number}") for number in (1, 2))
    record(registry, tmp_path, "run-2", second.version, first.version)
    story = version_story(registry)
    assert story.manifest == second
    assert story.served_now
    assert [entry.sequence for entry in story.places] == [2]
    assert story.replaced_by is None
    assert story.compared_with == first.version
    assert story.verdict == VERDICT
    assert story == version_story(registry, second.version)


def test_the_story_of_a_version_that_was_served_twice(place: str, crown) -> None:
    registry = Registry(place)
    first, second = (crown(registry, f"run-{number}").version for number in (1, 2))
    registry.rollback(reason="it recommends sequels only")
    crown(registry, "run-3")
    story = version_story(registry, first)
    assert not story.served_now
    assert [(entry.sequence, entry.why) for entry in story.places] == [(1, "published"), (3, "rollback")]
    assert story.places[1].reason == "it recommends sequels only"
    assert story.replaced_by is not None
    assert story.replaced_by.sequence == 4
    replaced = version_story(registry, second).replaced_by
    assert replaced is not None
    assert (replaced.version, replaced.why) == (first, "rollback")
    assert story.record is None
    assert story.compared_with == ""


def test_the_story_of_a_version_that_was_never_served(place: str, crown, add_version) -> None:
    registry = Registry(place)
    crown(registry, "run-1")
    story = version_story(registry, add_version(registry, "run-2").version)
    assert (story.served_now, story.places, story.replaced_by) == (False, [], None)


def test_the_record_of_a_later_run_of_that_name_is_not_taken_for_its_own(
    place: str, tmp_path: Path, crown
) -> None:
    registry = Registry(place)
    version = crown(registry, "run-1").version
    record(registry, tmp_path, "run-1", "another version", "")
    story = version_story(registry, version)
    assert story.record is None
    assert story.verdict == {}


def test_a_broken_verdict_is_named(place: str, tmp_path: Path, crown) -> None:
    registry = Registry(place)
    version = crown(registry, "run-1").version
    record(registry, tmp_path, "run-1", version, "")
    registry.storage.write_bytes("runs/run-1/verdict.json", b"{")
    with pytest.raises(UserError, match=r"verdict\.json of the run run-1 in .* is corrupt .*; restore it"):
        version_story(registry)
    registry.storage.delete("runs/run-1/verdict.json")
    assert version_story(registry).verdict == {}


def test_without_a_champion_a_version_must_be_named(place: str) -> None:
    with pytest.raises(UserError, match="has no champion; name a version: `twotower versions"):
        version_story(Registry(place))
