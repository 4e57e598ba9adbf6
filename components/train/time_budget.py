"""Time budget of a training: how many steps fit into the time that the step `train` may take."""

import time
from collections.abc import Callable

from components import step
from components.errors import UserError
from components.progress import log

# Seconds that the first training step and the first validation take, which compile functions, where the
# processors are as idle and as fast as those that the estimates of what follows were measured on.
_COMPILING = 1.8


class TimeBudget:
    """The seconds that the step may take, over all processes that worked on it, and the pace of the training.

    Only the chief's clock is read, and only here does a clock decide anything.
    """

    def __init__(self, seconds: float, of_chief: Callable[[float], float] = float) -> None:
        """Makes the budget of the running step.

        Args:
          seconds: from its start.
          of_chief: gives the chief's value to every worker.
        """
        self.seconds, self._of_chief = seconds, of_chief
        self.shortened = False  # whether the training is shorter for it
        self._earlier = 0.0
        try:
            before = step.so_far().seconds
        except LookupError:  # a pod of several workers
            before = 0.0
        self._started = time.monotonic() - before
        self._slowness = 1.0
        self._after = 0.0
        self._refit = 0.0
        self._pace = self._sampling = 0.0

    def spent(self) -> float:
        """Returns the seconds since the step's start, with those of earlier processes."""
        return self._earlier + time.monotonic() - self._started

    def resume(self, spent: float) -> None:
        """Adds the seconds that `spent` gave in an earlier process, as a checkpoint has them."""
        self._earlier = max(self._earlier, spent)

    def reserve(self, after: float, refit: float) -> None:
        """Keeps time for what follows the search.

        Args:
          after: seconds on idle processors for all but the final refit.
          refit: steps of the final refit for each step of the search.

        Raises:
          UserError: if nothing is left to train in.
        """
        self._after, self._refit = after, refit
        if self._left() <= 0:
            raise UserError(
                f"--time-budget {self.seconds:g} is too short for any step: {self.spent():.0f} s have gone, "
                f"and about {after:.0f} s go to what follows the steps; give more"
            )

    def compiled(self, seconds: float) -> None:
        """Says what the first step and the first validation took: how busy or slow the processors are."""
        self._slowness = min(max(seconds / _COMPILING, 0.5), 5.0)

    def measured(self, steps: int, seconds: float, sampling: float) -> None:
        """Says what the latest steps took, with their validation, and how much of it the sampled head did."""
        self._pace, self._sampling = seconds / steps, sampling / steps

    def steps_that_fit(self, done: int, kept: int) -> int:
        """Returns the steps of the search that leave time for what follows.

        Of these `done` are made; a final refit would now follow those up to `kept`.
        """
        refit = self._refit * kept * (self._pace - self._sampling)
        sampling = 0.5 * self._sampling if self._refit else 0.0
        left = self._left() - refit + done * self._pace
        return max(int(left / max(self._pace + sampling, 1e-9)), done)

    def refit_share(self, steps: int, searched: int, after: float) -> float:
        """Returns how much of a final refit of so many steps there is time for, 0 to 1.

        The sampled head makes half of the sweeps over again that it made in the `searched` steps. `after` is
        that of `reserve`, for what follows the refit.
        """
        self._after = after
        needed = steps * (self._pace - self._sampling) + 0.5 * searched * self._sampling
        share = min(max(self._left() / max(needed, 1e-9), 0.0), 1.0)
        if share < 1.0:
            self.shortened = True
            log(f"time budget: there is time for {share:.0%} of the final refit")
        return share

    def _left(self) -> float:
        return self._of_chief(self.seconds - self.spent() - self._slowness * self._after)
