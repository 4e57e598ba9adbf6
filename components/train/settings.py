"""Settings of both presets, overrides by name, and the request to train."""

import dataclasses
import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from components.declaration import Choice, Range
from components.errors import UserError
from components.ingest.settings import IMPLICIT
from components.progress import log

TOP_K = "top-k"
FULL = "full"
IN_BATCH = "in-batch"

SAMPLED = "sampled"
REGRESSION = "regression"
NO_HEAD = "none"

# Earlier name of a setting -> its name. Every reader of settings goes through `current_names`: overrides,
# model.json, run records and manifests, and the comparison of two runs.
OLD_NAMES = {
    "members": "ensemble_size",
    "hidden": "hidden_units",
    "second_hidden": "second_hidden_units",
    "masked": "mask_rate",
    "divergence_weight": "kl_weight",
    "settling": "final_refit",
    "settling_rate": "final_refit_rate",
}


def current_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `settings` with earlier names replaced; where both are given, the present one counts."""
    return {
        OLD_NAMES.get(name, name): value
        for name, value in settings.items()
        if OLD_NAMES.get(name) not in settings
    }


def first_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `settings` with the earliest names, of which the key of a checkpoint is made."""
    earliest = {name: old for old, name in reversed(OLD_NAMES.items())}
    return {earliest.get(name, name): value for name, value in settings.items()}


class Setting(NamedTuple):
    """Declaration of a training setting, beside its name and type."""

    default: Any  # the value; 0 or "" where `by_size` says how the data decides
    limits: Range | Choice  # the values that are accepted
    meaning: str  # one or two sentences for docs/settings.md
    unit: str = ""  # of the value; "" for a plain number
    by_size: str = ""  # the values that the size of the data gives; "" where `default` is a value itself


def _setting(default: Any, limits: Range | Choice, meaning: str, **more: Any) -> Any:
    """Declares a field of a dataclass of settings; the arguments are those of `Setting`."""
    return dataclasses.field(default=default, metadata={"setting": Setting(default, limits, meaning, **more)})


