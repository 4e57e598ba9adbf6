"""What a version holds and where it comes from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from components.storage import StoredFile
from components.storage.storage import in_order


@dataclass(frozen=True)
class Provenance:
    """Where a version comes from.

    Attributes:
      run_id: the pipeline run that made it.
      fingerprint: identifies the input files.
      settings: of the training.
      metrics: the model's on the test rows, by name; None where the figure is not finite.
      verdict: the gate's: "blessed", "gate" and "reason".
    """

    run_id: str
    fingerprint: str
    settings: dict[str, Any]
    metrics: dict[str, float | None]
    verdict: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Manifest(Provenance):
    """A version's `manifest.json`.

    Attributes:
      version: its id.
      created: when, in ISO 8601.
      files: path within the version -> {"size": bytes, "crc32c": base64}.
    """

    version: str
    created: str
    files: dict[str, dict[str, Any]] = field(repr=False)

    def part(self, directory: str, last: Sequence[str] = ()) -> dict[str, StoredFile]:
        """The files in `directory` ("" for all) by their path from there, those named in `last` last."""
        prefix = f"{directory}/" if directory else ""
        names = (name.removeprefix(prefix) for name in self.files if name.startswith(prefix))
        return {name: StoredFile(**self.files[f"{prefix}{name}"]) for name in in_order(names, last)}
