"""From two models and held-out rows to a verdict: what the step and the comparison of indexes share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.evaluate.champion import Comparison
from components.evaluate.data_checks import Overlap
from components.evaluate.details import DETAILS_FILE, details
from components.evaluate.gate import Evidence, GateSettings, decide
from components.evaluate.held_out import HeldOut
from components.evaluate.measure import Measured, Opener, measure
from components.evaluate.names import CHALLENGER, CHAMPION
from components.evaluate.tables import write_user_sums
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
from components.vocabulary.data_summary import DataSummary
from components.vocabulary.vocabulary import Vocabulary


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
        "test_rows": len(case.held_out.movies),
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
