"""The report: one self-contained page on the decision, its reasons and the model's quality."""
