"""manifest.json: what an index holds, for people and for whoever loads it."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import UserError

if TYPE_CHECKING:
    from components.export.inputs import Inputs
    from components.export.search import Chosen
    from components.export.validation import Validation

MANIFEST_FILE = "manifest.json"
FORMAT = 1


def signature_table(signatures: dict[str, Any]) -> dict[str, Any]:
    """Inputs and outputs of each signature: {"recommend": {"inputs": {"user_id": "string[n]", …}, …}}."""
    table = {}
    for name, function in signatures.items():
        inputs = function.structured_input_signature[1]
        # A function not yet saved lists its arguments by position, a loaded one by name.
        specs = inputs or {spec.name: spec for spec in function.structured_input_signature[0]}
        outputs = function.structured_outputs
        table[name] = {
            "inputs": {key: _described(specs[key]) for key in sorted(specs)},
            "outputs": {key: _described(outputs[key]) for key in sorted(outputs)},
        }
    return table


def _described(spec: Any) -> str:
    sizes = ["?" if size is None else str(size) for size in spec.shape]
    return f"{spec.dtype.name}[{', '.join(sizes)}]"


def describe(
    inputs: "Inputs", search: "Chosen", signatures: dict[str, Any], validation: "Validation", size: int
) -> dict[str, Any]:
    """The manifest of an index of `size` bytes; `signatures` is its `signature_table`."""
    rows = inputs.interactions
    return {
        "format": FORMAT,
        **search.record(),
        "movies": rows.movies,
        "users": rows.users,
        "training_users": rows.training_users,
        "ratings": {"known": len(inputs.known.movies), "held_out": len(inputs.held_out.movies)},
        "rating_scale": list(rows.rating_scale),
        "dimension": int(inputs.scoring.vectors.shape[1]),
        "bytes": size,
        "fingerprint": rows.fingerprint,
        "split": rows.split_settings,
        "model": inputs.settings,
        "validation": dataclasses.asdict(validation),
        "signatures": signatures,
    }


def read_manifest(index: str | Path) -> dict[str, Any]:
    """The manifest of the index at `index`.

    Raises:
      UserError: if there is no index, or one of a format that this version cannot read.
    """
    directory = Path(index)
    if not directory.is_dir():
        raise UserError(f"there is no index at {directory}; export one with `twotower export`")
    try:
        manifest: dict[str, Any] = json.loads((directory / MANIFEST_FILE).read_text(encoding="utf-8"))
        found = manifest["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{directory} is not an index: it has no readable {MANIFEST_FILE}; "
            "name a directory written by `twotower export`"
        ) from error
    if found != FORMAT:
        raise UserError(
            f"{directory} has the index format {found}; this version reads {FORMAT}, export it anew"
        )
    return manifest


def size_of(directory: Path) -> int:
    """Bytes of all files below `directory`."""
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
