"""SavedModels: their digest, and the operations that their graphs may hold.

A SavedModel is a program. Some operations read and write files or call Python, and TensorFlow runs them with
the rights of whoever loads the model. So every reader calls `check_operations` first, which allows those that
this project and ScaNN write, and no others.
"""

import hashlib
import mmap
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.errors import UserError

# The directory of the SavedModel in a Model; an index is one itself.
SAVED_MODEL = "saved_model"


def saved_model_digest(directory: Path) -> str:
    """Returns a SHA-256 over the sorted paths and contents of all files in `directory`, in hexadecimal.

    In a shell there: find -type f -printf "%P\\n" | LC_ALL=C sort | xargs sha256sum | sha256sum.
    """
    lines = []
    for path in sorted(directory.rglob("*"), key=lambda path: path.relative_to(directory).as_posix()):
        if path.is_file():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            lines.append(f"{content}  {path.relative_to(directory).as_posix()}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def stored_strings(directory: Path, variable: str) -> Iterator[list[bytes]]:
    """Yields, in parts, the content of a variable of strings of a SavedModel, of which nothing is computed.

    Nothing if there is no such variable. Raises `UserError` if the variables cannot be read.
    """
    import tensorflow as tf

    prefix, name = str(directory / "variables" / "variables"), f"{variable}/.ATTRIBUTES/VARIABLE_VALUE"
    try:
        if not tf.train.load_checkpoint(prefix).has_tensor(name):
            return
        (content,) = tf.raw_ops.RestoreV2(
            prefix=prefix, tensor_names=[name], shape_and_slices=[""], dtypes=[tf.string]
        )
    except (ValueError, tf.errors.OpError) as error:
        raise UserError(f"{prefix}.* are damaged; restore them from a backup") from error
    for start in range(0, content.shape[0], _STRINGS_AT_ONCE):
        yield content[start : start + _STRINGS_AT_ONCE].numpy().tolist()


# Strings that Python has at once.
_STRINGS_AT_ONCE = 1 << 20

# What models and indexes of all releases are made of; a test exports every kind, and holds this list to them.
_OPERATIONS = """
    Add AddN AddV2 All Any ArgMax AsString Assert AssignVariableOp BatchMatMulV2 BiasAdd BroadcastTo Cast
    ConcatV2 Const Cumsum DenseBincount DisableCopyOnRead DivNoNan EnsureShape Equal Erfc ExpandDims Fill
    FloorDiv FloorMod FusedBatchNormV3 GatherNd GatherV2 Greater GreaterEqual HashTableV2 Identity
    IdentityN If IsNan Less LessEqual LogicalAnd LogicalNot LogicalOr LookupTableFindV2
    LookupTableImportV2 LowerBound MatMul MatrixDiagV3 MatrixInverse Max Maximum Mean Min Minimum Mul Neg
    NoOp NotEqual OnesLike Pack Pad PadV2 PartitionedCall Placeholder Prod RaggedGather RaggedRange
    RaggedTensorToTensor Range ReadVariableOp RealDiv Relu Reshape ResourceGather Rsqrt
    Scann>ScannSearchBatched Scann>TensorsToScann ScatterNd ScatterNdNonAliasingAdd Select SelectV2 Shape
    ShardedFilename Size SparseSegmentSumWithNumSegments Split SplitV Sqrt Squeeze StatefulPartitionedCall
    StatelessIf StatelessWhile StaticRegexFullMatch StaticRegexReplace StridedSlice StringJoin StringLower
    StringSplitV2 StringToNumber Sub Sum TensorScatterUpdate Tile TopKV2 Transpose Unique Unpack
    UnsortedSegmentMax UnsortedSegmentSum UpperBound VarHandleOp Where ZerosLike
"""
ALLOWED = frozenset(_OPERATIONS.split())
# What reads and writes files: in the functions that restore and save variables, and nowhere else.
_RESTORING = frozenset({"RestoreV2"})
_SAVING = frozenset({"MergeV2Checkpoints", "SaveV2"}) | _RESTORING

_GRAPH_FILE = "saved_model.pb"
# The same in other forms, which no release wrote.
_OTHER_FORMS = ("saved_model.cpb", "saved_model.pbtxt")


class ForeignOperationError(UserError):
    """The graph of a model holds what no release of this project writes."""


def check_operations(directory: str | Path) -> None:
    """Refuses a SavedModel whose graph this project cannot have written.

    Of a constant, nothing is read but its name. Raises `ForeignOperationError` if there is an operation that
    is not allowed at its place, `UserError` if there is no SavedModel or it is damaged.
    """
    from google.protobuf.message import DecodeError

    for name in _OTHER_FORMS:
        if Path(directory, name).exists():
            raise _refusal(directory, f"it holds {name}")
    file = Path(directory, _GRAPH_FILE)
    if not file.is_file():
        raise UserError(
            f"{directory} is damaged: it holds no {_GRAPH_FILE}; run the step that writes it again"
        )
    try:
        graphs = _read(file).meta_graphs
    except (OSError, ValueError, IndexError, RecursionError, DecodeError) as error:
        raise UserError(
            f"{directory} is damaged: its {_GRAPH_FILE} cannot be read; copy it again, or make it anew"
        ) from error
    for fault in (fault for graph in graphs for fault in _faults(graph)):
        raise _refusal(directory, fault)


def _refusal(directory: str | Path, why: str) -> ForeignOperationError:
    return ForeignOperationError(
        f"{directory} was not loaded, since no release of twotower wrote it: {why}; a model is a program, so "
        "take one that `twotower` has made, of somebody whom you trust"
    )


def _faults(meta_graph: Any) -> Iterator[str]:
    """Yields what a MetaGraphDef has that no release of this project writes."""
    graph, functions = meta_graph.graph_def.node, defaultdict[str, list[Any]](list)
    for function in meta_graph.graph_def.library.function:
        functions[function.signature.name] += function.node_def
    places = [("graph", graph), *((f"function {name}", nodes) for name, nodes in functions.items())]
    for place, node in ((place, node) for place, nodes in places for node in nodes):
        if node.op not in ALLOWED and node.op not in _SAVING:
            yield f"its {place} has the operation {node.op}"
    touches = _operations_on_files(functions)
    saver = meta_graph.saver_def
    may = {_node(saver.save_tensor_name): _SAVING, _node(saver.restore_op_name): _RESTORING}
    may.pop("", None)
    for node in graph:
        for operation in sorted(_run_by(node, touches) - may.get(node.name, frozenset())):
            yield f"its graph runs the operation {operation} where it neither saves nor restores"
    for name in sorted({_node(name) for name in _fetched(meta_graph)} & may.keys()):
        yield f"its graph uses {name}, which is for saving and restoring"
    for name in sorted(_functions_of_objects(meta_graph.object_graph_def)):
        for operation in sorted(touches.get(name, ())):
            yield f"its objects have the function {name}, which runs the operation {operation}"


def _operations_on_files(functions: Mapping[str, Sequence[Any]]) -> dict[str, frozenset[str]]:
    """Returns the operations on files that each function runs, itself or in those that it calls."""
    found = dict.fromkeys(functions, frozenset[str]())
    while True:
        before = found
        found = {
            name: frozenset[str]().union(*(_run_by(node, before) for node in nodes))
            for name, nodes in functions.items()
        }
        if found == before:
            return found


def _run_by(node: Any, touches: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Returns the operations on files that a node runs; `touches` are those of each function."""
    called = (node.op, *_called(node.attr))
    return (_SAVING & {node.op}).union(*(touches.get(name, ()) for name in called))


def _called(attributes: Any) -> Iterator[str]:
    for value in attributes.values():
        for function in (value.func, *value.list.func):
            if function.name:
                yield function.name
                yield from _called(function.attr)


def _fetched(meta_graph: Any) -> Iterator[str]:
    """Yields all names of tensors and nodes that something reads or runs, but for the saver."""
    for node in meta_graph.graph_def.node:
        yield from node.input
    for signature in meta_graph.signature_def.values():
        for tensor in (*signature.inputs.values(), *signature.outputs.values()):
            parts = [tensor, *tensor.composite_tensor.components]
            yield from (part.name for part in parts)
            yield from (
                getattr(tensor.coo_sparse, field.name) for field in tensor.coo_sparse.DESCRIPTOR.fields
            )
    for collection in meta_graph.collection_def.values():
        yield from collection.node_list.value


def _node(tensor: str) -> str:
    """Returns the name of the node in an input, such as "^a", or a tensor, such as "a:0"."""
    return tensor.lstrip("^").split(":")[0]


def _functions_of_objects(objects: Any) -> set[str]:
    names = set(objects.concrete_functions)
    for one in objects.nodes:
        names |= {*one.function.concrete_functions, one.bare_concrete_function.concrete_function_name}
    return names


# A longer attribute of a constant is its content, gigabytes maybe.
_LONG_ATTRIBUTE = 1 << 12


def _read(file: Path) -> Any:
    """Reads a SavedModel message without the contents of its constants, of which no page is touched."""
    from tensorflow.core.protobuf import saved_model_pb2

    with file.open("rb") as opened:
        content = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
    message = saved_model_pb2.SavedModel()
    message.ParseFromString(_without_constants(content, message.DESCRIPTOR))
    return message


# The types of message around a constant, from the outermost to itself.
_AROUND_CONSTANTS = ("SavedModel", "MetaGraphDef", "GraphDef", "FunctionDefLibrary", "FunctionDef", "NodeDef")


def _without_constants(message: memoryview, kind: Any) -> bytes:
    """Returns an encoded message, of the type `kind`, without the contents of the constants in it."""
    fields = list(_fields(message))
    number_of = {field.name: field.number for field in kind.fields}
    operations = [bytes(value or b"") for number, _, value in fields if number == number_of.get("op")]
    is_constant = kind.name == "NodeDef" and operations[-1:] == [b"Const"]
    parts: list[bytes | memoryview] = []
    for number, tag, value in fields:
        below = kind.fields_by_number[number].message_type if number in kind.fields_by_number else None
        if value is None:
            parts.append(tag)
        elif below and below.name in _AROUND_CONSTANTS:
            shorter = _without_constants(value, below)
            parts += [tag, encode_varint(len(shorter)), shorter]
        elif not (is_constant and number == number_of["attr"] and len(value) > _LONG_ATTRIBUTE):
            parts += [tag, encode_varint(len(value)), value]
    return b"".join(parts)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview, memoryview | None]]:
    """Yields the number of each field of a message, its tag and its content; for a number both, and None.

    https://protobuf.dev/programming-guides/encoding
    """
    place = 0
    while place < len(message):
        start = place
        tag, place = _decode(message, start)
        after_tag, kind = place, tag & 7
        if kind == 2:
            size, place = _decode(message, place)
            if size > len(message) - place:
                raise ValueError("a field is longer than its message")
            yield tag >> 3, message[start:after_tag], message[place : place + size]
            place += size
            continue
        if kind == 0:
            _, place = _decode(message, place)
        elif kind in _WIDTHS:
            place += _WIDTHS[kind]
        else:
            raise ValueError(f"wire type {kind}")
        yield tag >> 3, message[start:place], None


# Bytes of a number, by the wire type.
_WIDTHS = {1: 8, 5: 4}


def _decode(message: memoryview, place: int) -> tuple[int, int]:
    """Returns the number that is encoded at `place`, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("a number of more than ten bytes")


def encode_varint(value: int) -> bytes:
    """Encodes a number as a protocol buffer message has it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
