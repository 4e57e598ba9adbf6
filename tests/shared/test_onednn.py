"""What oneDNN compiled for one thread must not serve another (`components/__init__.py` says why)."""

import os
import subprocess
import sys

import pytest

# Both are n products of a column and a row; that of the second thread wants more scratch memory.
_TWO_LAYOUTS = """
import threading
import components
import tensorflow as tf

columns, rows = tf.ones([900, 64, 1]), tf.ones([900, 1, 32])
def transposed_first(): tf.matmul(tf.reshape(columns, [900, 1, 64]), rows, transpose_a=True)
def transposed_second(): tf.matmul(columns, tf.reshape(rows, [900, 32, 1]), transpose_b=True)
for product in transposed_first, transposed_second:
    thread = threading.Thread(target=product)
    thread.start()
    thread.join()
"""


@pytest.mark.process
def test_no_compiled_product_passes_from_one_thread_to_another():
    verbose = {**os.environ, "ONEDNN_VERBOSE": "2"}
    done = subprocess.run(
        [sys.executable, "-c", _TWO_LAYOUTS], env=verbose, capture_output=True, text=True, check=True
    )
    assert "create:cache_hit" not in done.stdout
