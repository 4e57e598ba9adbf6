"""The warm-up requests, read as TensorFlow Serving reads them."""

import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework.tensor_pb2 import TensorProto

pytestmark = pytest.mark.tensorflow

STRING, BYTES, MESSAGE = 9, 12, 11
OPTIONAL, REPEATED = 1, 3

# Message -> field -> number, type, label, type name: an extract of tensorflow_serving/apis/*.proto.
MESSAGES = {
    "Entry": {"key": (1, STRING, OPTIONAL, ""), "value": (2, BYTES, OPTIONAL, "")},
    "ModelSpec": {"name": (1, STRING, OPTIONAL, ""), "signature_name": (3, STRING, OPTIONAL, "")},
    "PredictRequest": {
        "model_spec": (1, MESSAGE, OPTIONAL, ".ModelSpec"),
        "inputs": (2, MESSAGE, REPEATED, ".Entry"),
    },
    "PredictLog": {"request": (1, MESSAGE, OPTIONAL, ".PredictRequest")},
    "PredictionLog": {"predict_log": (6, MESSAGE, OPTIONAL, ".PredictLog")},
}


@pytest.fixture(scope="module")
def prediction_log():
    """The class PredictionLog."""
    file = descriptor_pb2.FileDescriptorProto(name="extract.proto", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, label, type_name) in fields.items():
            message.field.add(name=field, number=number, type=kind, label=label, type_name=type_name or None)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("PredictionLog"))


def test_every_request_is_one_that_its_signature_answers(index, prediction_log):
    signatures = tf.saved_model.load(str(index)).signatures
    asked = set()
    for record in tf.data.TFRecordDataset([str(index / "assets.extra" / "tf_serving_warmup_requests")]):
        request = prediction_log.FromString(record.numpy()).predict_log.request
        inputs = {}
        for entry in request.inputs:
            tensor = tf.make_ndarray(TensorProto.FromString(entry.value))
            inputs[entry.key] = tf.constant(tensor)
        name = request.model_spec.signature_name
        answer = signatures[name](**inputs)
        assert all(value.shape.rank > 0 for value in answer.values())
        asked.add(name)
    assert asked == set(signatures) - {"attributes", "catalogue", "users"}


def test_requests_longer_than_a_byte_tells_keep_their_length(tmp_path, prediction_log):
    from components.export.warmup import WARMUP_FILE, write_warmup

    class Signature:
        structured_input_signature = ([tf.TensorSpec([None], tf.string, "user_id")], {})

    users = [f"user {number}" for number in range(5000)]
    write_warmup(tmp_path, [("ask", {"user_id": users})], {"ask": Signature})
    (record,) = tf.data.TFRecordDataset([str(tmp_path / WARMUP_FILE)])
    (entry,) = prediction_log.FromString(record.numpy()).predict_log.request.inputs
    tensor = TensorProto.FromString(entry.value)
    assert tf.make_ndarray(tensor).tolist() == [user.encode() for user in users]
