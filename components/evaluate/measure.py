"""Scores challenger, champion and baselines on the same rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from components.evaluate.baselines import Bias, GlobalMean, Popularity
from components.evaluate.bootstrap import Interval, Resampled, resample
from components.evaluate.held_out import HeldOut
from components.evaluate.metrics import UserSums, user_sums
from components.evaluate.model_scorer import ModelScorer
from components.evaluate.names import BIAS, GLOBAL_MEAN, POPULARITY
from components.evaluate.scoring import Scored, Scorer, score
from components.progress import log


@dataclass(frozen=True)
class Measured:
    """What came of it.

    Attributes:
      scored: scorer -> its answers for every held-out pair, of all that could be scored.
      sums: scorer -> its sums over each user's pairs.
      resampled: every metric under random weightings of the users.
      failures: scorer -> why it could not be scored.
    """

    scored: dict[str, Scored]
    sums: dict[str, UserSums]
    resampled: Resampled
    failures: dict[str, str] = field(default_factory=dict)

    def metrics(self) -> dict[str, dict[str, float]]:
        """scorer -> metric -> value."""
        return {name: sums.metrics() for name, sums in self.sums.items()}

    def intervals(self) -> dict[str, dict[str, Interval | None]]:
        """scorer -> metric -> its 95% interval."""
        return {
            scorer: {metric: self.resampled.interval(scorer, metric) for metric in sums.columns}
            for scorer, sums in self.sums.items()
        }


def measure(models: Mapping[str, Path], held_out: HeldOut, seed: int) -> Measured:
    """Scores `models` (name -> Model directory) and the baselines on `held_out`.

    A model that cannot be loaded or scored is a failure in the result and not an exception: it is the gate's
    to judge. Nothing is scored where there are no held-out rows.
    """
    from components.train.scoring import ScoringModel

    if len(held_out.movies) == 0:
        return Measured({}, {}, Resampled({}))
    scored: dict[str, Scored] = {}
    failures: dict[str, str] = {}
    for name, directory in models.items():
        try:
            scorer = ModelScorer(ScoringModel.load(directory), held_out.movie_ids)
            scored[name] = score(scorer, held_out, name)
        except MemoryError:
            raise
        except Exception as error:  # whatever a broken model does
            failures[name] = _one_line(error)
            log(f"the {name} cannot be scored: {failures[name]}")
    for name, baseline in _baselines(held_out).items():
        scored[name] = score(baseline(), held_out, name)
    sums = {name: user_sums(answers, held_out) for name, answers in scored.items()}
    return Measured(scored, sums, resample(sums, seed), failures)


def _baselines(held_out: HeldOut) -> dict[str, Callable[[], Scorer]]:
    known, movies = held_out.known, len(held_out.movie_ids)
    return {
        POPULARITY: lambda: Popularity(known, movies),
        GLOBAL_MEAN: lambda: GlobalMean(known),
        BIAS: lambda: Bias(known, movies),
    }


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
