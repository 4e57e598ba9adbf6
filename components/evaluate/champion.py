"""The champion as `evaluate` is given it: an artifact of the step `champion`, or any Model directory."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from components.errors import UserError
from components.evaluate.data_checks import DataChange, Overlap
from components.evaluate.held_out import HeldOut
from components.evaluate.names import UNREAD_BY_CHAMPION
from components.evaluate.rules import split_mismatch
from components.evaluate.slices import Slice
from components.vocabulary.data_summary import DataSummary
from components.vocabulary.vocabulary import Vocabulary

_CHAMPION_FILE = "champion.json"
_MODEL_FILE = "model.json"
_MODEL = "model"
SAVED_MODEL = "saved_model"
# If none of so many test rows are among the champion's training rows, hardly any of the others are.
_ENOUGH_TOLD = 1000


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


@dataclass(frozen=True)
class Comparison:
    """Whether, and on which rows, the champion can be compared with.

    Attributes:
      absence: why there is no comparison; "" if there is one.
      overlap: of the test rows with the champion's training rows; None if it does not say what these were.
      data: how the data differ from those that the champion was trained on; None if it does not say.
      no_data: why that is not known.
    """

    absence: str = ""
    overlap: Overlap | None = None
    data: DataChange | None = None
    no_data: str = ""

    @property
    def part(self) -> Slice | None:
        """The rows on which alone to compare, if the champion was trained on others of them."""
        if self.overlap is None or self.overlap.trained == 0:
            return None
        return Slice(UNREAD_BY_CHAMPION, self.overlap.unread)


def comparison(
    champion: Champion, held_out: HeldOut, names: Vocabulary, split: dict[str, Any], ignored: bool
) -> Comparison:
    """Finds out how the champion can be compared with on `held_out`.

    A champion that says which rows it was trained on is compared on those that it was not; one that does
    not say, only if its data were split as those at hand.

    Args:
      names: users and movies of the data at hand.
      split: how the data at hand were split.
      ignored: whether the champion is to be left out.
    """
    if champion.model is None:
        return Comparison("There is no champion yet.")
    if ignored:
        return Comparison("The champion was left out, as asked.")
    theirs = DataSummary.load(champion.model)
    mismatch = split_mismatch(split_of(champion.model), split)
    if theirs is None:
        return Comparison(mismatch, no_data="The champion does not say what its data were like.")
    overlap = Overlap.of(theirs, held_out)
    here = DataSummary.of(held_out.known, names.user_ids, names.movie_ids, held_out.rating_scale)
    data = DataChange.between(theirs, here, held_out.rating_scale)
    enough = overlap.trained > 0 or overlap.told >= _ENOUGH_TOLD
    return Comparison("" if enough else mismatch, overlap, data)


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