@dataclass(frozen=True)
class Settings:
    """Settings of the preset `default`, the two-tower model. `resolve` decides those that are 0 or ""."""

    dimension: int = _setting(
        0,
        Range(1, 4096),
        "Width of a movie's vector.",
        by_size="128, or less for more than 250,000 rated movies",
    )
    ensemble_size: int = _setting(
        1, Range(1, 64), "Pairs of query and candidate tower that learn side by side and answer together."
    )
    hidden_units: int = _setting(256, Range(1, 65_536), "Width of the query tower's hidden layer.")
    dropout: float = _setting(
        0.0,
        Range(0.0, 0.99),
        "Share of the hidden layer that is dropped in training.",
        by_size="0.7; 0.5 with a softmax",
    )
    item_item_rank: int = _setting(
        0,
        Range(-1, 65_536),
        "Columns that the item-item path adds to a movie's vector, at most; -1 leaves the path out.",
        by_size="1024 up to 4,096 rated movies, fewer for more of them, -1 for more than 65,536; at most 256 "
        "for fewer than 20 ratings a user; also left out where it does not surely help on validation rows",
    )
    rating_head: str = _setting(
        "",
        Choice(SAMPLED, REGRESSION, NO_HEAD),
        "`sampled`: draws from the posterior of a matrix factorisation. `regression`: trained by gradient "
        "descent, with the towers. `none`: of feedback without stars, and only of that.",
        by_size="`sampled` for up to 3 million ratings, else `regression`; `none` without stars",
    )
    rating_weights: int = _setting(
        0,
        Range(2, 512),
        "Weights of a user in the rating head: the bias, and one for each feature of a movie.",
        by_size="32; `sampled`: as many as a user or movie has ratings on average, from 8 to 32",
    )
    sweeps: int = _setting(
        0,
        Range(2, 1_000_000),
        "Sweeps of the `sampled` rating head over all ratings; the final refit makes half as many more.",
        unit="sweeps",
        by_size="80 for up to a million ratings, 26 for 3 million",
    )
    draws: int = _setting(
        0,
        Range(1, 256),
        "Draws that the `sampled` rating head keeps; the prediction is their mean.",
        by_size="256 numbers for each movie: 8 with 32 weights, 32 with 8",
    )
    mask_rate: float = _setting(
        0.0,
        Range(0.01, 0.99),
        "Share of a user's ratings that is hidden in each step.",
        by_size="0.2 for a million ratings and more, up to 0.5 for fewer",
    )
    retrieval_l2: float = _setting(
        0.0,
        Range(0.0, 1e9),
        "Weight of the Gaussian prior of the movies' vectors; it is divided by the number of ratings.",
        unit="ratings",
        by_size="20 for a million ratings, about eight times as much for a tenth of them; with a softmax, "
        "which pulls a movie twice as hard at first, 40 and about four times as much",
    )
    kl_weight: float = _setting(
        0.0,
        Range(0.0, 1e6),
        "Weight of the KL divergence of the rating head's Gaussians from their priors; with 1 the loss is "
        "the evidence lower bound.",
        by_size="2 for a million ratings and more, 1 for a twelfth of them",
    )
    retrieval_weight: float = _setting(
        1.0, Range(0.0, 1e6), "Weight of the retrieval loss, a mean over ratings."
    )
    rating_weight: float = _setting(1.0, Range(0.0, 1e6), "Weight of the rating loss, a mean over ratings.")
    retrieval_loss: str = _setting(
        "",
        Choice(TOP_K, FULL, IN_BATCH),
        "`top-k`: how far movies are below the k best of the catalogue. `full`: softmax over the catalogue. "
        "`in-batch`: softmax over the hidden movies of the batch.",
        by_size="`top-k`; `in-batch` for more than 250,000 rated movies, or where the scores of a batch "
        "would take a quarter of the memory",
    )
    top_k: int = _setting(
        0,
        Range(1, 100_000_000),
        "The k of the loss `top-k`; at most the number of rated movies.",
        unit="movies",
        by_size="60, or a sixteenth of the rated movies if that is less",
    )
    temperature: float = _setting(
        2.0, Range(1e-6, 1e6), "Softens the threshold of the loss `top-k`.", unit="units of scores"
    )
    in_batch_pairs: int = _setting(
        4096, Range(2, 65_536), "Hidden movies of a batch in the loss `in-batch`, at most.", unit="ratings"
    )
    batch_users: int = _setting(
        0,
        Range(1, 65_536),
        "Users of a batch, at most.",
        unit="users",
        by_size="an eighth of the users, from 8 to 256; with `in-batch` those who have 32,768 ratings, up to "
        "4096",
    )
    batch_ratings: int = _setting(65_536, Range(32, 1 << 24), "Ratings of a batch, at most.", unit="ratings")
    learning_rate: float = _setting(
        0.0,
        Range(1e-9, 10.0),
        "Adam's learning rate at its peak: it climbs first, then falls to 0 as a cosine.",
        by_size="0.01 for a million ratings and more; for fewer it falls with the square root of their "
        "number, since their gradients are noisier",
    )
    tower_rate: float = _setting(
        0.0,
        Range(1e-9, 10.0),
        "Learning rate of the towers, as a share of `learning_rate`.",
        by_size="0.3 for a million ratings and more, up to 1 for fewer; with a softmax 1",
    )
    warmup_steps: int = _setting(
        100, Range(0, 1_000_000), "Steps in which the learning rate climbs.", unit="steps"
    )
    steps: int = _setting(
        0,
        Range(1, 100_000_000),
        "Steps of the training, at most.",
        unit="steps",
        by_size="2,000 for a million ratings and more, 400 for a twelfth of them",
    )
    validations: int = _setting(10, Range(1, 100_000), "Validations in the whole training.")
    validation_ratings: int = _setting(
        10_000,
        Range(1, 100_000_000),
        "Validation rows of each validation, half of all at most; the others are trained on.",
        unit="ratings",
    )
    # While the learning rate is high, the metrics go up and down, and most of what a training brings comes as
    # it falls.
    patience: int = _setting(
        5, Range(1, 1_000_000), "Validations in a row without a better score after which the training stops."
    )
    final_refit: float = _setting(
        0.1,
        Range(0.0, 10.0),
        "Length of the final refit on all known rows, as a share of the steps of the kept weights; 0 leaves "
        "it out. It is left out as well where the validation rows are less than 2% of the known ones.",
    )
    final_refit_rate: float = _setting(
        0.2, Range(1e-9, 10.0), "Learning rate where the final refit begins, as a share of `learning_rate`."
    )


@dataclass(frozen=True)
class NotebookSettings:
    """Settings of the preset `notebook`: the hyper-parameters of the notebook this project began as."""

    dimension: int = _setting(32, Range(1, 4096), "Width of a user's and of a movie's vector.")
    hidden_units: int = _setting(256, Range(1, 65_536), "Width of the rating network's first hidden layer.")
    second_hidden_units: int = _setting(128, Range(1, 65_536), "Width of its second hidden layer.")
    learning_rate: float = _setting(0.1, Range(1e-9, 10.0), "Adagrad's learning rate; it does not change.")
    batch_ratings: int = _setting(8192, Range(1, 1 << 24), "Ratings of a batch.", unit="ratings")
    epochs: int = _setting(3, Range(1, 100_000), "Passes over the training ratings.")
    validation_ratings: int = _setting(
        10_000, Range(1, 100_000_000), "Validation rows after each epoch.", unit="ratings"
    )
    retrieval_weight: float = _setting(
        1.0, Range(0.0, 1e6), "Weight of the retrieval loss, a sum over the batch."
    )
    rating_weight: float = _setting(1.0, Range(0.0, 1e6), "Weight of the rating loss, a mean over ratings.")


# Values of --warm-start.
AUTO, NEVER = "auto", "never"

DEFAULT = "default"
# The preset that trains in one process on one device: it is there for comparison.
NOTEBOOK = "notebook"

