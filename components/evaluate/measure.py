"""Scores challenger, champion and baselines on the same rows, and makes the Evaluation."""

import os
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, cast
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from components.documents import write_document
from components.errors import UserError
from components.evaluate.baselines import applicable
from components.evaluate.bootstrap import Resampled, UserSums, resample_parts
from components.evaluate.champion import NO_PAST, ChampionComparison, Opener, Overlap, PastComparison
from components.evaluate.details import DETAILS_FILE, Calibration, Details, calibration, details
from components.evaluate.diversity import Diversity
from components.evaluate.gate import Evidence, GateSettings, conclude, decide
from components.evaluate.held_out import HeldOut, Slice, slices
from components.evaluate.ranking import Answers
from components.evaluate.rules import finite_or_none
from components.evaluate.scoring import ModelScorer, count_non_finite_movies, score
from components.evaluate.user_sums import sums_of_part, user_sums, write_user_sums
from components.evaluate.verdict import (
    VERDICT_FILE,
    Gate,
    Interval,
    IntervalsByScorer,
    MeasuredMetrics,
    SliceMetrics,
    ValuesByScorer,
    Verdict,
)
from components.ingest.settings import STARS
from components.metrics import (
    BEST_CHAMPION,
    CALIBRATION_ERROR,
    CHALLENGER,
    CHAMPION,
    GATE_METRICS,
    RULE_METRICS,
)
from components.outputs import output_directory
from components.progress import log
from components.saved_models import ForeignOperationError
from components.vocabulary.data_summary import DataSummary
from components.vocabulary.vocabulary import Vocabulary

Array = npt.NDArray[Any]

_WHOLE = ""  # all rows, among the parts of them

CACHE_FILE = "baselines.npz"
# To be raised with every change in what a baseline answers.
_CACHE_VERSION = 4


@dataclass(frozen=True)
class Evaluation:
    """The artifact of `evaluate`: the verdict, its details, and the sums of each user behind it."""

    verdict: Verdict
    details: Details
    user_ids: Array
    sums: dict[str, UserSums]

    def write(self, output: str) -> None:
        """Writes the three files into the directory `output`."""
        with output_directory(output) as directory:
            write_document(directory / VERDICT_FILE, self.verdict)
            write_document(directory / DETAILS_FILE, self.details)
            write_user_sums(directory, self.user_ids, self.sums)


def evaluate_challenger(
    *,
    challenger: Opener,
    trained: DataSummary | None,
    comparison: ChampionComparison,
    past: PastComparison = NO_PAST,
    held_out: HeldOut,
    vocabulary: Vocabulary,
    settings: GateSettings,
    gate: str,
    seed: int,
    cache: Path | None = None,
    model_digest: str = "",
) -> Evaluation:
    """Measures challenger, champions and baselines on `held_out`, and applies the gate's rules.

    A model that cannot be loaded or scored is a failing rule and not an exception; one that holds a foreign
    operation raises `UserError`.

    Args:
      challenger: opens the model.
      trained: summarises the data that the challenger was trained on; None if that is not known.
      comparison: the champion, and the rows to compare on.
      past: the best of the champions before it.
      vocabulary: the users and movies of `held_out`.
      gate: "enforce", "report" or "strict".
      seed: decides the resampling of users.
      cache: the directory in which the baselines' answers are kept; None keeps them nowhere.
      model_digest: identifies the challenger in the verdict; "" for one that is not to be published.
    """
    models = {CHALLENGER: challenger, CHAMPION: comparison.opener, BEST_CHAMPION: past.opener}
    openers = {name: opener for name, opener in models.items() if opener is not None}
    answers, failures, non_finite = _score_all(openers, held_out, vocabulary, cache)
    sums = {name: user_sums(one, held_out) for name, one in answers.items()}
    answers.pop(BEST_CHAMPION, None)  # only its rules are of interest
    calibrations = {
        name: calibration(one.ratings, held_out) for name, one in answers.items() if one.ratings is not None
    }
    parts = _resample(answers, sums, held_out, vocabulary.years, comparison.part, seed)
    whole = _with_other_metrics(parts.pop(_WHOLE, Resampled()), answers, calibrations, held_out)
    mine = answers.get(CHALLENGER)
    evidence = Evidence(
        whole=whole,
        slices=parts,
        failures=failures,
        k=held_out.k,
        choices=held_out.choices,
        scale=held_out.rating_scale[1] - held_out.rating_scale[0],
        users=held_out.known.users,
        non_finite_users=non_finite.users,
        non_finite_movies=non_finite.movies,
        trained_on=_trained_on(trained, held_out),
        comparison=comparison,
        past=past,
        feedback=held_out.feedback,
    )
    rules = decide(evidence, settings)
    blessed, publish, reason = conclude(rules, gate, scored=mine is not None)
    shown = replace(
        whole, metrics={name: whole.metrics[name] for name in whole.metrics if name != BEST_CHAMPION}
    )
    metrics = _finite(shown.metrics)
    verdict = Verdict(
        blessed=blessed,
        publish=publish,
        reason=reason,
        gate=cast(Gate, gate),
        rules=rules,
        metrics=MeasuredMetrics(
            challenger=metrics.pop(CHALLENGER, {}), champion=metrics.pop(CHAMPION, None), baselines=metrics
        ),
        intervals=_intervals(shown),
        slices=[
            SliceMetrics(
                name=name,
                rows=part.rows,
                users=part.users,
                metrics=_finite(part.metrics),
                intervals=_intervals(part),
            )
            for name, part in parts.items()
        ],
        test_rows=len(held_out.pairs.movies),
        test_users=len(held_out.users),
        test_users_in_all=held_out.population,
        movies=len(held_out.movie_ids),
        k=held_out.k,
        champion=comparison.record,
        best_champion=past.record,
        fingerprint=held_out.fingerprint,
        split=held_out.split,
        feedback=held_out.feedback,
        model_digest=model_digest,
    )
    tables = details(answers, whole.metrics, calibrations, held_out, vocabulary)
    return Evaluation(verdict, tables, held_out.user_ids, sums)


