"""Warm-up requests, which TensorFlow Serving runs when it loads the index: the first call is slow.

The file is a TFRecord of `tensorflow.serving.PredictionLog` messages. Their package is large and bound to one
version of TensorFlow, and only five fields are needed, so the messages are encoded here:

    PredictionLog.predict_log = 6, PredictLog.request = 1, PredictRequest.model_spec = 1 and .inputs = 2 (a
    map: key = 1, value = 2), ModelSpec.signature_name = 3

https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

from pathlib import Path
from typing import Any

import tensorflow as tf

from components.export.manifest import ALL, INSIDE, TRAIN
from components.saved_models import encode_varint

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"

# A signature and its inputs.
Request = tuple[str, dict[str, Any]]


def warmup_requests(user_ids: list[str], movie_ids: list[str], histories: str) -> list[Request]:
    """Returns one or more requests for each signature that answers about users and movies.

    `histories` is one of `HISTORIES`; the users' ratings are not among the inputs.
    """
    filtered = {"include_rated": False, "exclude": [], "only": [], "order": "rating", "pool": 100}
    rated = {"movie_id": movie_ids, "rating": [3.0] * len(movie_ids)}
    rules = {"where": ["year!=0"], "boost": ["year>0:0.5"], "diversity": 0.2, "popularity_discount": 0.2}
    requests: list[Request] = [
        ("serving_default", {"user_id": user_ids[:1]}),
        ("serving_default", {"user_id": user_ids}),
        ("recommend_filtered", {"user_id": user_ids[:1], "k": 10, "ratings": ALL, **filtered}),
        ("recommend_where", {"user_id": user_ids[:1], "k": 10, "ratings": ALL, **filtered, **rules}),
        ("recommend_from_history", {**rated, "row_splits": [0, len(movie_ids)], "k": 10}),
        ("explain", {"user_id": user_ids[0], "recommended": movie_ids, "ratings": ALL}),
        ("explain_from_history", {**rated, "recommended": movie_ids[:1]}),
        ("similar", {"movie_id": movie_ids, "k": 10}),
    ]
    if histories == INSIDE:
        requests.append(("history", {"user_id": user_ids[:1]}))
    for ratings in (ALL, TRAIN):
        for name in ("recommend", "rank"):
            requests.append((name, {"user_id": user_ids[:1], "k": 10, "ratings": ratings}))
        pairs = {"user_id": user_ids[:1] * len(movie_ids), "movie_id": movie_ids}
        requests.append(("rate", {**pairs, "ratings": ratings}))
    return requests


def write_warmup(directory: Path, requests: list[Request], signatures: dict[str, Any]) -> None:
    """Writes `requests` into the SavedModel in `directory`, with the dtypes of the inputs of `signatures`."""
    target = directory / WARMUP_FILE
    target.parent.mkdir()
    with tf.io.TFRecordWriter(str(target)) as writer:
        for name, inputs in requests:
            specs = {spec.name: spec for spec in signatures[name].structured_input_signature[0]}
            writer.write(_prediction_log(name, {key: specs[key].dtype for key in inputs}, inputs))


def _prediction_log(signature: str, dtypes: dict[str, tf.DType], inputs: dict[str, Any]) -> bytes:
    request = _field(1, _field(3, signature.encode()))
    for name, value in inputs.items():
        tensor = tf.make_tensor_proto(value, dtypes[name]).SerializeToString()
        request += _field(2, _field(1, name.encode()) + _field(2, tensor))
    return _field(6, _field(1, request))


def _field(number: int, content: bytes) -> bytes:
    """Encodes a length-delimited field of a protocol buffer message."""
    return encode_varint(number << 3 | 2) + encode_varint(len(content)) + content
