"""Serves the champion over HTTP, with the REST interface of TensorFlow Serving and a page."""
