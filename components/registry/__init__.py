"""The registry: published versions, the champion log, and the records of all runs."""
