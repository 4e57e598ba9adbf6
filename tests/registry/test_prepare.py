"""The first step: it looks at the input and brings the served model in."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from components.errors import UserError
from components.ingest.inputs import fingerprint_of
from components.registry.registry import Registry
from components.registry.run_records import SeenChampion
from components.registry.step import PrepareSummary, prepare, prepare_command
from components.saved_models import ForeignOperationError

# No champion is ignored, and none before it is ahead.
_COMPARED_AS_USUAL = {"ignored": "", "best_version": "", "best_sequence": 0}


@pytest.fixture(autouse=True)
def _graphs_are_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that `promote` writes; test_foreign_models.py has real ones."""
    monkeypatch.setattr("components.registry.step.check_operations", lambda _: None)


@pytest.fixture
def ratings(tmp_path: Path) -> str:
    file = tmp_path / "ratings.csv"
    file.write_text("user,movie,rating")
    return str(file)


def read(directory: Path) -> dict[str, object]:
    document: dict[str, object] = json.loads((directory / "champion.json").read_text())
    return document


def test_an_absent_registry_has_no_champion_and_is_there_after(
    place: str, ratings: str, tmp_path: Path
) -> None:
    summary = prepare(ratings=ratings, registry=place, output=str(tmp_path / "champion"))
    assert summary == (fingerprint_of(ratings, "", ""), "", 0, False, "")
    none = {"exists": False, "version": "", "sequence": 0, "registry": place}
    assert read(tmp_path / "champion") == {**none, **_COMPARED_AS_USUAL}
    assert not (tmp_path / "champion" / "model").exists()
    assert Registry(place).storage.list() == []
    if "://" not in place:
        assert Path(place).is_dir()


def test_the_champions_model_is_copied(place: str, ratings: str, tmp_path: Path, promote) -> None:
    registry = Registry(place)
    promote(registry, "run-1")
    version = promote(registry, "run-2").version
    summary = prepare(ratings=ratings, registry=place, output=str(tmp_path / "champion"))
    assert summary[1:] == (version, 2, False, "")
    assert read(tmp_path / "champion") == {
        "exists": True, "version": version, "sequence": 2, "registry": place, **_COMPARED_AS_USUAL
    }  # fmt: skip
    model = tmp_path / "champion" / "model"
    assert (model / "saved_model" / "saved_model.pb").read_text() == "the towers"
    assert (model / "model.json").is_file()


def test_the_champions_weights_stay_where_they_are_and_may_be_damaged(
    place: str, ratings: str, tmp_path: Path, promote
) -> None:
    registry = Registry(place)
    version = promote(registry, "run-1").version
    key = f"versions/{version}/model/weights.npz"
    assert registry.storage.exists(key)
    registry.storage.write_bytes(key, b"damaged")
    prepare(ratings=ratings, registry=place, output=str(tmp_path / "champion"))
    assert not (tmp_path / "champion" / "model" / "weights.npz").exists()


