"""An exported index as something to measure: its scoring model, and the ratings that it holds."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from components.errors import UserError
from components.evaluate.champion import read_json
from components.evaluate.model_scorer import ScoringModel
from components.evaluate.ratings_file import Ratings

Array = npt.NDArray[Any]

_MANIFEST = "manifest.json"
_USERS_AT_ONCE = 4096


@dataclass(frozen=True)
class IndexedModel:
    """What lies in an index.

    Attributes:
      scoring: the very model that the index serves.
      movie_ids, titles: str objects [M], the catalogue; years: int32 [M], 0 where unknown.
      trained: the ratings that the model may have been trained on.
      held_out: the test rows.
      rating_scale: in stars.
      fingerprint, split: of the data.
    """

    scoring: ScoringModel
    movie_ids: Array
    titles: Array
    years: Array
    trained: Ratings
    held_out: Ratings
    rating_scale: tuple[float, float]
    fingerprint: str
    split: dict[str, Any]
    # The signatures hold the loaded object's variables only weakly.
    _loaded: Any = field(repr=False)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Reads the index at `directory`.

        Raises:
          UserError: if there is none, or it cannot be loaded.
        """
        from components.train import scoring

        manifest = read_json(directory / _MANIFEST)
        if not isinstance(manifest, dict) or "rating_scale" not in manifest:
            raise UserError(
                f"{directory} is not an index: it has no readable {_MANIFEST}; "
                "name a directory that `twotower export` wrote, or a version of --registry"
            )
        if manifest.get("search") == "scann":
            _register_scann(directory)
        loaded = _loaded(directory)
        catalogue = {name: value.numpy() for name, value in loaded.signatures["catalogue"]().items()}
        trained, held_out = _ratings(loaded.signatures)
        return cls(
            # The name under which the index keeps the scoring model whole.
            scoring=scoring.ScoringModel(loaded._scoring.signatures),
            movie_ids=_text(catalogue["movie_id"]),
            titles=_text(catalogue["title"]),
            years=catalogue["year"].astype(np.int32),
            trained=trained,
            held_out=held_out,
            rating_scale=(float(manifest["rating_scale"][0]), float(manifest["rating_scale"][1])),
            fingerprint=str(manifest.get("fingerprint", "")),
            split=manifest.get("split") or {},
            _loaded=loaded,
        )


def _register_scann(directory: Path) -> None:
    try:
        importlib.import_module("scann")
    except (ImportError, OSError) as error:
        raise UserError(
            f"{directory} searches by ScaNN, which is not installed; `pip install 'twotower[scann]'`"
        ) from error


def _loaded(directory: Path) -> Any:
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(directory))
        missing = {"catalogue", "history", "users"} - set(loaded.signatures)
        if missing or not hasattr(loaded, "_scoring"):
            raise ValueError(f"it lacks {', '.join(sorted(missing)) or 'its model'}")
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise UserError(f"{directory} is damaged: {error}; export it anew, or copy it again") from error
    return loaded


def _ratings(signatures: Any) -> tuple[Ratings, Ratings]:
    """All ratings in the index: those that the model may have been trained on, and the held-out ones."""
    parts: tuple[list[Ratings], list[Ratings]] = ([], [])
    for ratings, held_out in _histories(signatures):
        for part, chosen in zip(parts, (~held_out, held_out), strict=True):
            part.append(Ratings(*(column[chosen] for column in ratings)))
    trained, held = (Ratings(*map(np.concatenate, zip(*part, strict=True))) for part in parts)
    return trained, held


def _histories(signatures: Any) -> Iterator[tuple[Ratings, Array]]:
    """The ratings of some users at a time, and which are held out, bool [n]."""
    import tensorflow as tf

    users = signatures["users"]()["user_id"].numpy()
    for start in range(0, max(len(users), 1), _USERS_AT_ONCE):
        some = users[start : start + _USERS_AT_ONCE]
        answer = signatures["history"](user_id=tf.constant(some, tf.string))
        row_splits = answer["row_splits"].numpy()
        ratings = Ratings(
            users=np.repeat(_text(some), np.diff(row_splits)),
            movies=_text(answer["movie_id"].numpy()),
            stars=answer["rating"].numpy(),
        )
        yield ratings, answer["held_out"].numpy()


def _text(values: Array) -> Array:
    """Strings of bytes objects; the same id of many rows is one object."""
    words: dict[bytes, str] = {}
    return np.array([words.setdefault(value, value.decode("utf-8")) for value in values.tolist()], object)
