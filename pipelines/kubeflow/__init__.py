"""Runs and schedules the pipeline on Kubeflow, and checks all that it needs there."""
