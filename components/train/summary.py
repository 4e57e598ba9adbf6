"""What a training came to, as the step returns it and model.json keeps it."""

import json
from pathlib import Path
from typing import NamedTuple

MODEL_FILE = "model.json"


class TrainSummary(NamedTuple):
    """What was trained.

    Attributes:
      steps: training steps in all.
      seconds: spent in them.
      validation_rmse: in stars, of the weights that were chosen; None without validation rows.
      validation_top_100_accuracy_unseen: 0 to 1, likewise.
    """

    steps: int
    seconds: float
    validation_rmse: float | None
    validation_top_100_accuracy_unseen: float | None

    @classmethod
    def of_model(cls, directory: Path) -> "TrainSummary":
        """What the Model in `directory` says of its training."""
        record = json.loads((directory / MODEL_FILE).read_text(encoding="utf-8"))
        return cls(**{name: record[name] for name in cls._fields})
