"""The champion as `evaluate` is given it: an artifact of the step `champion`, or any Model directory."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from components.errors import UserError

_CHAMPION_FILE = "champion.json"
_MODEL_FILE = "model.json"
_MODEL = "model"
SAVED_MODEL = "saved_model"


@dataclass(frozen=True)
class Champion:
    """The model that is served now.

    Attributes:
      version: its id; "" if there is none.
      sequence: its place in the champion log; 0 if there is none, or it does not come from a registry.
      model: its Model directory; None if there is none.
    """

    version: str
    sequence: int
    model: Path | None

    @classmethod
    def load(cls, path: str) -> Self:
        """Reads what lies at `path`; "" stands for no champion.

        Raises:
          UserError: if it is neither an artifact of the step `champion` nor a Model.
        """
        if not path:
            return cls("", 0, None)
        directory = Path(path)
        if (directory / SAVED_MODEL).is_dir():
            return cls(directory.name, 0, directory)
        record = read_json(directory / _CHAMPION_FILE)
        if not isinstance(record, dict):
            raise UserError(
                f"--champion {path} holds neither {_CHAMPION_FILE} nor {SAVED_MODEL}/; "
                "name what `twotower champion` wrote, or a Model"
            )
        if not record.get("exists"):
            return cls("", 0, None)
        return cls(str(record.get("version", "")), int(record.get("sequence", 0)), directory / _MODEL)

    def as_json(self) -> dict[str, Any]:
        """Its entry in the verdict."""
        return {"exists": self.model is not None, "version": self.version, "sequence": self.sequence}


def split_of(model: Path) -> dict[str, Any] | None:
    """How the data of a model were split; None if it does not say."""
    record = read_json(model / _MODEL_FILE)
    split = record.get("split") if isinstance(record, dict) else None
    return split if isinstance(split, dict) else None


def read_json(file: Path) -> Any:
    """What a JSON file holds; None if it cannot be read."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
