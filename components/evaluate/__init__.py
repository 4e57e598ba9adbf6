"""Evaluate: how good a model is on rows that it never saw, beside the champion and simple baselines."""
