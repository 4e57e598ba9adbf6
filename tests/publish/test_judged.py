"""Only what was judged is published: of real models and indexes, which are loaded."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from evaluation_world import SPLIT, EvaluationWorld, evaluation_world

from components.errors import UserError
from components.evaluate.step import evaluate
from components.export.answers import ANSWERS_FILE
from components.export.step import export
from components.publish.step import publish
from components.registry.registry import Registry

pytestmark = pytest.mark.tensorflow

World = EvaluationWorld


@pytest.fixture(autouse=True)
def _taken_for_loadable() -> None:
    """Not here."""


@pytest.fixture(scope="module")
def world() -> World:
    return evaluation_world()


def write_run(world: World, root: Path, **model: Any) -> Path:
    world.write_data(root)
    world.write_model(root / "model", **model)
    given: Any = {name: str(root / name) for name in ("model", "interactions", "vocabulary")}
    evaluate(**given, output=str(root / "evaluation"))
    export(**given, output=str(root / "index"), max_latency_ms=1e6)
    (root / "report.html").write_text("<p>the report")
    return root


@pytest.fixture(scope="module")
def run(world: World, made_once: Callable[..., Path]) -> Path:
    """The artifacts of a run; nothing may be written to them."""
    return made_once("judged-run", lambda root: write_run(world, root))


@pytest.fixture(scope="module")
def other(world: World, made_once: Callable[..., Path]) -> Path:
    """Those of another model on the same data."""
    return made_once("judged-other", lambda root: write_run(world, root, stars=world.stars - 0.1))


def published(tmp_path: Path, run: Path, **artifacts: Any) -> Any:
    given: Any = {name: str(run / name) for name in ("index", "model", "evaluation")} | artifacts
    outside: Any = {"registry": str(tmp_path / "registry"), "output": str(tmp_path / "output")}
    return publish(**given, **outside, report=str(run / "report.html"), run_id="run-1")


def refusal(tmp_path: Path, run: Path, **artifacts: Any) -> str:
    with pytest.raises(UserError) as refused:
        published(tmp_path, run, **artifacts)
    assert not (tmp_path / "registry").exists()
    return str(refused.value)


def edited(directory: Path, tmp_path: Path, file: str, change: Callable[[Any], object]) -> str:
    """A copy of an artifact with a JSON file changed."""
    copy = shutil.copytree(directory, tmp_path / directory.name)
    document = json.loads((copy / file).read_text())
    change(document)
    (copy / file).write_text(json.dumps(document))
    return str(copy)


def test_what_was_judged_and_answers_is_published(tmp_path: Path, run: Path) -> None:
    assert published(tmp_path, run).outcome == "published"
    Registry(str(tmp_path / "registry")).versions.check(published(tmp_path, run).version)


def test_another_model_is_refused(tmp_path: Path, run: Path, other: Path) -> None:
    said = refusal(tmp_path, run, model=str(other / "model"), index=str(other / "index"))
    assert f"the verdict in {run}/evaluation is on another model than {other}/model" in said


def test_the_index_of_another_model_is_refused_even_if_forced(tmp_path: Path, run: Path, other: Path) -> None:
    """To overrule a verdict is one thing; nobody wants to mix up two runs."""
    said = refusal(tmp_path, run, index=str(other / "index"), force=True, reason="now")
    assert f"{other}/index was exported from another model than {run}/model" in said


def test_a_model_whose_files_changed_is_refused(tmp_path: Path, run: Path) -> None:
    copy = shutil.copytree(run / "model", tmp_path / "model")
    (copy / "saved_model" / "more").write_text("")
    assert "is damaged: the files in saved_model/" in refusal(tmp_path, run, model=str(copy))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fingerprint", "of other data"),
        ("split", {**SPLIT, "seed": 7}),
    ],
)
def test_the_index_of_other_data_is_refused(tmp_path: Path, run: Path, field: str, value: Any) -> None:
    index = edited(run / "index", tmp_path, "manifest.json", lambda manifest: manifest.update({field: value}))
    said = refusal(tmp_path, run, index=index)
    assert f"{index} has the ratings of other data than the verdict in {run}/evaluation ({field})" in said


def test_artifacts_of_earlier_releases_are_judged_again(tmp_path: Path, run: Path) -> None:
    evaluation = edited(run / "evaluation", tmp_path, "verdict.json", lambda old: old.pop("model_digest"))
    said = refusal(tmp_path, run, evaluation=evaluation)
    assert f"evaluate again with `twotower evaluate --model {run}/model`" in said
    index = edited(run / "index", tmp_path, "manifest.json", lambda manifest: manifest["model"].pop("digest"))
    assert "export it again with `twotower export`" in refusal(tmp_path, run, index=index)
    (Path(index) / ANSWERS_FILE).unlink()
    shutil.copy(run / "index" / "manifest.json", index)
    assert "answers.json" in refusal(tmp_path, run, index=index)


def test_an_index_whose_answers_are_not_those_of_export_is_refused(tmp_path: Path, run: Path) -> None:
    """A byte of the ratings, of which TensorFlow keeps a checksum, or a file of another index."""
    copy = shutil.copytree(run / "index", tmp_path / "index")
    data = next((copy / "variables").glob("variables.data*"))
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    said = refusal(tmp_path, run, index=str(copy))
    assert "the index does not load in a fresh process" in said or "does not answer as it did" in said


def test_an_index_is_compared_with_what_export_recorded(tmp_path: Path, run: Path) -> None:
    def worsen(recorded: Any) -> None:
        recorded["answers"][0]["rating"][0][0] += 0.01

    index = edited(run / "index", tmp_path, ANSWERS_FILE, worsen)
    assert f"{index} does not answer as it did when it was exported (recommend: rating)" in refusal(
        tmp_path, run, index=index
    )