class _NonFinite(NamedTuple):
    """Answers of the challenger that are no finite numbers."""

    users: int = 0  # users with such an answer
    movies: int = 0  # movies with such a vector or bias


def _score_all(
    models: Mapping[str, Opener], held_out: HeldOut, vocabulary: Vocabulary, cache: Path | None
) -> tuple[dict[str, Answers], dict[str, str], _NonFinite]:
    """Scores `models` and the baselines.

    Returns answers by scorer, why a model could not be scored, and what is not finite of the challenger.
    """
    answers: dict[str, Answers] = {}
    failures: dict[str, str] = {}
    non_finite = _NonFinite()
    if len(held_out.pairs.movies) == 0:
        return answers, failures, non_finite
    for name, open_model in models.items():
        try:
            model = open_model()
            scorer = ModelScorer(model, held_out.movie_ids, rates=held_out.feedback == STARS)
            answers[name] = found = score(scorer, held_out, name)
            if name == CHALLENGER:
                users = scorer.find_non_finite(held_out, vocabulary.user_ids)
                users[held_out.users[found.non_finite]] = True
                non_finite = _NonFinite(int(np.count_nonzero(users)), count_non_finite_movies(model))
        except MemoryError:
            raise
        except ForeignOperationError as error:
            leave_out = "; --ignore-champion leaves it out" if name == CHAMPION else ""
            raise UserError(f"the {name}: {error}{leave_out}") from error
        except Exception as error:  # whatever a broken model does
            text = " ".join(str(error).split())[:300]
            answers.pop(name, None)
            failures[name] = f"{type(error).__name__}: {text}" if text else type(error).__name__
            log(f"the {name} cannot be scored: {failures[name]}")
    return answers | _score_baselines(held_out, cache), failures, non_finite


def _resample(
    answers: Mapping[str, Answers],
    sums: Mapping[str, UserSums],
    held_out: HeldOut,
    years: Array,
    part: Slice | None,
    seed: int,
) -> dict[str, Resampled]:
    """Computes metrics and draws of all rows, of the usual slices, and of the slice `part`."""
    if not answers:
        return {}
    sums_by_part = {_WHOLE: sums}
    wanted = [(one, GATE_METRICS) for one in slices(held_out, years)]
    if part and part.pairs.any():
        wanted.append((part, RULE_METRICS))
    for one, metrics in wanted:
        sums_by_part[one.name] = {
            name: sums_of_part(of_scorer, held_out, one.pairs, metrics) for name, of_scorer in answers.items()
        }
    return resample_parts(sums_by_part, seed)


