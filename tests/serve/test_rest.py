"""The bodies of requests and answers, without a server."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.serve.limits import check_limits
from components.serve.rest import Call, RequestError, encode_answer, encode_status, read_call
from components.serve.served_index import Spec

USERS = {"user_id": Spec("string", (None,))}
MANY = {**USERS, "k": Spec("int32", ()), "ratings": Spec("string", ())}
HISTORY = {
    "movie_id": Spec("string", (None,)),
    "rating": Spec("float32", (None,)),
    "row_splits": Spec("int64", (None,)),
    "k": Spec("int32", ()),
}
PAIRS = {**USERS, "movie_id": Spec("string", (None,)), "flag": Spec("bool", (None,))}
INDEX: Any = SimpleNamespace(
    specs={
        "serving_default": (USERS, {}),
        "recommend": (MANY, {}),
        "recommend_from_history": (HISTORY, {}),
        "pairs": (PAIRS, {}),
        "catalogue": ({}, {}),
    }
)


def read(**request: Any) -> Call:
    return read_call(json.dumps(request).encode(), INDEX)


@pytest.mark.parametrize(
    ("request_", "call"),
    [
        ({"instances": ["a", "b"]}, Call("serving_default", {"user_id": ["a", "b"]}, True)),
        ({"instances": [{"user_id": "a"}]}, Call("serving_default", {"user_id": ["a"]}, True)),
        ({"inputs": ["a", "b"]}, Call("serving_default", {"user_id": ["a", "b"]}, False)),
        ({"inputs": {"user_id": ["a"]}}, Call("serving_default", {"user_id": ["a"]}, False)),
        ({"inputs": {"user_id": [{"b64": "YQ=="}]}}, Call("serving_default", {"user_id": [b"a"]}, False)),
        ({"instances": [{"b64": "YQ=="}]}, Call("serving_default", {"user_id": [b"a"]}, True)),
        (
            {"signature_name": "recommend", "inputs": {"user_id": ["a"], "k": 3, "ratings": "all"}},
            Call("recommend", {"user_id": ["a"], "k": 3, "ratings": "all"}, False),
        ),
        (
            {
                "signature_name": "pairs",
                "instances": [
                    {"user_id": "a", "movie_id": "m", "flag": True},
                    {"flag": False, "user_id": "b", "movie_id": "n"},
                ],
            },
            Call("pairs", {"user_id": ["a", "b"], "movie_id": ["m", "n"], "flag": [True, False]}, True),
        ),
        ({"signature_name": "catalogue", "inputs": {}}, Call("catalogue", {}, False)),
    ],
)
def test_rows_and_columns_are_read(request_: dict[str, Any], call: Call) -> None:
    assert read(**request_) == call


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, 'give either "instances"'),
        ({"instances": ["a"], "inputs": ["a"]}, 'give either "instances"'),
        ({"signature_name": "nope", "inputs": []}, 'signature_name: there is no "nope"; there are cat'),
        ({"signature_name": ["x"], "inputs": []}, "signature_name: there is no"),
        ({"instances": []}, '"instances" must be a list with a row or more'),
        ({"instances": {"user_id": "a"}}, '"instances" must be a list'),
        ({"instances": ["a", 7]}, r"user_id\[1\]: \"7\" is no string"),
        ({"inputs": "a"}, 'user_id: "a" is no list'),
        ({"inputs": {"user": ["a"]}}, "inputs lacks user_id"),
        ({"inputs": {"user_id": ["a"], "k": 3}}, 'inputs: there is no "k"; there are user_id'),
        ({"inputs": {"user_id": [{"b64": "?"}]}}, r"user_id\[0\]: .* is no string"),
        ({"inputs": {"user_id": ["\ud800"]}}, r"user_id\[0\]: .* is no string"),
        ({"signature_name": "recommend", "instances": ["a"]}, "k is one value for all rows; give .inputs."),
        ({"signature_name": "recommend", "inputs": ["a"]}, "inputs must be an object with user_id, k"),
        ({"signature_name": "pairs", "instances": [{"user_id": "a"}]}, r"instances\[0\] lacks flag, mov"),
    ],
)
def test_what_is_wrong_is_named(request_: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message) as refusal:
        read(**request_)
    assert refusal.value.status == 400


@pytest.mark.parametrize("k", ["3", 3.0, True, None, 2**31, -(2**31) - 1, [3], {}])
def test_what_is_no_integer_is_refused(k: Any) -> None:
    with pytest.raises(RequestError, match=r"k: .* is no int32"):
        read(signature_name="recommend", inputs={"user_id": [], "k": k, "ratings": "all"})


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"7", b'{"instances": [NaN]}', b"[" * 100_000])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(RequestError, match=r"the body (is not JSON|must be a JSON object)"):
        read_call(body, INDEX)


NAMES = st.sampled_from(["instances", "inputs", "signature_name", "user_id", "k", "b64"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner),
    max_leaves=12,
)


@given(body=JSON | st.fixed_dictionaries({}, optional={"instances": JSON, "inputs": JSON}))
def test_any_json_is_read_or_refused(body: Any) -> None:
    try:
        call = read_call(json.dumps(body).encode(), INDEX)
    except RequestError:
        return
    assert call.signature in INDEX.specs
    assert all(isinstance(user, str | bytes) for user in call.inputs.get("user_id", []))


def test_answers_take_the_form_of_the_request() -> None:
    two = {"movie_id": np.array([["a", "b"], ["c", "d"]], object), "known": np.array([True, False])}
    one = {"rating": np.array([1.5, 2.5], np.float32)}
    rows, columns = (Call("s", {"user_id": ["x", "y"]}, by_rows) for by_rows in (True, False))
    assert json.loads(encode_answer(rows, two)) == {
        "predictions": [{"movie_id": ["a", "b"], "known": True}, {"movie_id": ["c", "d"], "known": False}]
    }
    assert json.loads(encode_answer(rows, one)) == {"predictions": [1.5, 2.5]}
    assert json.loads(encode_answer(columns, two)) == {
        "outputs": {"movie_id": [["a", "b"], ["c", "d"]], "known": [True, False]}
    }
    assert json.loads(encode_answer(columns, one)) == {"outputs": [1.5, 2.5]}
    with pytest.raises(RequestError, match='does not answer row by row; give "inputs"'):
        encode_answer(rows, {"row_splits": np.array([0, 1, 2])})


def test_numbers_are_written_as_float32_and_texts_in_utf_8() -> None:
    outputs = {
        "score": np.array([[0.1, -3.4028235e38]], np.float32).T,
        "title": np.array(["Amélie\x7f"], object),
    }
    body = encode_answer(Call("s", {}, False), outputs)
    assert body == '{"outputs":{"score":[[0.1],[-3.4028235e+38]],"title":["Amélie\x7f"]}}'.encode()


def test_numbers_that_are_not_finite_are_never_sent() -> None:
    with pytest.raises(ValueError, match="not finite"):
        encode_answer(Call("s", {}, False), {"score": np.array([np.nan], np.float32)})


def test_what_only_the_slow_reader_reads_is_read() -> None:
    body = json.dumps({"instances": ["ü"]}).encode("utf-16")
    assert read_call(body, INDEX).inputs == {"user_id": ["ü"]}


def test_the_newest_version_comes_first() -> None:
    status = json.loads(encode_status({9: ("AVAILABLE", ""), 10: ("END", "it is corrupt")}))
    assert [(version["version"], version["state"]) for version in status["model_version_status"]] == [
        ("10", "END"),
        ("9", "AVAILABLE"),
    ]
    assert status["model_version_status"][0]["status"] == {
        "error_code": "UNKNOWN",
        "error_message": "it is corrupt",
    }


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"user_id": ["u"] * 1_001}, "1,001 rows are too many; give 1,000 at most"),
        ({"user_id": ["u"], "k": 100_001}, "k: 1 rows times 100,001 movies are more than 100,000"),
        ({"user_id": ["u"] * 1_000, "k": 1, "pool": 101}, "k: 1,000 rows times 101 movies"),
        ({"user_id": ["u"], "only": ["m"] * 16_385}, "only: 16,385 values are too many; give 16,384 at most"),
        ({"movie_id": ["m"] * 1_001, "k": 1}, "1,001 rows are too many"),
        ({"user_id": "u", "recommended": ["m"] * 101}, "recommended: 101 movies are too many; give 100"),
    ],
)
def test_a_request_for_too_much_is_too_large(inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message) as refusal:
        check_limits(Call("recommend", inputs, False))
    assert refusal.value.status == 413


@pytest.mark.parametrize("splits", [[], [1, 2], [0, 1], [0, 3], [0, 2, 1, 2], [0, -1, 2]])
def test_row_splits_that_do_not_fit_are_refused(splits: list[int]) -> None:
    inputs = {"movie_id": ["a", "b"], "rating": [1.0, 2.0], "row_splits": splits, "k": 3}
    with pytest.raises(RequestError, match="row_splits: must ascend from 0 to 2"):
        check_limits(Call("recommend_from_history", inputs, False))


def test_what_fits_passes() -> None:
    check_limits(Call("serving_default", {"user_id": ["u"] * 1_000}, True))
    check_limits(Call("rate", {"user_id": ["u"] * 16_384, "movie_id": ["m"] * 16_384}, False))
    inputs: Any = {"movie_id": ["a", "b"], "rating": [1.0, 2.0], "row_splits": [0, 0, 2], "k": 3}
    check_limits(Call("recommend_from_history", inputs, False))
    check_limits(Call("catalogue", {}, False))
    check_limits(Call("explain", {"user_id": "u" * 2_000, "recommended": ["m"] * 100}, False))
    for signature, inputs in [
        ("rate", {"user_id": ["u"], "movie_id": []}),
        ("recommend_from_history", {"movie_id": ["a"], "rating": [], "row_splits": [0, 1], "k": 1}),
        ("explain_from_history", {"movie_id": ["a"], "rating": [], "recommended": ["b"]}),
    ]:
        with pytest.raises(RequestError, match="make pairs, but there are"):
            check_limits(Call(signature, inputs, False))
