"""The rules that hold the data to those that the champion was trained on."""

from collections.abc import Iterator
from dataclasses import dataclass

from components.evaluate import rules
from components.evaluate.data_checks import DataChange
from components.evaluate.rules import Rule


@dataclass(frozen=True)
class DataBounds:
    """How far the data may be from the champion's.

    Wide, since data may well grow and change; a file that was cut off or mixed up is far beyond.
    """

    # Least number of ratings, as a share of the champion's.
    min_rows_share: float = 0.8
    # Greatest shift of the mean rating, as a share of the rating scale's width.
    max_mean_shift: float = 0.05
    # Greatest share of the ratings in which the histograms differ.
    max_histogram_distance: float = 0.1
    # Greatest shares of the users and of the rated movies that the champion had no rating of.
    max_new_users: float = 0.9
    max_new_movies: float = 0.5


_COMPARISONS = {
    "rows_share": ">=",
    "rating_mean_shift": "<=",
    "rating_histogram_distance": "<=",
    "new_users_share": "<=",
    "new_movies_share": "<=",
}


def data_rules(data: DataChange | None, absence: str, bounds: DataBounds) -> Iterator[Rule]:
    """Holds `data` to the bounds; all rules are skipped where it is None, because of `absence`."""
    if data is None:
        for metric, comparison in _COMPARISONS.items():
            yield rules.skipped(_name(metric), metric, absence, comparison=comparison)
        return
    mean_bound = bounds.max_mean_shift * data.scale
    for metric, value, bound, why in (
        (
            "rows_share",
            data.rows_share,
            bounds.min_rows_share,
            f"There are {data.rows_share:.1%} as many known ratings as the champion was trained on, and at "
            f"least {bounds.min_rows_share:.0%} are expected",
        ),
        (
            "rating_mean_shift",
            data.mean_shift,
            mean_bound,
            f"The mean rating is {data.mean_shift:.3f} stars from that of the champion's data, and at most "
            f"{mean_bound:.3f} are expected",
        ),
        (
            "rating_histogram_distance",
            data.histogram_distance,
            bounds.max_histogram_distance,
            f"The histogram of ratings differs from that of the champion's data in "
            f"{data.histogram_distance:.1%} of the ratings, and at most {bounds.max_histogram_distance:.0%} "
            "are expected",
        ),
        (
            "new_users_share",
            data.new_users,
            bounds.max_new_users,
            f"{data.new_users:.1%} of the users have no rating in the champion's data, and at most "
            f"{bounds.max_new_users:.0%} are expected",
        ),
        (
            "new_movies_share",
            data.new_movies,
            bounds.max_new_movies,
            f"{data.new_movies:.1%} of the rated movies have no rating in the champion's data, and at most "
            f"{bounds.max_new_movies:.0%} are expected",
        ),
    ):
        yield rules.within(_name(metric), metric, value, bound, _COMPARISONS[metric], why)


def _name(metric: str) -> str:
    return f"data_{metric}"
