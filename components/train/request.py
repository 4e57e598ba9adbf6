"""What is asked of a training, apart from its data."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from components.errors import UserError

# The preset that trains in one process on one device: it is there for comparison.
NOTEBOOK = "notebook"


@dataclass(frozen=True)
class Request:
    """The arguments of the step `train` that say how to train; see there."""

    preset: str
    train_settings: dict[str, Any]
    rating_weight: float
    retrieval_weight: float
    seed: int
    checkpoint_root: str

    def overrides(self) -> dict[str, Any]:
        """Overrides of the preset's settings, by name."""
        weights = {"rating_weight": self.rating_weight, "retrieval_weight": self.retrieval_weight}
        return {**self.train_settings, **{name: weight for name, weight in weights.items() if weight}}

    def as_json(self) -> dict[str, Any]:
        """What `Request(**…)` makes the same request of."""
        return dataclasses.asdict(self)


def check_workers(workers: int, preset: str) -> None:
    """Raises `UserError` if `preset` cannot be trained by so many."""
    if workers < 1:
        raise UserError(f"--workers {workers}: give 1, or the number of pods that train together")
    if workers > 1 and preset == NOTEBOOK:
        raise UserError(
            f"--workers {workers}: the preset {NOTEBOOK} trains in one process; leave out one of the two"
        )


def check_shared_place(workers: int, checkpoint_root: str) -> None:
    """Raises `UserError` if several workers have no place to exchange files."""
    if workers > 1 and not checkpoint_root:
        raise UserError(
            f"--workers {workers} needs --checkpoint-root, a place that all pods share: a gs:// prefix, or a "
            "directory on a mounted volume with the access mode ReadWriteMany"
        )
