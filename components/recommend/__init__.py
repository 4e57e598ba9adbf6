"""Recommend: answers from a published index."""
