"""A published index with its signatures callable by name, for a server."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from components.errors import UserError
from components.export.arrays import GIVEN
from components.export.manifest import BESIDE, NONE
from components.recommend.index import PublishedIndex
from components.vocabulary.conditions import Rules

# Enough rows to build and optimise every graph.
_WARM_UP_ROWS = 3

# Signatures whose ratings are given ones: weights, where there are no stars.
_WITH_WEIGHTS = ("history", "explain", "explain_from_history")


class Spec(NamedTuple):
    """Type of an input or output of a signature."""

    dtype: str  # its name in TensorFlow: "string", "int32", "float32" and the like
    shape: tuple[int | None, ...]  # sizes; None for any size


_STRINGS = Spec("string", (None,))
# The signature `history`, which the arrays of an index answer where its SavedModel holds no ratings.
_HISTORY = (
    {"user_id": _STRINGS},
    {
        "movie_id": _STRINGS,
        "title": _STRINGS,
        "year": Spec("int32", (None,)),
        "rating": Spec("float32", (None,)),
        "held_out": Spec("bool", (None,)),
        "row_splits": Spec("int64", (None,)),
        "known_user": Spec("bool", (None,)),
    },
)


class ServedIndex(PublishedIndex):
    """A published index whose signatures can be called by name."""

    @cached_property
    def specs(self) -> dict[str, tuple[dict[str, Spec], dict[str, Spec]]]:
        """Inputs and outputs of each signature by name."""
        specs = {
            name: (_specs(function.structured_input_signature[1]), _specs(function.structured_outputs))
            for name, function in self._signatures.items()
        }
        if self.manifest.histories == BESIDE:
            for inputs, _ in specs.values():
                for name in GIVEN:
                    inputs.pop(name, None)
            specs["users"] = ({}, {"user_id": Spec("string", (self.manifest.users,))})
            specs["history"] = _HISTORY
        return specs

    def predict(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
        """Calls one of the signatures in `specs` and returns its outputs; strings are `str` objects.

        `inputs` are nested lists or scalars, of the dtypes and shapes in `specs`. Predicted ratings are left
        out where there are no stars. Raises `UserError` if the index refuses the values, or predicts none.
        """
        import tensorflow as tf

        if signature == "rate" or inputs.get("order") == "rating":
            self.require_ratings(signature)
        if signature == "recommend_where":
            self.check_rules(Rules(_texts(inputs["where"]), _texts(inputs["boost"])))

        try:
            answer = self._ask(signature, **inputs)
        except tf.errors.InvalidArgumentError as error:
            raise UserError(_complaint(error.message)) from error
        if not self.rates and signature not in _WITH_WEIGHTS:
            answer.pop("rating", None)
        return answer

    def count_attributes(self) -> int:
        """Counts the pairs of a movie and a value of an attribute."""
        return sum(sum(movies.values()) for movies in self.attributes.values())

    def find_movies(self, text: str, limit: int) -> list[dict[str, Any]]:
        """Finds up to `limit` movies with words that begin like those of `text`, shortest first."""
        words = [f" {word}" for word in _words(text).split()]
        found = [row for row, title in enumerate(self._folded_titles) if all(word in title for word in words)]
        found.sort(key=lambda row: len(self._folded_titles[row]))
        return [self._movie(row) for row in found[:limit]]

    def movies_by_id(self, movie_ids: list[str]) -> dict[str, dict[str, Any]]:
        """Returns the movies with these ids; unknown ids are left out."""
        return {
            movie_id: self._movie(self._row_of[movie_id])
            for movie_id in movie_ids
            if movie_id in self._row_of
        }

    def on_scale(self, rating: float) -> bool:
        """Returns true if a rating is on the scale, which without stars is that of weights, from 0."""
        low, high = self.manifest.rating_scale if self.rates else (0.0, math.inf)
        return low <= rating <= high

    def positions(self, user_ids: Sequence[str | bytes]) -> npt.NDArray[np.int64]:
        """Returns the position of each user among all, int64 [n]; -1 for an unknown one."""
        if self.mapped.has_users:
            return self.mapped.users(user_ids)
        # An index of an earlier release.
        names = (user if isinstance(user, str) else user.decode("utf-8", "replace") for user in user_ids)
        return np.array([self._position_of.get(name, -1) for name in names], np.int64)

    def count_ratings(self, user_ids: Sequence[str | bytes]) -> npt.NDArray[np.int64]:
        """Returns how many ratings `history` has of each user, int64 [n], without reading them."""
        users = self.positions(user_ids)
        return self.mapped.count_ratings(users) if self.mapped.has_users else self._rating_counts[users]

    @cached_property
    def _position_of(self) -> dict[str, int]:
        return {user: position for position, user in enumerate(self.user_ids)}

    @cached_property
    def _rating_counts(self) -> npt.NDArray[np.int64]:
        """The number of ratings of each user, and of the unknown one at the end, int64 [users + 1]."""
        if "history" not in self.specs:  # the index of another program
            return np.zeros(len(self.user_ids) + 1, np.int64)
        return np.append(np.diff(self._loaded._histories._offsets.numpy()), 0)

    def warm_up(self) -> None:
        """Calls each signature once, since the first call builds its graph."""
        from components.export.warmup import warmup_requests

        histories = self.manifest.histories
        users = self.user_ids[:_WARM_UP_ROWS] if histories != NONE else [""]
        for signature, inputs in warmup_requests(users, self.movie_ids[:_WARM_UP_ROWS], histories):
            # An index of an earlier release lacks some.
            if signature in self.specs and not (histories == NONE and "user_id" in inputs):
                self._ask_model(signature, inputs)
        if histories != NONE:
            self.count_ratings(users)

    @cached_property
    def _folded_titles(self) -> list[str]:
        return [_words(title) for title in self.catalogue["title"]]


@dataclass(frozen=True)
class Served:
    """The served index."""

    number: int  # the champion's number in the champion log; 1 for an index without registry
    version: str  # its id in the registry; "" for an index without registry
    index: ServedIndex


def _words(text: str) -> str:
    """Returns the words of a title, each after one space, in lower case."""
    return " " + re.sub(r"\W+", " ", text.casefold()).strip()


def _texts(values: list[str | bytes]) -> list[str]:
    return [value.decode(errors="replace") if isinstance(value, bytes) else value for value in values]


def _complaint(message: str) -> str:
    """Extracts the message of an assertion in the graph from a TensorFlow error."""
    assertion = re.search(r"assertion failed: (.*)", message)
    said = re.findall(r"\[([^\[\]]+)\]", assertion[1]) if assertion else []
    return " ".join(said).replace('\\"', '"') or "the index cannot answer for these values"


def _specs(tensors: Mapping[str, Any]) -> dict[str, Spec]:
    return {name: Spec(tensor.dtype.name, tuple(tensor.shape.as_list())) for name, tensor in tensors.items()}
