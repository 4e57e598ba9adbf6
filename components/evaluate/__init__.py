"""Evaluation of a model on held-out rows, beside the champion and simple baselines."""
