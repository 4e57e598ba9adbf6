"""Settings of the preset `default`, overrides by name, and the request and the summary of a training."""

import dataclasses
import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from components.errors import UserError

TOP_K = "top-k"
FULL = "full"
IN_BATCH = "in-batch"


@dataclass(frozen=True)
class Settings:
    """How the two-tower model is built and trained. 0 and "" leave it to the size of the data (`sized`)."""

    # Width of a movie's vector; 128, or less for a catalogue of more than 250,000 rated movies.
    dimension: int = 0
    # Pairs of query and candidate tower that learn side by side and answer together; 4 for fewer than 250,000
    # ratings, 2 for fewer than 2.5 million, else 1.
    members: int = 0
    # Width of the query tower's hidden layer, and the share of it that is dropped in training: 0.7, with a
    # softmax 0.5.
    hidden: int = 256
    dropout: float = 0.0
    # Weights of a user in the rating head: one is the user's bias, the others meet a movie's features.
    rating_weights: int = 32
    # Share of a user's ratings that is hidden in each step; the fewer ratings, the more: 0.2 to 0.5.
    masked: float = 0.0
    # Weight of the Gaussian prior of the movies' vectors, as ratings' worth (it is divided by their number):
    # 20 for a million ratings, about eight times as much for a tenth of them. A softmax, which pulls a movie
    # twice as hard at first, takes 40 and about four times as much.
    retrieval_l2: float = 0.0
    # The divergence of the rating head's Gaussians from their priors, times this, is part of the loss. 1
    # makes it the evidence bound; a million ratings want 2.
    divergence_weight: float = 0.0
    # Weights of the two losses, each a mean over ratings.
    retrieval_weight: float = 1.0
    rating_weight: float = 1.0
    # "top-k": how far movies are below the k best of the catalogue; "full": softmax over it; "in-batch": over
    # at most so many hidden movies of the batch, for more than 250,000 rated movies, or where the scores of a
    # batch would take a quarter of the memory.
    retrieval_loss: str = ""
    # 60, or a sixteenth of the rated movies if that is less; and the temperature that softens the k-th place.
    top_k: int = 0
    temperature: float = 2.0
    in_batch_pairs: int = 4096
    # A batch has at most so many users (an eighth of them, from 8 to 256; with the in-batch softmax those who
    # have 32,768 ratings, up to 4096 users), and at most so many ratings.
    batch_users: int = 0
    batch_ratings: int = 65_536
    # Adam's learning rate climbs for the first steps and then falls to 0 as a cosine. 0.01 for a million
    # ratings and more; it falls with the square root of their number, since their gradients are noisier. The
    # towers take this share of it: 0.3 for a million ratings, up to 1 for fewer; with a softmax always 1.
    learning_rate: float = 0.0
    tower_rate: float = 0.0
    warmup_steps: int = 100
    steps: int = 2000
    # Validations in the whole training, and how many validation rows each looks at (half of them at most);
    # the others are trained on.
    validations: int = 20
    validation_ratings: int = 10_000
    # The training stops after so many validations in a row that brought nothing. Half of them: while the
    # learning rate is high, the metrics go up and down, and most of what a training brings comes as it falls.
    patience: int = 10
    # Where those rows are many of all, it goes on afterwards with all known rows, for this share of the steps
    # that the kept weights took, from this share of the learning rate down to 0.
    settling: float = 0.1
    settling_rate: float = 0.2


S = TypeVar("S")


def override(settings: S, values: Mapping[str, Any]) -> S:
    """`settings`, a dataclass, with the fields named in `values` replaced.

    JSON makes 24 into 24.0 on its way through a pipeline; whole numbers become integers again.

    Raises:
      UserError: if a name is unknown, or a value is not of the field's type.
    """
    fields = {field.name: field for field in dataclasses.fields(settings)}  # type: ignore[arg-type]
    converted = {}
    for name, value in values.items():
        if name not in fields:
            nearest = difflib.get_close_matches(name, fields, n=1, cutoff=0.0)[0]
            raise UserError(f"--train-settings: there is no setting {name!r}; did you mean {nearest!r}?")
        converted[name] = _as_type_of(name, value, getattr(settings, name))
    return dataclasses.replace(settings, **converted)  # type: ignore[type-var]


def _as_type_of(name: str, value: Any, default: Any) -> Any:
    kind = type(default)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int and number and math.isfinite(value) and value == int(value):
        return int(value)
    if kind is float and number and math.isfinite(value):
        return float(value)
    if kind is str and isinstance(value, str):
        return value
    expected = {int: "a whole number", float: "a number", str: "a text"}[kind]
    raise UserError(f"--train-settings: {name} is {value!r}; give {expected}, such as {default!r}")


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
