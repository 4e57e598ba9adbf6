"""Asks an index in a process that has TensorFlow and no code of this project, as a server would.

    python -I fresh_process.py INDEX QUESTIONS ANSWERS

QUESTIONS is JSON: {"questions": [{"signature": …, "inputs": {…}}], "timed": {"signature": …, "inputs":
[{…}, …], "repeats": n}, "libraries": [names]}; the libraries register custom operations. ANSWERS becomes
{"answers": [{output: values}], "milliseconds": [n numbers], "load_seconds": …}.
"""

import importlib
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

_WARM_UP = 10


def main(index: str, questions_file: str, answers_file: str) -> None:
    asked = json.loads(Path(questions_file).read_text(encoding="utf-8"))
    for library in asked["libraries"]:
        importlib.import_module(library)
    started = time.monotonic()
    signatures = tf.saved_model.load(index).signatures
    load_seconds = time.monotonic() - started
    answers = [_plain(_ask(signatures[asks["signature"]], asks["inputs"])) for asks in asked["questions"]]
    milliseconds = _time(signatures, **asked["timed"])
    intruders = sorted({"components", "pipelines"} & set(sys.modules))
    if intruders:
        sys.exit(f"the index was loaded beside this project's own code: {intruders}")
    result = {"answers": answers, "milliseconds": milliseconds, "load_seconds": load_seconds}
    Path(answers_file).write_text(json.dumps(result), encoding="utf-8")


def _ask(signature: Any, inputs: dict[str, Any]) -> dict[str, tf.Tensor]:
    specs = signature.structured_input_signature[1]
    outputs: dict[str, tf.Tensor] = signature(
        **{name: tf.constant(value, specs[name].dtype) for name, value in inputs.items()}
    )
    return outputs


def _plain(outputs: dict[str, tf.Tensor]) -> dict[str, Any]:
    plain = {}
    for name, value in outputs.items():
        array = value.numpy()
        is_text = value.dtype == tf.string
        plain[name] = (np.char.decode(array.astype(np.bytes_), "utf-8") if is_text else array).tolist()
    return plain


def _time(signatures: Any, signature: str, inputs: list[dict[str, Any]], repeats: int) -> list[float]:
    milliseconds = []
    for values in itertools.islice(itertools.cycle(inputs), _WARM_UP + repeats):
        started = time.perf_counter()
        _ask(signatures[signature], values)
        milliseconds.append((time.perf_counter() - started) * 1e3)
    return milliseconds[_WARM_UP:]


if __name__ == "__main__":
    main(*sys.argv[1:])
