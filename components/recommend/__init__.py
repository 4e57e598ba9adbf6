"""Recommends movies from a published index."""
