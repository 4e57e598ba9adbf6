"""Versions are whole, and what is not as published is refused by name."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from components.errors import UserError
from components.registry import versions as versions_module
from components.registry.registry import Registry
from components.registry.versions import GateDecision, Provenance
from components.storage import StoredFile, stored_file


def test_a_version_comes_back_as_it_went(place: str, tmp_path: Path, add_version) -> None:
    registry = Registry(place)
    manifest = add_version(registry, "run-1", fingerprint="12-34")
    assert registry.versions.ids() == [manifest.version]
    assert Registry(place).versions.manifest(manifest.version) == manifest
    assert manifest.run_id == "run-1"
    assert manifest.fingerprint == "12-34"
    registry.versions.check(manifest.version)

    registry.versions.download(manifest.version, "index", tmp_path / "copy")
    source = tmp_path / "artifacts" / "run-1" / "index"
    names = ["manifest.json", "saved_model.pb", "variables/variables.index"]
    assert (
        sorted(p.relative_to(tmp_path / "copy").as_posix() for p in (tmp_path / "copy").rglob("*.*")) == names
    )
    for name in names:
        assert (tmp_path / "copy" / name).read_bytes() == (source / name).read_bytes()
        assert manifest.part("index")[name] == stored_file(source / name)


def test_ids_sort_by_time(tmp_path: Path, add_version, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(str(tmp_path / "registry"))
    start = datetime(2026, 1, 31, 23, 59, 58, tzinfo=UTC)
    made = []
    for second in range(4):
        monkeypatch.setattr(versions_module, "now", lambda second=second: start + timedelta(seconds=second))
        made.append(add_version(registry, f"run-{second}").version)
    assert made == sorted(made) == registry.versions.ids()
    assert made[0].startswith("20260131-235958-")


def test_a_version_is_made_once(place: str, add_version) -> None:
    registry = Registry(place)
    first = add_version(registry, "run-1")
    other = add_version(registry, "run-2")
    before = registry.storage.list()
    assert add_version(Registry(place), "run-1") == first
    assert registry.storage.list() == before
    assert registry.versions.ids() == sorted([first.version, other.version])


def test_other_files_of_the_same_run_are_another_version(place: str, tmp_path: Path) -> None:
    registry = Registry(place)
    provenance = Provenance(run_id="run", fingerprint="", settings={}, metrics={}, verdict=GateDecision())
    file = tmp_path / "saved_model.pb"
    made = []
    for content in ("one", "two"):
        file.write_text(content)
        made.append(registry.versions.add(provenance, {"index/saved_model.pb": file}).version)
    assert registry.versions.ids() == sorted(made)
    for version in made:
        registry.versions.check(version)


def test_a_file_that_changes_while_it_is_copied_makes_no_version(
    tmp_path: Path, add_version, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(str(tmp_path / "registry"))
    monkeypatch.setattr(registry.storage, "upload_file", lambda *_: StoredFile(1, "other"))
    with pytest.raises(UserError, match="changed while it was copied; publish it again"):
        add_version(registry, "run")
    assert registry.versions.ids() == []


@pytest.mark.parametrize("version", ["20260131-235958-0123abcd", "latest", "", "../../champion", "a/b"])
def test_an_unknown_version_is_refused(place: str, add_version, version: str) -> None:
    registry = Registry(place)
    add_version(registry, "run")
    with pytest.raises(UserError, match=rf"place has no version {version}; `twotower versions --registry"):
        registry.versions.manifest(version)


def test_a_version_without_manifest_is_not_there(place: str, add_version) -> None:
    registry = Registry(place)
    version = add_version(registry, "run").version
    registry.storage.delete(f"versions/{version}/manifest.json")
    assert registry.versions.ids() == []
    with pytest.raises(UserError, match="has no version"):
        registry.versions.manifest(version)


def test_a_file_that_is_not_as_published_is_named(place: str, tmp_path: Path, add_version) -> None:
    registry = Registry(place)
    version = add_version(registry, "run").version
    key = f"versions/{version}/index/variables/variables.index"
    actions = (
        lambda: registry.versions.check(version),
        lambda: registry.versions.download(version, "index", tmp_path / "copy"),
        lambda: registry.versions.copy(version, "index", "serving/1", last=[]),
    )
    registry.storage.write_bytes(key, b"numberz")
    for action in actions:
        with pytest.raises(
            UserError, match=rf"{key} is corrupt: .*; restore .* `twotower rollback --registry"
        ):
            action()
    registry.versions.check(version, "model")
    registry.storage.delete(key)
    for action in actions:
        with pytest.raises(UserError, match=f"{key} is missing; restore it"):
            action()


def test_a_byte_that_flips_on_the_disk_is_found(
    gcs_bucket: str, gcs_server, tmp_path: Path, add_version
) -> None:
    registry = Registry(gcs_bucket)
    version = add_version(registry, "run").version
    stored = (
        gcs_server.root / gcs_bucket.removeprefix("gs://") / "versions" / version / "index" / "saved_model.pb"
    )
    content = bytearray(stored.read_bytes())
    content[0] ^= 1
    stored.write_bytes(content)
    with pytest.raises(UserError, match=rf"{version}/index/saved_model\.pb is corrupt"):
        registry.versions.download(version, "index", tmp_path / "copy")


def test_what_a_killed_publisher_left_goes_after_a_day(
    place: str, add_version, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(place)
    whole, partial = (add_version(registry, run_id).version for run_id in ("run-1", "run-2"))
    registry.storage.delete(f"versions/{partial}/manifest.json")
    registry.storage.write_bytes("versions/a note.txt", b"by hand")
    registry.clean()
    assert len(registry.storage.list(f"versions/{partial}/")) > 0, "its publisher may be at work"
    tomorrow = datetime.now(UTC) + timedelta(days=1, seconds=1)
    monkeypatch.setattr(versions_module, "now", lambda: tomorrow)
    registry.clean()
    assert registry.storage.list(f"versions/{partial}/") == []
    assert registry.versions.ids() == [whole]
    registry.versions.check(whole)
    assert registry.storage.exists("versions/a note.txt")
