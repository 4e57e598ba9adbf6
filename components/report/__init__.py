"""Report: one self-contained page that says what was decided, why, and what the model is good at."""
