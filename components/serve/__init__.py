"""Serve: the champion over HTTP, in the words of TensorFlow Serving's REST interface and on one page."""
