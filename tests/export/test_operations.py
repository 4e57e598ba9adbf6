"""A model may hold the operations that this project writes, in whatever release, and no others."""

import tarfile
from pathlib import Path
from typing import Any

import pytest
from training_world import QUICK, two_genres

from components import saved_models
from components.export import histories
from components.export.inputs import Inputs
from components.export.serving import assemble, choose_search, save
from components.saved_models import ALLOWED, check_operations
from components.train.step import train

pytestmark = pytest.mark.tensorflow

SHORT = {**QUICK, "steps": 2, "validations": 1, "warmup_steps": 1, "sweeps": 4, "draws": 2}
# Every kind of model: its preset and settings.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "sampled": ("default", {**SHORT, "rating_head": "sampled", "item_item_rank": 8, "ensemble_size": 2}),
    "regression": ("default", {**SHORT, "rating_head": "regression", "item_item_rank": -1}),
    "notebook": ("notebook", {"epochs": 1}),
}
# Every kind of index: its model and search, whether movies came after training, and whether the encodings of
# all users are stored.
INDEXES = {
    "sampled": ("sampled", "brute-force", False, True),
    "scann": ("sampled", "scann", False, True),
    "new-movies": ("sampled", "brute-force", True, True),
    "many-users": ("sampled", "brute-force", False, False),
    "regression": ("regression", "brute-force", False, True),
    "notebook": ("notebook", "brute-force", False, True),
}
OLD = Path(__file__).parents[1] / "old_artifacts" / "artifacts.tar.xz"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The directories of SavedModels of every kind, of this release and of an earlier one."""
    pytest.importorskip("scann")
    root = tmp_path_factory.mktemp("written")
    # As many movies as ScaNN wants; the last one has no rating, and so is placed by its features.
    world = two_genres(users=60, movies=1_101).write(root)
    places: Any = {"interactions": str(world.interactions), "vocabulary": str(world.vocabulary)}
    (root / "new.csv").write_text("movieId,title,genres\nnew,Movie A (2000),Even\n")
    for name, (preset, settings) in MODELS.items():
        train(**places, output=str(root / "models" / name), preset=preset, train_settings=settings)
    for name, (model, kind, new, stored) in INDEXES.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(histories, "_MAX_STORED_NUMBERS", stored * histories._MAX_STORED_NUMBERS)
            movies = str(root / "new.csv") if new else ""
            inputs = Inputs.load(model=str(root / "models" / model), movies=movies, **places)
            index = root / "indexes" / name
            save(assemble(inputs, choose_search(inputs, kind)), index, [])
    with tarfile.open(OLD) as archive:
        archive.extractall(root / "old", filter="data")
    return sorted(file.parent for file in root.rglob("saved_model.pb"))


def test_what_any_release_writes_is_allowed(written: list[Path]) -> None:
    assert len(written) > len(MODELS) + len(INDEXES) + 10
    for directory in written:
        check_operations(directory)


def test_nothing_else_is_allowed(written: list[Path]) -> None:
    """An operation that is no longer written anywhere has no place in the list."""
    found = set()
    for directory in written:
        for graph in saved_models._read(directory / "saved_model.pb").meta_graphs:
            functions = (function.node_def for function in graph.graph_def.library.function)
            found |= {node.op for nodes in (graph.graph_def.node, *functions) for node in nodes}
    assert found == ALLOWED | saved_models._SAVING
