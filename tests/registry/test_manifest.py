"""A manifest that was damaged or written for another place is found out where it is read."""

import json
from pathlib import Path

import pytest

from components.errors import UserError
from components.registry.registry import Registry


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
