"""Requests for recommendations that wait at the same time, answered by one call of the index."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from components.export.manifest import BRUTE_FORCE
from components.serve.messages import PREDICT, Frame
from components.serve.rest import DEFAULT_K, Call, RequestError, count_cold, encode_answer, read_call
from components.serve.served_index import ServedIndex

# Signatures that answer each user alike, whoever else is asked about.
_SIGNATURES = frozenset({"recommend", "rank", "serving_default"})

# The most scores of one call, one for each user and movie: they take some two milliseconds.
_SCORES = 1 << 19

# The largest request that is gathered: bytes, users, and movies of its answer.
_BYTES, _USERS, _MOVIES = 2_048, 8, 1_000


class Waiting(NamedTuple):
    """A request that waits, as it came and parsed."""

    question: Frame
    call: Call


class Gathering:
    """Chooses the requests to gather, and answers them.

    A call for n users takes much less time than n calls. No request waits for others to come: those are
    gathered that came while the call before was computed. Larger requests are left out, and so are all to an
    index for which one user takes long, or whose search is approximate: ScaNN looks for as many candidates
    for each user as the longest history among them needs.
    """

    def __init__(self, index: ServedIndex) -> None:
        self._index = index
        self._most_users = _SCORES // index.manifest.movies if index.manifest.search == BRUTE_FORCE else 0

    def read(self, question: Frame) -> Waiting | None:
        """Parses a request that is to be gathered; returns None for any other, and for a faulty one."""
        if not self._most_users or question.kind != PREDICT or len(question.body) > _BYTES:
            return None
        try:
            call = read_call(question.body, self._index)
        except RequestError:
            return None
        inputs = call.inputs
        users, k = len(inputs.get("user_id", ())), inputs.get("k", DEFAULT_K)
        short = users <= min(_USERS, self._most_users) and users * k <= _MOVIES
        # Another list, of ratings for instance, belongs to these users.
        alone = any(isinstance(values, list) for name, values in inputs.items() if name != "user_id")
        return Waiting(question, call) if call.signature in _SIGNATURES and short and not alone else None

    def parts(self, waiting: Iterable[Waiting]) -> Iterator[list[Waiting]]:
        """Divides requests into those for one call each, whose inputs are equal but for the users."""
        groups = defaultdict[Any, list[Waiting]](list)
        for one in waiting:
            signature, inputs = one.call.signature, one.call.inputs
            groups[signature, *(inputs[name] for name in inputs if name != "user_id")].append(one)
        for group in groups.values():
            part, users = list[Waiting](), 0
            for one in group:
                more = len(one.call.inputs["user_id"])
                if users + more > self._most_users:
                    yield part
                    part, users = [], 0
                part.append(one)
                users += more
            yield part

    def answer(self, part: list[Waiting]) -> list[Frame]:
        """Answers the requests of a part. Raises as `ServedIndex.predict` does."""
        calls = [one.call for one in part]
        users = [user for call in calls for user in call.inputs["user_id"]]
        outputs = self._index.predict(calls[0].signature, {**calls[0].inputs, "user_id": users})
        frames, start = [], 0
        for question, call in part:
            end = start + len(call.inputs["user_id"])
            own = {name: values[start:end] for name, values in outputs.items()}
            frames.append(Frame(question.number, 200, encode_answer(call, own), count_cold(own)))
            start = end
        return frames
