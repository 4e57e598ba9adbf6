"""Names of scorers and metrics: stable ones for programs, and words for people."""

TOP_K = (1, 5, 10, 50, 100)
ACCURACY = "top_{}_accuracy"
ACCURACY_UNSEEN = "top_{}_accuracy_unseen"
TOP_100_UNSEEN = ACCURACY_UNSEEN.format(100)
RMSE = "rmse"
# The metrics in which less is better.
ERRORS = frozenset({RMSE})

CHALLENGER = "challenger"
CHAMPION = "champion"
POPULARITY = "popularity"
GLOBAL_MEAN = "global_mean"
BIAS = "bias"

_WORDS = {
    RMSE: "RMSE",
    CHALLENGER: "the challenger",
    CHAMPION: "the champion",
    GLOBAL_MEAN: "the global mean",
    BIAS: "user and movie biases",
    **{ACCURACY.format(k): f"top-{k} accuracy" for k in TOP_K},
    **{ACCURACY_UNSEEN.format(k): f"top-{k} accuracy among unseen movies" for k in TOP_K},
}


def words(name: str) -> str:
    """The words for a metric or a scorer, as they stand within a sentence."""
    return _WORDS.get(name, name.replace("_", " "))


def shown(value: float | None, metric: str) -> str:
    """A value of `metric` as people read it."""
    if value is None:
        return "not a finite number"
    return f"{value:.4f} stars" if metric in ERRORS else f"{value:.4f}"
