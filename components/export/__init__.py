"""Exports the evaluated model as one SavedModel that a server loads, and validates it."""
