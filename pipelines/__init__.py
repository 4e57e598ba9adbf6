"""The pipeline: its graph, and the verbs that run, compile, submit and schedule it."""
