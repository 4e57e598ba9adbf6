"""Graphs that this project cannot have written are refused, wherever the foreign operation hides."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from components import saved_models
from components.errors import UserError
from components.saved_models import ForeignOperationError, check_operations, encode_varint

pytestmark = pytest.mark.tensorflow

# What one who wants to harm would put in, as functions of a path.
HARMFUL: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "ReadFile": tf.io.read_file,
    "WriteFile": lambda path: [tf.io.write_file(path, "written"), path][1],
    "EagerPyFunc": lambda path: tf.py_function(lambda name: name, [path], tf.string),
    "PyFunc": lambda path: tf.numpy_function(lambda name: name, [path], tf.string),
    "MatchingFiles": tf.io.matching_files,
    "PrintV2": lambda path: [tf.print(path, output_stream=f"file:///{path.name}"), path][1],
    "RestoreV2": lambda path: tf.raw_ops.RestoreV2(
        prefix=path, tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.string]
    )[0],
    "SaveV2": lambda path: [
        tf.raw_ops.SaveV2(prefix=path, tensor_names=["a"], shape_and_slices=[""], tensors=[path]),
        path,
    ][1],
    "MergeV2Checkpoints": lambda path: [
        tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=[path], destination_prefix=path),
        path,
    ][1],
}


class Model(tf.Module):
    """A SavedModel with a variable, a table and one signature."""

    def __init__(self, work: Callable[[tf.Tensor], tf.Tensor] = tf.identity) -> None:
        super().__init__()
        self.kept = tf.Variable(["kept"])
        keys = tf.lookup.KeyValueTensorInitializer(tf.constant(["a"]), tf.constant([1]))
        self.table = tf.lookup.StaticHashTable(keys, default_value=0)
        self._work = work

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, "path")])
    def ask(self, path: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"answer": self._work(path), "kept": self.kept[0], "row": self.table.lookup(path)}


def save(model: tf.Module, directory: Path) -> Path:
    tf.saved_model.save(model, str(directory), signatures={"ask": model.ask.get_concrete_function()})
    return directory


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(Model(), tmp_path_factory.mktemp("plain"))


@pytest.fixture
def altered(plain: Path, tmp_path: Path) -> Callable[[Callable[[Any], object]], Path]:
    """A function that changes the MetaGraphDef of the plain model; returns the directory."""

    def alter(change: Callable[[Any], object]) -> Path:
        message = saved_model_pb2.SavedModel.FromString((plain / "saved_model.pb").read_bytes())
        change(message.meta_graphs[0])
        (tmp_path / "saved_model.pb").write_bytes(message.SerializeToString())
        return tmp_path

    return alter


def saver_function(graph: Any, node_name: str) -> str:
    [node] = [node for node in graph.graph_def.node if node.name == node_name.split(":")[0]]
    name: str = node.attr["f"].func.name
    return name


def test_what_is_allowed_loads(plain: Path) -> None:
    check_operations(plain)


@pytest.mark.parametrize("operation", HARMFUL)
def test_a_signature_is_looked_at(tmp_path: Path, operation: str) -> None:
    with pytest.raises(ForeignOperationError, match=f" operation {operation}") as refusal:
        check_operations(save(Model(HARMFUL[operation]), tmp_path))
    assert str(refusal.value).startswith(f"{tmp_path} was not loaded")
    assert "\n" not in str(refusal.value)


def in_branch(path: tf.Tensor) -> tf.Tensor:
    return tf.cond(tf.equal(path, "now"), lambda: tf.io.read_file(path), lambda: path)


def in_loop(path: tf.Tensor) -> tf.Tensor:
    return tf.while_loop(lambda text: tf.equal(text, "now"), lambda text: [tf.io.read_file(text)], [path])[0]


def in_nested_function(path: tf.Tensor) -> tf.Tensor:
    inner = tf.function(lambda text: tf.io.read_file(text))
    return tf.function(lambda text: inner(text))(path)


@pytest.mark.parametrize("work", [in_branch, in_loop, in_nested_function])
def test_nested_functions_are_looked_at(tmp_path: Path, work: Callable[[tf.Tensor], tf.Tensor]) -> None:
    with pytest.raises(ForeignOperationError, match="has the operation"):
        check_operations(save(Model(work), tmp_path))


def test_initialisers_are_looked_at(tmp_path: Path) -> None:
    """A table may be filled from any file, as soon as the model is loaded."""
    (tmp_path / "words").write_text("a\n")
    model = Model()
    lines = tf.lookup.TextFileInitializer(
        str(tmp_path / "words"), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
    )  # fmt: skip
    model.words = tf.lookup.StaticHashTable(lines, default_value=-1)
    with pytest.raises(ForeignOperationError, match="has the operation"):
        check_operations(save(model, tmp_path / "model"))


def _add_to_graph(graph: Any) -> None:
    graph.graph_def.node.add(name="harm", op="WriteFile")


def _add_to_restore(graph: Any) -> None:
    restore = saver_function(graph, graph.saver_def.restore_op_name)
    [function] = [one for one in graph.graph_def.library.function if one.signature.name == restore]
    function.node_def.add(name="harm", op="ReadFile")


def _save_when_restoring(graph: Any) -> None:
    graph.saver_def.restore_op_name = graph.saver_def.save_tensor_name.split(":")[0]


def _call_save_when_restoring(graph: Any) -> None:
    save_function = saver_function(graph, graph.saver_def.save_tensor_name)
    [node] = [node for node in graph.graph_def.node if node.name == graph.saver_def.restore_op_name]
    node.attr["f"].func.name = save_function


def _save_when_initialised(graph: Any) -> None:
    [node] = [node for node in graph.graph_def.node if node.op == "NoOp"]
    node.input.append(f"^{graph.saver_def.save_tensor_name.split(':')[0]}")


def _save_as_a_signature(graph: Any) -> None:
    graph.signature_def["ask"].outputs["answer"].name = graph.saver_def.save_tensor_name


def _save_as_main(graph: Any) -> None:
    graph.collection_def["saved_model_main_op"].node_list.value[:] = [graph.saver_def.save_tensor_name]


def _save_as_an_object(graph: Any) -> None:
    save_function = saver_function(graph, graph.saver_def.save_tensor_name)
    graph.object_graph_def.nodes.add().bare_concrete_function.concrete_function_name = save_function


def _save_as_a_method(graph: Any) -> None:
    save_function = saver_function(graph, graph.saver_def.save_tensor_name)
    graph.object_graph_def.nodes.add().function.concrete_functions.append(save_function)


def _save_by_another_name(graph: Any) -> None:
    call = graph.graph_def.node.add(name="another", op="PartitionedCall")
    call.attr["f"].func.name = saver_function(graph, graph.saver_def.save_tensor_name)


def _save_through_a_function(graph: Any) -> None:
    function = graph.graph_def.library.function.add()
    function.signature.name = "between"
    call = function.node_def.add(name="call", op="StatefulPartitionedCall")
    call.attr["f"].func.name = saver_function(graph, graph.saver_def.save_tensor_name)
    graph.graph_def.node.add(name="harm", op="PartitionedCall").attr["f"].func.name = "between"


def _function_as_an_operation(graph: Any) -> None:
    graph.graph_def.node.add(name="harm", op=saver_function(graph, graph.saver_def.save_tensor_name))


def _function_without_a_name(graph: Any) -> None:
    graph.graph_def.node.add(name="harm", op="WriteFile")
    graph.graph_def.library.function.add().node_def.add(name="nothing", op="NoOp")


def _behind_a_long_attribute(graph: Any) -> None:
    node = graph.graph_def.node.add(name="harm", op="WriteFile")
    node.attr["value"].s = bytes(saved_models._LONG_ATTRIBUTE + 1)


@pytest.mark.parametrize(
    "change",
    [
        _add_to_graph,
        _add_to_restore,
        _save_when_restoring,
        _call_save_when_restoring,
        _save_when_initialised,
        _save_as_a_signature,
        _save_as_main,
        _save_as_an_object,
        _save_as_a_method,
        _save_by_another_name,
        _save_through_a_function,
        _function_as_an_operation,
        _function_without_a_name,
        _behind_a_long_attribute,
    ],
    ids=lambda change: change.__name__.strip("_"),
)
def test_other_places_are_looked_at(altered, change: Callable[[Any], object]) -> None:
    directory = altered(lambda graph: None)
    check_operations(directory)
    with pytest.raises(ForeignOperationError):
        check_operations(altered(change))


def test_every_meta_graph_is_looked_at(plain: Path, tmp_path: Path) -> None:
    message = saved_model_pb2.SavedModel.FromString((plain / "saved_model.pb").read_bytes())
    _add_to_graph(message.meta_graphs.add())
    (tmp_path / "saved_model.pb").write_bytes(message.SerializeToString())
    with pytest.raises(ForeignOperationError, match="WriteFile"):
        check_operations(tmp_path)


def test_parts_that_a_parser_joins_are_looked_at(plain: Path, tmp_path: Path) -> None:
    """Two encoded messages after each other are one, in which repeated fields are joined."""
    other = saved_model_pb2.SavedModel()
    _add_to_graph(other.meta_graphs.add())
    encoded = (plain / "saved_model.pb").read_bytes() + other.SerializeToString()
    (tmp_path / "saved_model.pb").write_bytes(encoded)
    with pytest.raises(ForeignOperationError, match="WriteFile"):
        check_operations(tmp_path)


def test_of_two_operations_in_one_node_the_last_counts(altered) -> None:
    """A node that is a constant by its first operation keeps its attributes."""
    directory = altered(lambda graph: graph.graph_def.node.add(name="harm", op="Const"))
    file = directory / "saved_model.pb"
    node = b"\n\x04harm\x12\x05Const"
    twice = node + b"\x12\x09WriteFile"
    content = file.read_bytes()
    assert content.count(node) == 1
    message = saved_model_pb2.SavedModel.FromString(content)
    assert message.meta_graphs[0].graph_def.node[-1].name == "harm"
    graph = saved_model_pb2.SavedModel()
    graph.meta_graphs.add()
    [encoded] = [b"\n" + bytes([len(twice)]) + twice]  # GraphDef.node = 1
    graph_def = b"\x12" + bytes([len(encoded)]) + encoded  # MetaGraphDef.graph_def = 2
    file.write_bytes(content + b"\x12" + bytes([len(graph_def)]) + graph_def)  # SavedModel.meta_graphs = 2
    with pytest.raises(ForeignOperationError, match="WriteFile"):
        check_operations(directory)


@pytest.mark.parametrize("name", ["saved_model.cpb", "saved_model.pbtxt"])
def test_other_forms_of_a_graph_are_refused(altered, name: str) -> None:
    directory = altered(lambda graph: None)
    (directory / name).write_bytes(b"")
    with pytest.raises(ForeignOperationError, match=f"it holds {name}"):
        check_operations(directory)


def test_what_was_read_is_what_tensorflow_reads_but_for_long_constants(tmp_path: Path) -> None:
    long = tf.constant("long, very long indeed" * saved_models._LONG_ATTRIBUTE)
    directory = save(Model(lambda path: path + long), tmp_path)
    file = directory / "saved_model.pb"
    whole = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    read = saved_models._read(file)
    assert len(read.SerializeToString()) < 0.5 * len(whole.SerializeToString())
    for graph in (*whole.meta_graphs, *read.meta_graphs):
        nodes = [
            *graph.graph_def.node,
            *(node for f in graph.graph_def.library.function for node in f.node_def),
        ]
        assert any(node.op == "Const" for node in nodes)
        for node in nodes:
            if node.op == "Const":
                node.ClearField("attr")
    assert read == whole


def test_a_constant_of_a_gigabyte_is_not_read(plain: Path, tmp_path: Path) -> None:
    size = 1 << 30
    sizes = [size]
    # From inside: the fields tensor_content, tensor, value, attr, node, graph_def and meta_graphs.
    node = b"\x0a\x05large\x12\x05Const\x2a"
    heads = [b"\x22", b"\x42", b"\x0a\x05value\x12", node, b"\x0a", b"\x12", b"\x12"]
    encoded = b""
    for head in heads:
        encoded = head + encode_varint(sizes[-1]) + encoded
        sizes.append(size + len(encoded))
    content = (plain / "saved_model.pb").read_bytes() + encoded
    with (tmp_path / "saved_model.pb").open("wb") as file:
        file.write(content)
        file.truncate(len(content) + size)  # a hole in the file
    tracemalloc.start()
    check_operations(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 << 20
    [constant] = saved_models._read(tmp_path / "saved_model.pb").meta_graphs[1].graph_def.node
    assert (constant.name, constant.op) == ("large", "Const")


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off_is_damage(plain: Path, tmp_path: Path, kept: float) -> None:
    content = (plain / "saved_model.pb").read_bytes()
    (tmp_path / "saved_model.pb").write_bytes(content[: int(kept * len(content))])
    with pytest.raises(UserError, match=r"is damaged: its saved_model\.pb cannot be read; copy it again"):
        check_operations(tmp_path)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff" * 100, b"\x12\x7f"])
def test_nonsense_is_damage(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(UserError, match="is damaged"):
        check_operations(tmp_path)


def test_a_model_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is damaged: it holds no saved_model\.pb; run the step"):
        check_operations(tmp_path)
