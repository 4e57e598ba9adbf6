"""Nothing is computed for a request that asks for too much."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from components.serve.limits import answer
from components.serve.rest import Call, RequestError

USERS = ["u"] * 10


def index(ratings: int, size: int = 5) -> Any:
    """An index whose users have `ratings` each, with `size` movies and users; it refuses to compute."""

    def predict(*_: object) -> None:
        raise AssertionError("it computes")

    return SimpleNamespace(
        count_ratings=lambda users: np.full(len(users), ratings),
        manifest=SimpleNamespace(movies=size, users=size, rating_scale=(1.0, 5.0)),
        on_scale=lambda stars: 1 <= stars <= 5,
        rates=True,
        predict=predict,
    )


@pytest.mark.parametrize(
    ("call", "given", "message"),
    [
        (
            Call("history", {"user_id": USERS}, False),
            index(10_001),
            "history: 100,010 rows are more than 100,000",
        ),
        (Call("history", {"user_id": USERS}, False, 5), index(10_001), "history: 100,005 rows are more than"),
        (
            Call("history", {"user_id": USERS}, False, 0, 100_001),
            index(20_000),
            "history: 100,001 rows are more",
        ),
        (Call("catalogue", {}, False), index(1, 100_001), "catalogue: 100,001 rows"),
        (Call("users", {}, False), index(1, 100_001), "users: 100,001 rows"),
        (
            Call("recommend", {"user_id": USERS, "k": 5}, False),
            index(400_001),
            "these users have 4,000,010 ratings",
        ),
        (
            Call("rate", {"user_id": USERS, "movie_id": USERS}, False),
            index(4_000_001),
            "these users have 4,000,001",
        ),
    ],
)
def test_too_much_is_refused_before_it_is_computed(call: Call, given: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message) as refusal:
        answer(call, given)
    assert refusal.value.status == 413
    assert "ask for" in str(refusal.value)


def test_what_is_within_the_limits_is_computed() -> None:
    for call in (
        Call("history", {"user_id": USERS}, False),
        Call("recommend", {"user_id": USERS, "k": 5}, False),
        Call("rate", {"user_id": USERS, "movie_id": USERS}, False),
    ):
        with pytest.raises(AssertionError, match="it computes"):
            answer(call, index(10_000))
