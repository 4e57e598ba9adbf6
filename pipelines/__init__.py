"""Runs, compiles, submits and schedules the pipeline."""
