"""Names of scorers and metrics: stable ones for programs, and words for people."""

TOP_K = (1, 5, 10, 50, 100)
ACCURACY = "top_{}_accuracy"
ACCURACY_UNSEEN = "top_{}_accuracy_unseen"
TOP_100_UNSEEN = ACCURACY_UNSEEN.format(100)
# Of each user's list of unseen movies.
RECALL = "recall_{}"
NDCG = "ndcg_{}"
LIST_K = (10, 100)
MRR = "mrr"
RMSE = "rmse"
MAE = "mae"

CALIBRATION_ERROR = "calibration_error"
# Of the lists of the best movies of some users.
COVERAGE = "coverage"
GINI = "gini"
POPULARITY_RANK = "popularity_rank"
NOVELTY = "novelty"
SIMILARITY = "intra_list_similarity"

# The metrics in which less is better, in stars.
ERRORS = frozenset({RMSE, MAE, CALIBRATION_ERROR})
# The metrics that are a mean over users; the others are one over rows.
OVER_USERS = frozenset({MRR, *(name.format(k) for name in (RECALL, NDCG) for k in LIST_K)})

# All of them, in the order of a table.
METRICS = (
    *(ACCURACY_UNSEEN.format(k) for k in TOP_K),
    *(ACCURACY.format(k) for k in TOP_K),
    *(name.format(k) for name in (RECALL, NDCG) for k in LIST_K),
    MRR,
    RMSE,
    MAE,
    CALIBRATION_ERROR,
)
# Neither more nor less of these is better in itself.
LIST_METRICS = (COVERAGE, GINI, POPULARITY_RANK, NOVELTY, SIMILARITY)

# The part of the test rows that the champion was certainly not trained on.
UNREAD_BY_CHAMPION = "rows_unread_by_champion"

CHALLENGER = "challenger"
CHAMPION = "champion"
POPULARITY = "popularity"
GLOBAL_MEAN = "global_mean"
BIAS = "bias"
EASE = "ease"
ITEM_KNN = "item_knn"
FACTORS = "factors"

_WORDS = {
    RMSE: "RMSE",
    MAE: "mean absolute error",
    MRR: "mean reciprocal rank",
    COVERAGE: "catalogue coverage of lists",
    GINI: "Gini coefficient of lists",
    POPULARITY_RANK: "mean popularity rank of lists",
    NOVELTY: "novelty of lists",
    SIMILARITY: "similarity within lists",
    UNREAD_BY_CHAMPION: "test rows that the champion was not trained on",
    CHALLENGER: "the challenger",
    CHAMPION: "the champion",
    GLOBAL_MEAN: "the global mean",
    BIAS: "user and movie biases",
    EASE: "EASE",
    ITEM_KNN: "nearest movies",
    FACTORS: "matrix factorisation",
    **{ACCURACY.format(k): f"top-{k} accuracy" for k in TOP_K},
    **{ACCURACY_UNSEEN.format(k): f"top-{k} accuracy among unseen movies" for k in TOP_K},
    **{RECALL.format(k): f"recall of a user's best {k}" for k in LIST_K},
    **{NDCG.format(k): f"NDCG of a user's best {k}" for k in LIST_K},
}


def words(name: str) -> str:
    """The words for a metric or a scorer, as they stand within a sentence."""
    return _WORDS.get(name, name.replace("_", " "))


def shown(value: float | None, metric: str) -> str:
    """A value of `metric` as people read it."""
    if value is None:
        return "not a finite number"
    return f"{value:.4f} stars" if metric in ERRORS else f"{value:.4f}"


# Names that would take a picture's whole width.
_SHORT = {BIAS: "biases", FACTORS: "factorisation"}


def plain(scorer: str) -> str:
    """A scorer's name where it stands alone, short."""
    return _SHORT.get(scorer, words(scorer).removeprefix("the "))


def figure(value: float, metric: str, digits: int | None = None) -> str:
    """A value of `metric` as people say it: stars, or movies of 100."""
    if metric in ERRORS:
        return f"{value:.{2 if digits is None else digits}f}"
    return f"{100 * value:.{digits or 0}f}"


def apart(value: float, other: float, metric: str) -> tuple[str, str]:
    """Two values, with as many digits as it takes to tell them apart, within reason."""
    fewest = 2 if metric in ERRORS else 0
    for digits in range(fewest, fewest + 3):
        pair = figure(value, metric, digits), figure(other, metric, digits)
        if pair[0] != pair[1]:
            break
    return pair
