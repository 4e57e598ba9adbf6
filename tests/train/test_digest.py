"""The digest of a Model's SavedModel, by which verdict and index name the model."""

import json
import subprocess
from pathlib import Path

import pytest

from components.errors import UserError
from components.saved_models import saved_model_digest
from components.train.artifact import model_digest


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for name, content in {
        "saved_model.pb": b"graph",
        "variables/variables.index": b"",
        "variables/variables.data-00000-of-00001": bytes(range(256)) * 1000,
        "Z": b"sorted by bytes: before a",
    }.items():
        file = tmp_path / "saved_model" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return tmp_path


@pytest.mark.process
def test_the_digest_is_what_the_shell_makes_of_the_files(model: Path) -> None:
    command = r"find -type f -printf '%P\n' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    printed = subprocess.check_output(["bash", "-c", command], cwd=model / "saved_model", text=True)
    assert saved_model_digest(model / "saved_model") == printed.split()[0]


@pytest.mark.parametrize("change", ["content", "name", "more", "fewer", "swapped"])
def test_any_change_of_the_files_changes_it(model: Path, change: str) -> None:
    saved = model / "saved_model"
    before = model_digest(model)
    graph, index = saved / "saved_model.pb", saved / "variables/variables.index"
    if change == "content":
        graph.write_bytes(b"grapf")
    elif change == "name":
        graph.rename(saved / "saved_model.pc")
    elif change == "more":
        (saved / "assets").mkdir()
        (saved / "assets" / "empty").write_bytes(b"")
    elif change == "fewer":
        index.unlink()
    else:
        graph.write_bytes(b"")
        index.write_bytes(b"graph")
    assert model_digest(model) != before


def test_an_empty_directory_does_not_count(model: Path) -> None:
    """Object stores have none."""
    before = model_digest(model)
    (model / "saved_model" / "assets").mkdir()
    assert model_digest(model) == before


@pytest.mark.parametrize("document", [None, "{}", '{"digest": ""}', "not JSON", '{"digest": 7}'])
def test_a_model_that_states_no_digest_has_one_all_the_same(model: Path, document: str | None) -> None:
    if document is not None:
        (model / "model.json").write_text(document)
    assert model_digest(model) == saved_model_digest(model / "saved_model")


def test_files_that_are_not_those_of_model_json_are_damage(model: Path) -> None:
    (model / "model.json").write_text(json.dumps({"digest": model_digest(model)}))
    assert model_digest(model)
    (model / "saved_model" / "variables/variables.index").write_bytes(b"?")
    with pytest.raises(UserError, match=r"the files in saved_model/ are not those that model\.json"):
        model_digest(model)
