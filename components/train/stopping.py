"""Which of two validations is the better one, for a model with two tasks."""

from components.train.validation import Metrics


def both_tasks(metrics: Metrics) -> float:
    """Top-100 accuracy over RMSE: one per cent more of the one is worth one per cent less of the other."""
    if metrics.rmse is None or metrics.top_100_accuracy_unseen is None:
        return 0.0
    # So that a first accuracy of 0, and a perfect RMSE, still leave the other task to be compared.
    return (metrics.top_100_accuracy_unseen + 1e-6) / (metrics.rmse + 1e-6)