PRESETS: dict[str, Settings | NotebookSettings] = {DEFAULT: Settings(), NOTEBOOK: NotebookSettings()}

S = TypeVar("S", bound=Settings | NotebookSettings)


def declarations(settings: Settings | NotebookSettings) -> Iterator[tuple[str, type, Setting]]:
    """Yields name, type and declaration of each setting, in order."""
    for field in dataclasses.fields(settings):
        yield field.name, field.type, field.metadata["setting"]  # type: ignore[misc]


def override(settings: S, values: Mapping[str, Any]) -> S:
    """Returns `settings` with the fields named in `values` replaced; earlier names are accepted.

    JSON makes 24 into 24.0 on its way through a pipeline; whole numbers become integers again. Raises
    `UserError` if a name is unknown, or a value is not of the setting's type or out of its range.
    """
    for name in OLD_NAMES.keys() & values.keys():
        log(f"--train-settings: {name} is now called {OLD_NAMES[name]}")
    known = {name: (kind, setting) for name, kind, setting in declarations(settings)}
    converted = {}
    for name, value in current_names(values).items():
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise UserError(f"--train-settings: there is no setting {name!r}; did you mean {nearest!r}?")
        converted[name] = _convert(name, value, *known[name])
    return dataclasses.replace(settings, **converted)


def _convert(name: str, value: Any, kind: type, setting: Setting) -> Any:
    """Returns `value` as the type `kind`. Raises `UserError` if it cannot be one, or is out of range."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    right = {int: number and value == int(value), float: number, str: isinstance(value, str)}[kind]
    if not right:
        expected = {int: "a whole number", float: "a number", str: setting.limits}[kind]
        raise UserError(f"--train-settings: {name} is {value!r}; give {expected}")
    by_size = setting.by_size and value == setting.default
    if not by_size and value not in setting.limits:
        raise UserError(f"--train-settings: {name} is {value!r}; give {setting.limits}")
    return kind(value)


@dataclass(frozen=True)
class TrainRequest:
    """The inputs of the step `train` that decide how to train; see there."""

    preset: str
    train_settings: dict[str, Any]
    rating_weight: float
    retrieval_weight: float
    seed: int
    checkpoint_root: str
    warm_start: str = AUTO
    registry: str = ""
    champion_version: str = ""
    cold_start: str = ""
    time_budget: float = 0.0

    def overrides(self) -> dict[str, Any]:
        """Returns the overrides of the preset's settings, by name."""
        weights = {"rating_weight": self.rating_weight, "retrieval_weight": self.retrieval_weight}
        return {**self.train_settings, **{name: weight for name, weight in weights.items() if weight}}


# Seconds that a training takes, on a fast machine, for all but its steps.
_LEAST_BUDGET = 5

# Environment variable of the step `train` with the `resources` of each worker's container, as JSON in the
# terms of Kubernetes: {"requests": {"cpu": "2", "memory": "4Gi"}, "limits": {"memory": "4Gi"}}.
# Without it a worker asks for what the step's own pod asks for.
WORKER_RESOURCES = "TWOTOWER_WORKER_RESOURCES"


def check_feedback(feedback: str, preset: str, rating_head: str) -> None:
    """Raises `UserError` if `preset`, with that rating head ("" for the usual one), cannot learn from it."""
    implicit = feedback == IMPLICIT
    if implicit and preset == NOTEBOOK:
        raise UserError(f"--preset {NOTEBOOK} learns from stars, which --feedback implicit has none of")
    if rating_head and implicit != (rating_head == NO_HEAD):
        of = "there are no stars to learn from" if implicit else "it is for --feedback implicit"
        raise UserError(f"--train-settings: rating_head is {rating_head!r}, and {of}; leave it out")


def check_workers(workers: int, preset: str) -> None:
    """Raises `UserError` if `preset` cannot be trained by so many workers."""
    if workers > 1 and preset == NOTEBOOK:
        raise UserError(
            f"--workers {workers}: the preset {NOTEBOOK} trains in one process; leave out one of the two"
        )


def check_time_budget(time_budget: float, preset: str) -> None:
    """Raises `UserError` if no training with `preset` can keep to so many seconds; 0 is no budget."""
    if time_budget and preset == NOTEBOOK:
        raise UserError(
            f"--time-budget {time_budget:g}: the preset {NOTEBOOK} trains its number of epochs; leave "
            "out one of the two"
        )
    if 0 < time_budget < _LEAST_BUDGET:
        raise UserError(
            f"--time-budget {time_budget:g} is too short to start and to write a model; give at least "
            f"{_LEAST_BUDGET} seconds, or 0 for no budget"
        )


def check_shared_place(workers: int, checkpoint_root: str) -> None:
    """Raises `UserError` if several workers have no place to exchange files."""
    if workers > 1 and not checkpoint_root:
        raise UserError(
            f"--workers {workers} needs --checkpoint-root, a place that all pods share: a gs:// or s3:// "
            "prefix, or a directory on a mounted volume (ReadWriteOnce where one node holds all pods)"
        )
