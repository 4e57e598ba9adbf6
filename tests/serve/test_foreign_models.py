"""No command loads a model that this project cannot have written."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from verdicts import write_verdict

from components.export.manifest import read_manifest
from components.registry.registry import Registry
from components.registry.versions import GateDecision, Provenance
from components.train.artifact import model_digest
from components.train.scoring import SIGNATURES
from pipelines.cli import main

pytestmark = pytest.mark.tensorflow

Work = Callable[[str], tf.Tensor]
WORK: dict[str, Work] = {
    "WriteFile": lambda path: [tf.io.write_file(path, "written"), tf.constant("")][1],
    "ReadFile": tf.io.read_file,
    "PyFunc": lambda path: tf.numpy_function(lambda: Path(path).write_text("written"), [], tf.int64),
}


class Foreign(tf.Module):
    """A model that does its work as soon as anybody asks it anything."""

    def __init__(self, work: Work, path: str) -> None:
        super().__init__()
        self._work, self._path = work, path

    @tf.function(input_signature=[])
    def answer(self) -> dict[str, tf.Tensor]:
        return {"answer": self._work(self._path)}


@pytest.fixture(params=WORK)
def foreign(request: pytest.FixtureRequest, index_directory: Path, tmp_path: Path) -> tuple[Path, str]:
    """A run whose model and index are foreign, and the operation of theirs."""
    root = shutil.copytree(index_directory.parent, tmp_path / "run")
    module = Foreign(WORK[request.param], str(tmp_path / "written"))
    function, of_index = module.answer.get_concrete_function(), read_manifest(root / "index").signatures
    for place, names in (("model/saved_model", SIGNATURES), ("index", of_index)):
        tf.saved_model.save(module, str(root / "foreign"), signatures=dict.fromkeys(names, function))
        shutil.copy(root / "foreign" / "saved_model.pb", root / place)
    record = json.loads((root / "model" / "model.json").read_text())
    (root / "model" / "model.json").write_text(json.dumps({**record, "digest": ""}))
    (root / "report.html").write_text("")
    return root, request.param


def _judge(root: Path, model: Path) -> None:
    """Writes a verdict on `model` that says to publish it, and lets the index be of it."""
    manifest = json.loads((root / "index" / "manifest.json").read_text())
    manifest["model"]["digest"] = digest = model_digest(model)
    (root / "index" / "manifest.json").write_text(json.dumps(manifest))
    facts = {"fingerprint": manifest["fingerprint"], "split": manifest["split"], "model_digest": digest}
    write_verdict(root / "evaluation", **facts)


def _published(root: Path, registry: Path) -> None:
    """Puts the run into a registry as if its publisher had not looked."""
    store = Registry(str(registry))
    provenance = Provenance(run_id="run", fingerprint="", settings={}, metrics={}, verdict=GateDecision())
    version = store.versions.add(provenance, {"model": root / "model", "index": root / "index"}).version
    store.champion_log.append(0, version, "published", "run")


DATA = "--interactions {run}/interactions --vocabulary {run}/vocabulary"
READERS = {
    "recommend": "recommend user2 --index {run}/index",
    "recommend from a registry": "recommend user2 --registry {run}/registry",
    "rate": "rate user2 m1 --index {run}/index",
    "batch": "batch --users all --index {run}/index --output {run}/all.parquet",
    "serve": "serve --index {run}/index --port 0",
    "evaluate an index": "evaluate --index {run}/index",
    "evaluate against an index": "evaluate --index {good}/index --against {run}/index",
    "evaluate": "evaluate --model {run}/model --output {run}/evaluation " + DATA,
    "evaluate with a champion": "evaluate --model {good}/model --champion {run}/model --output {run}/e "
    + DATA,
    "export": "export --model {run}/model --output {run}/new-index " + DATA,
    "prepare": "prepare --ratings {run}/report.html --registry {run}/registry --output {run}/champion",
    "publish": "publish --index {run}/index --model {run}/model --evaluation {run}/evaluation "
    "--report {run}/report.html --registry {run}/new-registry --output {run}/published",
    "publish an index": "publish --index {run}/index --model {good}/model --evaluation {run}/evaluation "
    "--report {run}/report.html --registry {run}/new-registry --output {run}/published",
}

# These read arrays of numbers and texts, and never the model.
OF_ARRAYS = {
    "history": "history user2 --index {run}/index",
    "similar": "similar m1 --index {run}/index",
}


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_refuses_it_in_one_line(
    reader: str,
    foreign: tuple[Path, str],
    index_directory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    root, operation = foreign
    good = shutil.copytree(index_directory.parent, tmp_path / "good")
    if reader.startswith("publish"):
        _judge(root, root / "model" if reader == "publish" else good / "model")
    if "registry" in READERS[reader]:
        _published(root, root / "registry")
    monkeypatch.setattr(sys, "argv", ["twotower", *READERS[reader].format(run=root, good=good).split()])
    with pytest.raises(SystemExit) as end:
        main()
    said = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("twotower: ")]
    assert end.value.code == 2
    assert len(said) == 1
    assert said[0].startswith("error: ")
    assert operation in said[0]
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("reader", OF_ARRAYS)
def test_what_arrays_answer_runs_no_model(
    reader: str, foreign: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = foreign
    monkeypatch.setattr(sys, "argv", ["twotower", *OF_ARRAYS[reader].format(run=root).split()])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert not (tmp_path / "written").exists()
