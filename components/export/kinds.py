"""The kinds of index that can be asked for."""

BRUTE_FORCE, SCANN, AUTO = "brute-force", "scann", "auto"
KINDS = (BRUTE_FORCE, SCANN, AUTO)
