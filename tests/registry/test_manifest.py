"""A manifest that was damaged or written for another place is found out where it is read."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.documents import plain
from components.errors import UserError
from components.registry.registry import Registry, published_index
from components.registry.verification import verify
from components.registry.versions import GateDecision, Provenance


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWOTOWER_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", ["model/../../../x", "/x", "", "index//a", "index/a\0"])
def test_a_manifest_names_no_file_outside_its_version(
    place: str, tmp_path: Path, add_version, name: str
) -> None:
    registry = Registry(place)
    version = add_version(registry, "run-1").version
    key = f"versions/{version}/manifest.json"
    manifest = json.loads(registry.storage.read_bytes(key))
    manifest["files"][name] = manifest["files"]["report.html"]
    registry.storage.write_bytes(key, json.dumps(manifest).encode())
    for action in (
        lambda: registry.versions.download(version, "model", tmp_path / "in" / "model"),
        lambda: registry.versions.check(version),
        lambda: registry.versions.copy(version, "model", "serving/1", []),
    ):
        with pytest.raises(UserError, match=r"manifest.json: files has the name .*: it "):
            action()
    assert not (tmp_path / "x").exists()


def change(registry: Registry, version: str, seal: bool = False, **fields: Any) -> None:
    """Replaces fields of a manifest, with the checksum of before, or without any, as of earlier releases."""
    key = f"versions/{version}/manifest.json"
    manifest = json.loads(registry.storage.read_bytes(key))
    manifest = {**manifest, **fields}
    if not seal:
        del manifest["checksum"]
    registry.storage.write_bytes(key, json.dumps(manifest).encode())


def test_an_edited_manifest_is_refused(place: str, add_version) -> None:
    registry = Registry(place)
    version = add_version(registry, "run-1").version
    change(registry, version, seal=True, metrics={"rmse": 0.1})
    with pytest.raises(UserError, match=rf"{version}/manifest\.json: it is damaged: its content does not"):
        registry.versions.manifest(version)


def test_a_manifest_without_a_checksum_is_read(place: str, add_version) -> None:
    registry = Registry(place)
    manifest = add_version(registry, "run-1")
    change(registry, manifest.version)
    assert registry.versions.manifest(manifest.version) == manifest
    registry.versions.check(manifest.version)


def test_swapped_versions_are_refused(place: str, promote) -> None:
    registry = Registry(place)
    first, second = (promote(registry, f"run-{number}").version for number in (1, 2))
    files = {key: registry.storage.read_bytes(key) for key in registry.storage.list("versions/")}
    for key, content in files.items():
        other = key.replace(first, second) if first in key else key.replace(second, first)
        registry.storage.write_bytes(other, content)
    for action in (
        lambda: published_index(place),
        lambda: registry.rollback(),
        lambda: registry.versions.check(first),
    ):
        with pytest.raises(UserError, match=r"manifest\.json is that of another version"):
            action()


@pytest.mark.parametrize("lost", ["index/saved_model.pb", "report.html"])
def test_a_manifest_lists_all_files_that_its_version_is_named_after(
    place: str, add_version, lost: str
) -> None:
    registry = Registry(place)
    manifest = add_version(registry, "run-1")
    files = {name: plain(file) for name, file in manifest.files.items() if name != lost}
    change(registry, manifest.version, files=files)
    with pytest.raises(UserError, match=r"manifest\.json is damaged: .* is not named after the run and the"):
        registry.versions.check(manifest.version)


def test_a_manifest_without_files_is_refused(place: str, promote) -> None:
    registry = Registry(place)
    change(registry, promote(registry, "run-1").version, files={})
    with pytest.raises(UserError, match=r"manifest\.json: files is empty"):
        published_index(place)
    [fault] = verify(registry).faults
    assert "manifest.json: files is empty" in fault


def test_a_part_without_files_is_refused(place: str, tmp_path: Path) -> None:
    (tmp_path / "page").write_text("<p>")
    registry = Registry(place)
    facts = Provenance(run_id="run", fingerprint="", settings={}, metrics={}, verdict=GateDecision())
    version = registry.versions.add(facts, {"report.html": tmp_path / "page"}).version
    with pytest.raises(UserError, match=r"manifest\.json lists no file of index"):
        registry.versions.check(version, "index")


def test_a_later_release_may_say_more_of_a_file(place: str, add_version) -> None:
    registry = Registry(place)
    manifest = add_version(registry, "run-1")
    change(
        registry,
        manifest.version,
        files={name: {**plain(file), "sha256": "00"} for name, file in manifest.files.items()},
    )
    assert registry.versions.manifest(manifest.version) == manifest
    registry.versions.check(manifest.version)
