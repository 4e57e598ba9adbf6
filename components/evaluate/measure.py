"""Scores challenger, champion and baselines on the same rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate.baselines import Bias, GlobalMean, Popularity
from components.evaluate.bootstrap import Resampled, resample_parts
from components.evaluate.ease import Ease
from components.evaluate.factors import Factors
from components.evaluate.gate import Measures
from components.evaluate.held_out import HeldOut
from components.evaluate.metrics import UserSums, user_sums
from components.evaluate.model_scorer import ModelScorer
from components.evaluate.names import BIAS, EASE, FACTORS, GLOBAL_MEAN, POPULARITY
from components.evaluate.scoring import Scored, Scorer, score
from components.evaluate.slices import slice_sums, slices
from components.progress import log

Array = npt.NDArray[Any]

_WHOLE = ""  # all rows, among the parts of them


@dataclass(frozen=True)
class Measured:
    """What came of it.

    Attributes:
      scored: scorer -> its answers for every held-out pair, of all that could be scored.
      sums: scorer -> its sums over each user's pairs.
      whole: the metrics on all held-out pairs.
      slices: the gate's metrics on parts of them, by the slice's name.
      failures: scorer -> why it could not be scored.
    """

    scored: dict[str, Scored]
    sums: dict[str, UserSums]
    whole: Measures
    slices: dict[str, Measures] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def measure(models: Mapping[str, Path], held_out: HeldOut, years: Array, seed: int) -> Measured:
    """Scores `models` (name -> Model directory) and the baselines on `held_out`.

    Args:
      years: int32 [M], the years of the movies, 0 where unknown.
      seed: decides the resampling of users.

    A model that cannot be loaded or scored is a failure in the result and not an exception: it is the gate's
    to judge. Nothing is scored where there are no held-out rows.
    """
    from components.train.scoring import ScoringModel

    if len(held_out.movies) == 0:
        return Measured({}, {}, Measures(0, 0, {}, Resampled({})))
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
    parts = {_WHOLE: sums}
    for part in slices(held_out, years):
        parts[part.name] = {
            name: slice_sums(answers, held_out, part.pairs) for name, answers in scored.items()
        }
    measures = _measures(parts, seed)
    return Measured(scored, sums, measures.pop(_WHOLE), measures, failures)


def _measures(parts: Mapping[str, Mapping[str, UserSums]], seed: int) -> dict[str, Measures]:
    resampled = resample_parts(parts, seed)
    measures = {}
    for part, sums in parts.items():
        rows = next(iter(sums.values())).rows
        metrics = {name: of_scorer.metrics() for name, of_scorer in sums.items()}
        measures[part] = Measures(int(rows.sum()), int(np.count_nonzero(rows)), metrics, resampled[part])
    return measures


def _baselines(held_out: HeldOut) -> dict[str, Callable[[], Scorer]]:
    known, movies = held_out.known, len(held_out.movie_ids)
    return {
        POPULARITY: lambda: Popularity(known, movies),
        GLOBAL_MEAN: lambda: GlobalMean(known),
        BIAS: lambda: Bias(known, movies),
        EASE: lambda: Ease(known, movies),
        FACTORS: lambda: Factors(known, movies),
    }


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
