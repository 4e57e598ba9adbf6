"""manifest.json: the contents of an index, and the inputs it was made from."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from components.errors import UserError
from components.train.scoring import ScoringModel
from components.vocabulary.interactions import Interactions, UserRatings
from components.vocabulary.vocabulary import Vocabulary

if TYPE_CHECKING:
    from components.export.search import Chosen
    from components.export.validation import Validation


@dataclass(frozen=True)
class Inputs:
    """Model, Vocabulary and Interactions of one run.

    Attributes:
      model: the Model directory; `scoring` is its SavedModel, `settings` the part of its record that an index
        repeats.
      names: users and movies.
      interactions: the ratings; `known` are those that the model may read, `held_out` the test split's.
    """

    model: Path
    scoring: ScoringModel
    settings: dict[str, Any]
    names: Vocabulary
    interactions: Interactions
    known: UserRatings
    held_out: UserRatings

    @classmethod
    def load(cls, model: str, vocabulary: str, interactions: str) -> Self:
        """Reads the three directories.

        Raises:
          UserError: if one is not whole, or they do not speak of the same users and movies.
        """
        settings = _settings(Path(model))
        names, rows = Vocabulary.load(vocabulary), Interactions.load(interactions)
        if (len(names.user_ids), len(names.movie_ids)) != (rows.users, rows.movies):
            raise UserError(
                f"{interactions} was not made with {vocabulary}; take both from one `twotower vocabulary`"
            )
        scoring = ScoringModel.load(model)
        if not np.array_equal(scoring.movie_ids, names.movie_ids):
            raise UserError(
                f"{model} was trained on another catalogue than {vocabulary}; name its own run's vocabulary"
            )
        return cls(Path(model), scoring, settings, names, rows, rows.known(), rows.split("test"))


def _settings(model: Path) -> dict[str, Any]:
    try:
        record = json.loads((model / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{model} has no readable model.json; make the model anew with `twotower train`"
        ) from error
    return {key: record[key] for key in ("preset", "settings", "fingerprint") if key in record}


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
