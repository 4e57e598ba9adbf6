"""A power loss during publish, rollback or prune leaves a whole champion; what has returned is done."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from forgetful_disk import ForgetfulDisk
from whole_registry import check_all_versions, whole_champion

from components.publish.step import publish
from components.registry import versions as versions_module
from components.registry.maintenance import prunable, prune
from components.registry.registry import Registry


@pytest.fixture
def root(tmp_path: Path, artifacts) -> Path:
    """A registry with three champions."""
    for number in (1, 2, 3):
        run = artifacts(f"run-{number}", after=number - 1)
        publish(**run, registry=str(tmp_path / "registry"))
    return tmp_path / "registry"


def states(disk: ForgetfulDisk, place: Path) -> Iterator[tuple[bool, Registry]]:
    """In turn, all that was not flushed is forgotten, or any part of it; at the end, both."""
    last = len(disk.events)
    for moment in range(last + 1):
        choices = [False, moment % 2 == 0]
        disk.rebuild(place, moment, partial(random.Random(moment).choice, choices))
        yield moment == last, Registry(str(place))
        if moment == last:
            disk.rebuild(place, moment, lambda: False)
            yield True, Registry(str(place))


def test_the_model_forgets_what_was_not_flushed(tmp_path: Path) -> None:
    root, after = tmp_path / "root", tmp_path / "after"
    root.mkdir()
    disk = ForgetfulDisk(root)
    with disk.recording():
        (root / "directory").mkdir()
        (root / "written").write_bytes(b"content")
        (root / "written").replace(root / "named")
    disk.rebuild(after, len(disk.events), lambda: False)
    assert [*after.iterdir()] == []
    disk.rebuild(after, len(disk.events), lambda: True)
    assert sorted(path.name for path in after.iterdir()) == ["directory", "named"]
    assert (after / "named").read_bytes() == b""


def test_a_publication(root: Path, tmp_path: Path, artifacts) -> None:
    before, run, disk = (
        Registry(str(root)).versions.ids(),
        artifacts("run-4", after=3),
        ForgetfulDisk(root),
    )
    with disk.recording():
        publish(**run, registry=str(root))
    assert len(disk.events) > 60
    reached = set()
    for ended, registry in states(disk, tmp_path / "after"):
        champion = whole_champion(registry)
        check_all_versions(registry)
        assert set(before) <= set(registry.versions.ids())
        reached.add(champion.sequence)
        if ended:
            assert champion.run_id == "run-4"
            assert registry.serving.is_complete(champion)
            record = registry.runs.read("run-4")
            assert record is not None
            assert record.sequence == 4
    assert reached == {3, 4}


def test_the_first_publication_into_a_new_directory(tmp_path: Path, artifacts) -> None:
    root, disk = tmp_path / "new" / "registry", ForgetfulDisk(tmp_path)
    run = artifacts("run-1")
    with disk.recording():
        publish(**run, registry=str(root))
    disk.rebuild(tmp_path / "after", len(disk.events), lambda: False)
    assert whole_champion(Registry(str(tmp_path / "after" / "new" / "registry"))).run_id == "run-1"


def test_a_rollback(root: Path, tmp_path: Path) -> None:
    before, disk = Registry(str(root)).versions.ids(), ForgetfulDisk(root)
    with disk.recording():
        Registry(str(root)).rollback()
    reached = set()
    for ended, registry in states(disk, tmp_path / "after"):
        champion = whole_champion(registry)
        check_all_versions(registry)
        assert registry.versions.ids() == before
        reached.add(champion.sequence)
        if ended:
            assert registry.serving.is_complete(champion)
            assert champion.sequence == 4
    assert reached == {3, 4}


def test_a_pruning(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later = datetime.now(UTC) + timedelta(days=1, seconds=1)
    monkeypatch.setattr(versions_module, "now", lambda: later)
    disk, store = ForgetfulDisk(root), Registry(str(root))
    pruning = prunable(store, keep=1)
    assert len(pruning.versions) == 1
    with disk.recording():
        prune(store, pruning)
    for ended, registry in states(disk, tmp_path / "after"):
        assert whole_champion(registry).sequence == 3
        check_all_versions(registry)
        assert set(pruning.kept) <= set(registry.versions.ids())
        if ended:
            assert registry.versions.ids() == pruning.kept
            assert registry.serving.names() == ["2", "3"]
