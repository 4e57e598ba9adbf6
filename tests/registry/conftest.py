"""Small versions to keep."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.registry.registry import Registry
from components.registry.versions import GateDecision, Manifest, Provenance

AddVersion = Callable[..., Manifest]


@pytest.fixture
def add_version(tmp_path: Path) -> AddVersion:
    """A function that adds the version of a run to a registry; its index says which run it is of."""

    def add(registry: Registry, run_id: str, **provenance: Any) -> Manifest:
        source = tmp_path / "artifacts" / run_id
        for name, content in {
            "model/saved_model/saved_model.pb": "the towers",
            "model/model.json": "{}",
            "model/weights.npz": "numbers",
            "index/saved_model.pb": f"the index of {run_id}",
            "index/variables/variables.index": "numbers",
            "index/manifest.json": "{}",
            "report.html": "<p>good",
        }.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(content)
        sources = {name: source / name for name in ("model", "index", "report.html")}
        facts = {
            "fingerprint": "f",
            "settings": {"preset": "default", "embedding_dimension": 32},
            "metrics": {"rmse": 0.9, "top_100_accuracy_unseen": None},
            "verdict": GateDecision(blessed=True, gate="enforce", reason="all rules pass"),
        }
        return registry.versions.add(Provenance(run_id=run_id, **{**facts, **provenance}), sources)

    return add


@pytest.fixture
def promote(add_version: AddVersion) -> AddVersion:
    """A function that adds the version of a run and makes it the champion, served and all."""

    def add(registry: Registry, run_id: str, **provenance: Any) -> Manifest:
        manifest = add_version(registry, run_id, **provenance)
        latest = registry.champion_log.latest()
        sequence = latest.sequence if latest else 0
        entry = registry.champion_log.append(sequence, manifest.version, "published", run_id)
        registry.serving.complete(entry)
        return manifest

    return add