def test_a_run_is_skipped_only_if_asked_and_only_on_the_champions_own_input(
    place: str, ratings: str, tmp_path: Path, promote, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, output = Registry(place), tmp_path / "champion"

    def prepared(skip_unchanged: bool = True) -> PrepareSummary:
        return prepare(
            ratings=ratings,
            registry=place,
            run_id="run-9",
            output=str(output),
            skip_unchanged=skip_unchanged,
            ignore_champion=False,
        )

    assert not prepared().skip, "an empty registry"
    version = promote(registry, "run-1").version
    assert not prepared().skip, "another input"
    assert registry.runs.read("run-9") is None
    seen = registry.versions.manifest(version).fingerprint
    monkeypatch.setattr("components.ingest.inputs.fingerprint_of", lambda *_, **__: seen)
    assert not prepared(skip_unchanged=False).skip
    assert registry.runs.read("run-9") is None
    assert prepared() == (seen, version, 1, True, "")
    assert not (output / "model").exists()
    record = registry.runs.read("run-9")
    assert record is not None
    assert (record.outcome, record.version, record.fingerprint) == ("skipped", "", seen)
    assert record.champion == SeenChampion(version=version, sequence=1)
    assert version in record.reason


def test_an_input_file_that_is_absent_is_found_first(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.csv does not exist"):
        prepare(ratings="absent.csv", registry=str(tmp_path / "registry"), output=str(tmp_path / "champion"))
    assert not list(tmp_path.iterdir())


def test_the_command_names_a_skipped_run_by_the_time(
    ratings: str, tmp_path: Path, promote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    registry = Registry("registry")
    version = promote(registry, "run-1").version
    seen = registry.versions.manifest(version).fingerprint
    monkeypatch.setattr("components.ingest.inputs.fingerprint_of", lambda *_, **__: seen)
    words = ["--ratings", ratings, "--skip-unchanged"]
    said = CliRunner().invoke(prepare_command, words, catch_exceptions=False).stdout
    assert said == f"{version} was trained on this input: nothing to do\n"
    (record,), _ = registry.runs.newest_first()
    assert record.run_id.startswith("by-hand-")


@pytest.mark.parametrize("damage", ["delete", "flip"])
@pytest.mark.parametrize("name", ["manifest.json", "model/saved_model/saved_model.pb"])
def test_a_broken_champion_is_named_with_the_cure(
    place: str, ratings: str, tmp_path: Path, promote, name: str, damage: str
) -> None:
    registry = Registry(place)
    version = promote(registry, "run").version
    key = f"versions/{version}/{name}"
    if damage == "delete":
        registry.storage.delete(key)
    else:
        registry.storage.write_bytes(key, b"\xff" + registry.storage.read_bytes(key)[1:])
    with pytest.raises(UserError, match=rf"{version}.*`twotower (rollback|versions) --registry"):
        prepare(ratings=ratings, registry=place, output=str(tmp_path / "champion"))
    assert not (tmp_path / "champion").exists()


def test_a_registry_that_cannot_be_written_is_found(ratings: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*file/registry"):
        prepare(
            ratings=ratings, registry=str(tmp_path / "file" / "registry"), output=str(tmp_path / "champion")
        )
    assert not (tmp_path / "champion").exists()


def test_a_bucket_that_is_not_there_is_found(bucket: str, ratings: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"there is no bucket {bucket[5:]}-not"):
        prepare(ratings=ratings, registry=f"{bucket}-not/registry", output=str(tmp_path / "champion"))


def test_a_champion_with_foreign_operations_ends_the_run_unless_it_is_ignored(
    ratings: str, tmp_path: Path, promote, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise ForeignOperationError("its graph has the operation WriteFile")

    monkeypatch.setattr("components.registry.step.check_operations", refuse)
    registry = Registry(str(tmp_path / "registry"))
    version = promote(registry, "run-1").version
    inputs: Any = {"ratings": ratings, "registry": registry.root, "output": str(tmp_path / "champion")}
    with pytest.raises(UserError, match=rf"champion {version}: .*WriteFile; .*rollback.*--ignore-ch"):
        prepare(**inputs)
    assert not (tmp_path / "champion").exists()
    prepare(**inputs, ignore_champion=True)
    assert not (tmp_path / "champion" / "model").exists()


def test_a_champion_whose_graph_cannot_be_read_is_left_to_the_gate(
    ratings: str, tmp_path: Path, promote, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: Path) -> None:
        raise UserError("it is damaged")

    monkeypatch.setattr("components.registry.step.check_operations", refuse)
    registry = Registry(str(tmp_path / "registry"))
    version = promote(registry, "run-1").version
    prepare(ratings=ratings, registry=registry.root, output=str(tmp_path / "champion"))
    assert (tmp_path / "champion" / "model" / "saved_model").is_dir()
    assert f"the champion {version}: it is damaged" in capsys.readouterr().err


def test_a_champion_that_has_read_a_user_to_forget_is_no_start(
    place: str, ratings: str, tmp_path: Path, promote, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(place)
    promote(registry, "run-1")
    asked: list[tuple[str, set[str]]] = []

    def objection(erasure: Any, version: str) -> str:
        asked.append((version, {name.decode() for name in erasure._ids}))
        return "It has."

    monkeypatch.setattr("components.registry.erasure.Erasure.objection", objection)
    listed = tmp_path / "forget.txt"
    listed.write_text("007\n")

    def prepared(**inputs: Any) -> PrepareSummary:
        return prepare(ratings=ratings, registry=place, output=str(tmp_path / "champion"), **inputs)

    without = prepared()
    assert (without.cold_start, asked) == ("", [])
    summary = prepared(forget=str(listed), ingest_settings={"id_type": "int"})
    assert (summary.cold_start, asked) == ("It has.", [(summary.version, {"7"})])
    assert summary.fingerprint != without.fingerprint
    assert (tmp_path / "champion" / "model" / "model.json").is_file(), "the gate compares with it"
    listed.write_text("7\n7\n")
    assert prepared(forget=str(listed)).fingerprint == summary.fingerprint