def _with_other_metrics(
    whole: Resampled,
    answers: Mapping[str, Answers],
    calibrations: Mapping[str, Calibration],
    held_out: HeldOut,
) -> Resampled:
    """Adds the metrics that are no sums over users: of calibration, and of lists."""
    metrics = {name: dict(values) for name, values in whole.metrics.items()}
    intervals: dict[str, dict[str, Interval]] = {name: {} for name in metrics}
    for name, found in calibrations.items():
        metrics[name][CALIBRATION_ERROR] = found.error
        if found.interval:
            intervals[name][CALIBRATION_ERROR] = found.interval
    diversity = Diversity(held_out.known, len(held_out.movie_ids))
    for name, one in answers.items():
        if one.lists is not None:
            of_lists, intervals_of_lists = diversity.measure(one.lists)
            metrics[name] |= of_lists
            intervals[name] |= intervals_of_lists
    return replace(whole, metrics=metrics, intervals=intervals)


def _trained_on(trained: DataSummary | None, held_out: HeldOut) -> int | None:
    """Counts the covered test rows that the challenger was trained on; None if none are covered."""
    overlap = Overlap.of(trained, held_out) if trained else None
    return overlap.trained if overlap and overlap.covered else None


def _finite(metrics: Mapping[str, Mapping[str, float]]) -> ValuesByScorer:
    return {
        scorer: {name: finite_or_none(value) for name, value in of_scorer.items()}
        for scorer, of_scorer in metrics.items()
    }


def _intervals(measured: Resampled) -> IntervalsByScorer:
    return {
        scorer: {metric: measured.interval(scorer, metric) for metric in values}
        for scorer, values in measured.metrics.items()
    }


def _score_baselines(held_out: HeldOut, cache: Path | None) -> dict[str, Answers]:
    """Returns the baselines' answers, computed or kept in the directory `cache`, if that can be written."""
    known, movies = held_out.known, len(held_out.movie_ids)
    fits = applicable(known, held_out.feedback == STARS)
    file, key = (cache / CACHE_FILE if cache else None), _cache_key(held_out)
    kept = _read_cache(file, key) if file else {}
    if kept.keys() == fits.keys():
        log(f"baselines as computed before, from {file}")
        return kept
    computed = {name: score(fit(known, movies), held_out, name) for name, fit in fits.items()}
    if file:
        with suppress(OSError):
            _write_cache(file, key, computed)
    return computed


def _cache_key(held_out: HeldOut) -> str:
    """Identifies the data and the version of the baselines."""
    known = held_out.known
    checksum = 0
    for array in (
        held_out.users, held_out.pairs.offsets, held_out.pairs.movies, held_out.pairs.ratings,
        known.offsets, known.movies, known.ratings,
    ):  # fmt: skip
        checksum = zlib.crc32(np.ascontiguousarray(array).data, checksum)
    sizes = f"{len(held_out.movie_ids)} {held_out.rating_scale} {len(known.movies)}"
    return f"{_CACHE_VERSION} {sizes} {checksum:08x}"


def _read_cache(file: Path, key: str) -> dict[str, Answers]:
    """Reads the answers kept under `key`; empty if there are none."""
    try:
        # A file that numpy opens itself stays open when it is no archive.
        with file.open("rb") as source, np.load(source) as arrays:
            if str(arrays["key"]) != key:
                return {}
            parts: dict[str, dict[str, Any]] = {}
            for name in arrays.files:
                scorer, separator, part = name.partition(".")
                if separator:
                    parts.setdefault(scorer, {})[part] = arrays[name]
    except (OSError, ValueError, KeyError, BadZipFile):
        return {}
    return {scorer: Answers(**of_scorer) for scorer, of_scorer in parts.items()}


def _write_cache(file: Path, key: str, computed: Mapping[str, Answers]) -> None:
    arrays: dict[str, Any] = {
        f"{scorer}.{part}": np.asarray(value)
        for scorer, answers in computed.items()
        for part, value in vars(answers).items()
        if value is not None
    }
    staging = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with staging.open("wb") as target:
            np.savez(target, key=np.asarray(key), **arrays)
        staging.replace(file)
    finally:
        staging.unlink(missing_ok=True)
