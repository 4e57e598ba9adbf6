"""The steps of the pipeline, one package a step, in the order in which the data flows."""

import os

__version__ = "0.1.0"

# TensorFlow Recommenders is built on Keras 2; TensorFlow reads this once, when it is first imported.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
# What TensorFlow's C++ logs is about absent accelerators; what fails arrives as an exception.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
