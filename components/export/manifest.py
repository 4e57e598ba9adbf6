"""manifest.json of an index: its typed content and its reader, and the kinds of search of an index."""

import importlib
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import msgspec

from components.documents import Document, read_document
from components.errors import UserError
from components.ingest.dataset import SplitSettings
from components.ingest.settings import STARS, Feedback
from components.saved_models import check_operations
from components.train.settings import current_names
from components.vocabulary.conditions import Rules

MANIFEST_FILE = "manifest.json"

# The kinds of search that can be asked for; AUTO takes one of the others.
BRUTE_FORCE, SCANN, AUTO = "brute-force", "scann", "auto"
KINDS = (BRUTE_FORCE, SCANN, AUTO)

# The most recommended movies of a request for reasons.
MOST_EXPLAINED = 100


# The score of excluded movies and of padding: the least float32. Finite, since JSON has no infinity.
LOWEST_SCORE = -3.4028234663852886e38

# `k` of the signature whose only input is the users.
DEFAULT_K = 100
# The two values of the input `ratings`, and of the input `order`.
ALL, TRAIN = "all", "train"
BY_SCORE, BY_RATING = "score", "rating"


# The places of the users' ratings: the SavedModel, the arrays beside it, or no place in the index.
Place = Literal["inside", "beside", "none"]
INSIDE: Place = "inside"
BESIDE: Place = "beside"
NONE: Place = "none"
HISTORIES = (INSIDE, BESIDE, NONE)


class RatingCounts(Document):
    """Ratings that an index holds: those of training and validation, and those of the test split."""

    known: int
    held_out: int


class SearchMeasurement(Document, omit_defaults=True):
    """Recall, and median latencies of one query, of both kinds of search; empty if nothing was measured."""

    queries: int = 0
    recall_at_100: float = 0.0  # share of the best 100 movies that ScaNN finds
    leaves: int = 0  # parts into which ScaNN divides the movies
    leaves_searched_share: float = 0.0  # share of the leaves that each query searches
    reordered: int = 0  # candidates that are scored exactly for each requested movie; 0 in earlier manifests
    brute_force_p50_ms: float = 0.0
    scann_p50_ms: float = 0.0


NOT_MEASURED = SearchMeasurement()


class SourceModel(Document, omit_defaults=True):
    """The part of a model's record that the index repeats."""

    preset: str = ""
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    fingerprint: str = ""
    digest: str = ""  # of the model's SavedModel; "" in the manifests of earlier versions

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "settings", current_names(self.settings))


class IndexValidation(Document):
    """Result of the comparison of an index with its model, in a fresh process."""

    users: int  # that the index was asked about
    answers: int  # figures that were compared
    largest_difference: float  # between the figures of the index and those of the model
    load_seconds: float
    recommend_p50_ms: float  # latency of `serving_default` for one user
    recommend_p99_ms: float


class Signature(Document):
    """Inputs and outputs of a signature, such as {"user_id": "string[?]"}."""

    inputs: dict[str, str]
    outputs: dict[str, str]

    @classmethod
    def of(cls, function: Any) -> Self:
        """Describes a concrete function, loaded or not yet saved."""
        inputs = function.structured_input_signature[1]
        # A function not yet saved lists its arguments by position, a loaded one by name.
        specs = inputs or {spec.name: spec for spec in function.structured_input_signature[0]}
        outputs = function.structured_outputs
        return cls(
            inputs={key: _described(specs[key]) for key in sorted(specs)},
            outputs={key: _described(outputs[key]) for key in sorted(outputs)},
        )


class IndexManifest(Document, kw_only=True):
    """Content of manifest.json."""

    _written_by: ClassVar[str] = "twotower export"

    format: Literal[1] = 1
    search: Literal["brute-force", "scann"]
    search_reason: str = ""  # why that kind of search was chosen
    search_measured: SearchMeasurement = NOT_MEASURED
    # Of another one than "inside", the signatures about users take the ratings of these users as inputs.
    histories: Place = INSIDE
    movies: int
    movies_added: int = 0  # those of `movies` that came after training
    users: int
    training_users: int  # those of `users` with training ratings
    ratings: RatingCounts
    rating_scale: tuple[float, float]  # the least and the greatest rating, in stars
    # With "implicit", ratings are weights (1 + log(1 + events)), and those that are predicted are all 0.
    feedback: Feedback = STARS
    dimension: int  # of the candidate vectors
    bytes: int  # size of the SavedModel
    array_bytes: int = 0  # size of the arrays
    # The arrays by name, each with its dtype and shape, such as "float32[33, 17770]"; earlier releases wrote
    # none.
    arrays: dict[str, str] = msgspec.field(default_factory=dict)
    fingerprint: str  # identifies the input files
    split: SplitSettings  # how the ratings were divided
    model: SourceModel
    validation: IndexValidation
    signatures: dict[str, Signature]  # those that any server of the SavedModel has, by name
    # The columns that conditions may name, each with the kind of its values, "numbers" or "texts".
    attributes: dict[str, str] = msgspec.field(default_factory=dict)


def read_manifest(index: str | Path) -> IndexManifest:
    """Reads the manifest of an index. Raises `UserError` if there is none, or it cannot be read."""
    directory = Path(index)
    if not directory.is_dir():
        raise UserError(f"there is no index at {directory}; export one with `twotower export`")
    cure = f"{directory} is not an index of this release; name a directory written by `twotower export`"
    return read_document(directory / MANIFEST_FILE, IndexManifest, cure)


def check_rules(manifest: IndexManifest, rules: Rules) -> None:
    """Raises `UserError` if the index of this manifest cannot follow `rules`."""
    if rules.any and "recommend_where" not in manifest.signatures:
        raise UserError(
            f"{rules.first_flag}: the index was exported by an earlier release, which had no rules; "
            "export it anew with `twotower export`"
        )
    rules.check(manifest.attributes)


def load_index(index: str | Path) -> tuple[IndexManifest, Any]:
    """Loads the manifest and the SavedModel of the index at `index`.

    Raises:
      UserError: if there is no index, it is damaged or of another format, its graph holds an operation that
        is not allowed, or its ScaNN is not installed.
    """
    manifest = read_manifest(index)
    if manifest.search == SCANN:
        try:
            scann_ops()  # registers the operations that the SavedModel holds
        except UserError as error:
            raise UserError(f"{index} searches by ScaNN: {error}") from error
    check_operations(index)
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(index))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise UserError(f"{index} is damaged and does not load; export it anew, or copy it again") from error
    if missing := sorted(set(manifest.signatures) - set(loaded.signatures)):
        raise UserError(f"{index} is damaged: it lacks {', '.join(missing)}; export it anew")
    return manifest, loaded


def scann_ops() -> Any:
    """Imports the operations of ScaNN; raises `UserError` if that is not possible."""
    try:
        return importlib.import_module("scann.scann_ops.py.scann_ops")
    except (ImportError, OSError) as error:
        raise UserError(
            "ScaNN is not installed, or does not fit this TensorFlow; `pip install 'twotower[scann]'`, "
            "or take an index of the kind brute-force"
        ) from error


def _described(spec: Any) -> str:
    sizes = ["?" if size is None else str(size) for size in spec.shape]
    return f"{spec.dtype.name}[{', '.join(sizes)}]"
