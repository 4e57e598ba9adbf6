"""Scores challenger, champion and baselines on the same rows, and derives the verdict."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate import baselines
from components.evaluate.baselines import Bias, GlobalMean, Popularity
from components.evaluate.bootstrap import Interval, Resampled, resample_parts
from components.evaluate.champion import Comparison, Overlap
from components.evaluate.details import DETAILS_FILE, Calibration, calibration, details
from components.evaluate.diversity import Diversity
from components.evaluate.gate import Evidence, GateSettings, Measures, decide
from components.evaluate.held_out import HeldOut
from components.evaluate.metrics import UserSums, user_sums, write_user_sums
from components.evaluate.names import (
    BIAS,
    CALIBRATION_ERROR,
    CHALLENGER,
    CHAMPION,
    EASE,
    FACTORS,
    GLOBAL_MEAN,
    ITEM_KNN,
    POPULARITY,
)
from components.evaluate.reference_models import MAX_MOVIES, Ease, Factors, ItemKnn
from components.evaluate.scoring import ModelScorer, Scored, Scorer, ScoringModel, score
from components.evaluate.slices import Slice, slice_sums, slices
from components.evaluate.verdict import (
    SCHEMA_VERSION,
    VERDICT_FILE,
    conclusion,
    encode_intervals,
    encode_metrics,
    encode_rules,
    encode_slices,
)
from components.outputs import write_json
from components.progress import log
from components.vocabulary.data_summary import DataSummary
from components.vocabulary.vocabulary import Vocabulary

Array = npt.NDArray[Any]

# What opens a model, or raises whatever a broken one does.
Opener = Callable[[], ScoringModel]

_WHOLE = ""  # all rows, among the parts of them


@dataclass(frozen=True)
class Measured:
    """What came of it.

    Attributes:
      scored: scorer -> its answers for every held-out pair, of all that could be scored.
      sums: scorer -> its sums over each user's pairs.
      whole: the metrics on all held-out pairs.
      slices: the gate's metrics on parts of them, by the slice's name.
      calibrations: scorer -> whether its predictions are right on average, of all that rate.
      failures: scorer -> why it could not be scored.
    """

    scored: dict[str, Scored]
    sums: dict[str, UserSums]
    whole: Measures
    slices: dict[str, Measures] = field(default_factory=dict)
    calibrations: dict[str, Calibration] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def measure(
    models: Mapping[str, Opener],
    held_out: HeldOut,
    years: Array,
    seed: int,
    parts: tuple[Slice, ...] = (),
    cache: Path | None = None,
) -> Measured:
    """Scores `models` (name -> what opens it) and the baselines on `held_out`.

    Args:
      years: int32 [M], the years of the movies, 0 where unknown.
      seed: decides the resampling of users.
      parts: slices beside the usual ones.
      cache: the directory in which the baselines' answers are kept; None keeps them nowhere.

    A model that cannot be loaded or scored is a failure in the result and not an exception: it is the gate's
    to judge. Nothing is scored where there are no held-out rows.
    """
    if len(held_out.pairs.movies) == 0:
        return Measured({}, {}, Measures(0, 0, {}, Resampled({})))
    scored: dict[str, Scored] = {}
    failures: dict[str, str] = {}
    for name, open_model in models.items():
        try:
            scored[name] = score(ModelScorer(open_model(), held_out.movie_ids), held_out, name)
        except MemoryError:
            raise
        except Exception as error:  # whatever a broken model does
            failures[name] = _one_line(error)
            log(f"the {name} cannot be scored: {failures[name]}")
    scored |= baselines.answers(cache, held_out, _baselines(held_out))
    sums = {name: user_sums(answers, held_out) for name, answers in scored.items()}
    sums_of_parts = {_WHOLE: sums}
    for part in (*slices(held_out, years), *(part for part in parts if part.pairs.any())):
        sums_of_parts[part.name] = {
            name: slice_sums(answers, held_out, part.pairs) for name, answers in scored.items()
        }
    measures = _measures(sums_of_parts, seed)
    calibrations = {
        name: calibration(answers.ratings, held_out)
        for name, answers in scored.items()
        if answers.ratings is not None
    }
    whole = _with_figures(measures.pop(_WHOLE), scored, calibrations, held_out)
    return Measured(scored, sums, whole, measures, calibrations, failures)


def _measures(parts: Mapping[str, Mapping[str, UserSums]], seed: int) -> dict[str, Measures]:
    resampled = resample_parts(parts, seed)
    measures = {}
    for part, sums in parts.items():
        rows = next(iter(sums.values())).rows
        metrics = {name: of_scorer.metrics() for name, of_scorer in sums.items()}
        measures[part] = Measures(int(rows.sum()), int(np.count_nonzero(rows)), metrics, resampled[part])
    return measures


def _with_figures(
    whole: Measures,
    scored: Mapping[str, Scored],
    calibrations: Mapping[str, Calibration],
    held_out: HeldOut,
) -> Measures:
    """Adds the metrics that are no sums over users: of calibration, and of lists."""
    metrics = {name: dict(values) for name, values in whole.metrics.items()}
    intervals: dict[str, dict[str, Interval]] = {name: {} for name in metrics}
    for name, found in calibrations.items():
        metrics[name][CALIBRATION_ERROR] = found.error
        if found.interval:
            intervals[name][CALIBRATION_ERROR] = found.interval
    diversity = Diversity(held_out.known, len(held_out.movie_ids))
    for name, answers in scored.items():
        if answers.lists is not None:
            metrics[name] |= diversity.measure(answers.lists)
            intervals[name] |= diversity.intervals(answers.lists)
    return Measures(whole.rows, whole.users, metrics, whole.resampled, intervals)


def _baselines(held_out: HeldOut) -> dict[str, baselines.Answer]:
    known, movies = held_out.known, len(held_out.movie_ids)
    rated = np.count_nonzero(np.bincount(known.movies, minlength=movies))
    fits: dict[str, Callable[[], Scorer]] = {
        POPULARITY: lambda: Popularity(known, movies),
        GLOBAL_MEAN: lambda: GlobalMean(known),
        BIAS: lambda: Bias(known, movies),
    }
    if rated <= MAX_MOVIES:
        fits[EASE] = lambda: Ease(known, movies)
    else:
        fits[ITEM_KNN] = lambda: ItemKnn(known, movies)
    fits[FACTORS] = lambda: Factors(known, movies)
    return {name: partial(_answer, name, fit, held_out) for name, fit in fits.items()}


def _answer(name: str, fit: Callable[[], Scorer], held_out: HeldOut) -> Scored:
    return score(fit(), held_out, name)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


@dataclass(frozen=True)
class Case:
    """What is to be judged.

    Attributes:
      challenger: opens the model.
      trained: what the challenger says that it was trained on; None if it does not.
      champion: opens the other one; None if there is none.
      comparison: whether and on which rows they can be compared.
      held_out, names: the rows to measure on, and whom and what they are about.
      facts: what the verdict says of the champion and the data: champion, fingerprint and split.
    """

    challenger: Opener
    trained: DataSummary | None
    champion: Opener | None
    comparison: Comparison
    held_out: HeldOut
    names: Vocabulary
    facts: dict[str, Any]


@dataclass(frozen=True)
class Judgement:
    """A verdict, as it stands in verdict.json, and what was measured for it."""

    verdict: dict[str, Any]
    measured: Measured
    case: Case

    def write(self, directory: Path) -> None:
        """Writes the files of an Evaluation."""
        measured, held_out = self.measured, self.case.held_out
        tables = details(
            measured.scored, measured.whole.metrics, measured.calibrations, held_out, self.case.names
        )
        write_json(directory / VERDICT_FILE, self.verdict)
        write_json(directory / DETAILS_FILE, tables)
        write_user_sums(directory, held_out.user_ids, measured.sums)


def judge(case: Case, settings: GateSettings, gate: str, seed: int, cache: Path | None = None) -> Judgement:
    """Measures both models and the baselines, and holds the challenger to the rules.

    Args:
      gate: "enforce" or "report".
      seed: decides the resampling of users.
      cache: the directory in which the baselines' answers are kept; None keeps them nowhere.
    """
    models = {CHALLENGER: case.challenger}
    part = case.comparison.part
    if case.champion is not None and not case.comparison.absence:
        models[CHAMPION] = case.champion
    measured = measure(models, case.held_out, case.names.years, seed, (part,) if part else (), cache)
    rules = decide(_evidence(measured, case), settings)
    verdict = {
        "schema_version": SCHEMA_VERSION,
        **conclusion(rules, gate, scored=CHALLENGER in measured.scored),
        "rules": encode_rules(rules),
        "metrics": encode_metrics(measured.whole.metrics, CHALLENGER),
        "intervals": encode_intervals(measured.whole),
        "slices": encode_slices(measured.slices),
        "test_rows": len(case.held_out.pairs.movies),
        "test_users": len(case.held_out.users),
        "test_users_in_all": case.held_out.population,
        "movies": len(case.held_out.movie_ids),
        **case.facts,
    }
    return Judgement(verdict, measured, case)


def _evidence(measured: Measured, case: Case) -> Evidence:
    challenger, comparison = measured.scored.get(CHALLENGER), case.comparison
    part = comparison.part
    return Evidence(
        whole=measured.whole,
        slices=measured.slices,
        failure=measured.failures.get(CHALLENGER, ""),
        non_finite_users=challenger.non_finite_users if challenger else 0,
        trained_on=_trained_on(case),
        champion_failure=measured.failures.get(CHAMPION, ""),
        no_champion=comparison.absence,
        champion_part=part.name if part else "",
        data=comparison.data,
        no_data=comparison.no_data,
    )


def _trained_on(case: Case) -> int | None:
    """On how many test rows the challenger was trained, of those that can be told; None if none can."""
    if case.trained is None:
        return None
    overlap = Overlap.of(case.trained, case.held_out)
    return overlap.trained if overlap.told else None
