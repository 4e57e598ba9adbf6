"""The pipeline on Kubeflow: runs, schedules, and a check of all that they need."""
