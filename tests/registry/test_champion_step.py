"""The step that brings the served model in."""

import json
from pathlib import Path

import pytest

from components.errors import UserError
from components.registry.registry import Registry
from components.registry.step import champion


def read(directory: Path) -> dict[str, object]:
    document: dict[str, object] = json.loads((directory / "champion.json").read_text())
    return document


def test_an_absent_registry_has_no_champion_and_is_there_after(place: str, tmp_path: Path) -> None:
    summary = champion(registry=place, output=str(tmp_path / "champion"))
    assert summary == ("", 0, False)
    assert read(tmp_path / "champion") == {"exists": False, "version": "", "sequence": 0, "registry": place}
    assert not (tmp_path / "champion" / "model").exists()
    assert Registry(place).storage.list() == []
    if not place.startswith("gs://"):
        assert Path(place).is_dir()


def test_the_champions_model_is_copied(place: str, tmp_path: Path, promote) -> None:
    registry = Registry(place)
    promote(registry, "run-1")
    version = promote(registry, "run-2").version
    summary = champion(registry=place, output=str(tmp_path / "champion"))
    assert summary == (version, 2, False)
    assert read(tmp_path / "champion") == {
        "exists": True, "version": version, "sequence": 2, "registry": place
    }  # fmt: skip
    model = tmp_path / "champion" / "model"
    assert (model / "saved_model" / "saved_model.pb").read_text() == "the towers"
    assert (model / "model.json").is_file()


def test_a_run_is_skipped_only_if_asked_and_only_on_the_champions_own_input(
    place: str, tmp_path: Path, promote
) -> None:
    output = str(tmp_path / "champion")
    assert not champion(registry=place, fingerprint="f", skip_unchanged=True, output=output).skip
    registry = Registry(place)
    version = promote(registry, "run-1").version
    seen = registry.versions.manifest(version).fingerprint
    assert champion(registry=place, fingerprint=seen, skip_unchanged=True, output=output) == (
        version,
        1,
        True,
    )
    assert not champion(registry=place, fingerprint=seen, skip_unchanged=False, output=output).skip
    assert not champion(registry=place, fingerprint="other", skip_unchanged=True, output=output).skip


@pytest.mark.parametrize("damage", ["delete", "flip"])
@pytest.mark.parametrize("name", ["manifest.json", "model/saved_model/saved_model.pb"])
def test_a_broken_champion_is_named_with_the_cure(
    place: str, tmp_path: Path, promote, name: str, damage: str
) -> None:
    registry = Registry(place)
    version = promote(registry, "run").version
    key = f"versions/{version}/{name}"
    if damage == "delete":
        registry.storage.delete(key)
    else:
        registry.storage.write_bytes(key, b"\xff" + registry.storage.read_bytes(key)[1:])
    with pytest.raises(UserError, match=rf"{version}.*`twotower (rollback|versions) --registry"):
        champion(registry=place, output=str(tmp_path / "champion"))
    assert not (tmp_path / "champion").exists()


def test_a_registry_that_cannot_be_written_is_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*file/registry"):
        champion(registry=str(tmp_path / "file" / "registry"), output=str(tmp_path / "champion"))
    assert not (tmp_path / "champion").exists()


def test_a_bucket_that_is_not_there_is_found(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"there is no bucket {bucket[5:]}-not"):
        champion(registry=f"{bucket}-not/registry", output=str(tmp_path / "champion"))
