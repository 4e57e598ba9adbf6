"""Requests that are answered together, and those that are not."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from components.serve.gathering import Gathering
from components.serve.messages import CANCEL, PAGE, PREDICT, Frame, pack, received
from components.serve.served_index import ServedIndex, Spec

USERS = {"user_id": Spec("string", (None,))}
MANY = {**USERS, "k": Spec("int32", ()), "ratings": Spec("string", ())}


def gathering(movies: int = 100, search: str = "brute-force") -> Gathering:
    inputs = {"recommend": MANY, "serving_default": USERS, "history": USERS}
    specs: dict[str, Any] = {name: (spec, {}) for name, spec in inputs.items()}
    index: Any = SimpleNamespace(specs=specs, manifest=SimpleNamespace(movies=movies, search=search))
    return Gathering(index)


def question(users: list[str], number: int = 1, k: int = 10, ratings: str = "all") -> Frame:
    inputs = {"user_id": users, "k": k, "ratings": ratings}
    return Frame(number, PREDICT, json.dumps({"signature_name": "recommend", "inputs": inputs}).encode())


def other(body: bytes | dict[str, Any], kind: int = PREDICT) -> Frame:
    return Frame(1, kind, body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.mark.parametrize(
    ("one", "gathered"),
    [
        (question(["u"]), True),
        (question([]), True),
        (question(["u"] * 8), True),
        (other({"instances": ["u"]}), True),
        (question(["u"] * 9), False),
        (question(["u"] * 8, k=126), False),
        (question(["u" * 2_000]), False),
        (question(["u"], k=2**31), False),
        (other({"signature_name": "history", "inputs": ["u"]}), False),
        (other(b"{"), False),
        (other(b"find=x", PAGE), False),
    ],
)
def test_short_requests_for_recommendations_are_gathered(one: Frame, gathered: bool) -> None:
    assert (gathering().read(one) is not None) == gathered


def test_where_one_user_takes_long_or_the_search_is_approximate_nothing_is_gathered() -> None:
    assert gathering(movies=10**6).read(question(["u"])) is None
    assert gathering(search="scann").read(question(["u"])) is None


def test_a_request_that_brings_ratings_of_its_users_is_not_gathered() -> None:
    gatherer = gathering()
    specs = {**USERS, "history_movie": Spec("int32", (None,))}
    gatherer._index.specs["recommend"] = (specs, {})  # type: ignore[assignment]
    body = {"signature_name": "recommend", "inputs": {"user_id": ["u"], "history_movie": [1, 2]}}
    assert gatherer.read(other(body)) is None


def test_only_what_differs_in_the_users_alone_is_one_part_and_a_part_is_bounded() -> None:
    gatherer = gathering(movies=100_000)  # five users a call
    asked = [
        question(["a"], 1),
        question(["b"], 2, k=3),
        question(["c", "d"], 3),
        question(["e"], 4, ratings="train"),
        question(["f", "g"], 5),
        question(["h"], 6),
    ]
    waiting = [one for each in asked if (one := gatherer.read(each))]
    parts = [[one.question.number for one in part] for part in gatherer.parts(waiting)]
    assert parts == [[1, 3, 5], [6], [2], [4]]


def test_messages_come_in_any_pieces() -> None:
    ours, its = socket.socketpair()
    frames = [Frame(1, PREDICT, b"x" * 300_000), Frame(2, CANCEL, b""), Frame(3, PAGE, b"find=a")]

    def send() -> None:
        with ours:
            ours.sendall(b"".join(map(pack, frames)))

    with its, ThreadPoolExecutor() as pool:
        sending = pool.submit(send)
        assert [frame for some in received(its) for frame in some] == frames
        sending.result()
    ours, its = socket.socketpair()
    with its:
        for byte in pack(frames[2]) + pack(frames[1])[:-1]:
            ours.sendall(bytes([byte]))
        ours.close()
        assert [frame for some in received(its) for frame in some] == [frames[2]]


@pytest.mark.tensorflow
@pytest.mark.parametrize("signature", ["recommend", "rank", "serving_default"])
def test_answers_are_those_to_each_request_alone(index_directory, signature: str) -> None:
    index = ServedIndex.load(index_directory)
    gatherer = Gathering(index)
    users = [["user2"], ["nobody"], [], ["user3", "user4"], ["user5"], ["user2"]]
    rest = {} if signature == "serving_default" else {"k": 5, "ratings": "all"}
    bodies = [{"signature_name": signature, "inputs": {"user_id": some, **rest}} for some in users]
    waiting = [one for body in bodies if (one := gatherer.read(other(body)))]
    [part] = gatherer.parts(waiting)
    assert len(part) == len(users)
    for one, together in zip(part, gatherer.answer(part), strict=True):
        [alone] = gatherer.answer([one])
        found, expected = (json.loads(frame.body)["outputs"] for frame in (together, alone))
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            if name in ("score", "rating"):
                np.testing.assert_allclose(found[name], values, rtol=1e-6, atol=1e-6)
            else:
                assert found[name] == values


@pytest.mark.tensorflow
def test_each_client_of_many_is_given_its_own_answer_or_error(server, index_directory) -> None:
    index = ServedIndex.load(index_directory)
    users = [f"user{number}" for number in range(2, 8)] * 8

    def ask(place: int) -> tuple[int, Any]:
        ratings = "some" if place % 5 == 0 else "all"
        inputs = {"user_id": [users[place]], "k": 3 + place % 2, "ratings": ratings}
        return server.predict(signature_name="recommend", inputs=inputs)

    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(ask, range(len(users))))
    expected = index.recommend(users, 4)
    for place, (status, answer) in enumerate(answers):
        if place % 5 == 0:
            assert (status, 'must be "all"' in answer["error"]) == (400, True)
        else:
            k = 3 + place % 2
            assert answer["outputs"]["movie_id"] == [expected.movie_id[place][:k].tolist()]
            assert answer["outputs"]["score"][0] == pytest.approx(expected.score[place][:k].tolist(), 1e-6)
