"""How much a figure would vary with other users, where it is no sum over users: a grouped jackknife.

What is shown to more users covers more of a catalogue, so resampling with replacement, which repeats some
users and leaves others out, would move such a figure. Leaving a fiftieth of the users out hardly does.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate.bootstrap import Interval

Array = npt.NDArray[Any]

GROUPS = 50
# Of Student's t with 49 degrees of freedom, 97.5%.
_QUANTILE = 2.0096


def group_of(users: int) -> Array:
    """The group that each user is left out with, int64 [users]."""
    return np.arange(users) % GROUPS


def jackknife(figures: Callable[[Array], dict[str, float]], users: int) -> dict[str, Interval]:
    """95% intervals of figures by the jackknife with a group deleted at a time (Shao & Tu 1995, 2.3).

    Args:
      figures: the figures of those users for which its argument, bool [users], is true.
      users: with fewer than a few to a group there are no intervals.
    """
    if users < 2 * GROUPS:
        return {}
    groups = group_of(users)
    without = [figures(groups != group) for group in range(GROUPS)]
    return {
        name: interval(value, np.array([one.get(name, np.nan) for one in without]))
        for name, value in figures(np.ones(users, np.bool_)).items()
    }


def interval(value: float, without: Array) -> Interval:
    """The interval of a figure, given what it is `without` each of the groups, float64 [GROUPS]."""
    spread = without - without.mean()
    margin = _QUANTILE * float(np.sqrt((GROUPS - 1) / GROUPS * np.sum(np.square(spread))))
    return value - margin, value + margin
