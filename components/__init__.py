"""The steps of the pipeline, one package a step, in the order in which the data flows."""

import gc
import os

__version__ = "0.1.0"

# TensorFlow Recommenders is built on Keras 2; TensorFlow reads this once, when it is first imported.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
# What TensorFlow's C++ logs is about absent accelerators; what fails arrives as an exception.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# TensorFlow 2.20's oneDNN, 3.7.3, keeps compiled products under a key that cannot tell an n x 1 matrix from
# the transpose of a 1 x n one. The two want other scratch memory, so with what one thread had compiled
# another wrote past the end of its own: on AVX-512 a training died, once in hundreds to thousands of steps.
# With nothing kept, each thread compiles what it needs, in no time that could be measured
# (uxlfoundation/oneDNN#5043 mends it).
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "0")
# To import TensorFlow and to trace functions makes hundreds of thousands of objects that stay: looking among
# them for garbage after every 700 takes a sixth of the time of the import.
gc.set_threshold(100_000, 10, 10)
