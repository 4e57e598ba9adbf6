"""The step `evaluate`: measures a model beside champion and baselines, and decides whether it may go live."""

from pathlib import Path
from typing import Any, NamedTuple

from components.errors import UserError
from components.evaluate.champion import SAVED_MODEL, Champion, split_of
from components.evaluate.details import DETAILS_FILE, details
from components.evaluate.gate import GATES, Evidence, GateSettings, decide
from components.evaluate.held_out import HeldOut
from components.evaluate.measure import Measured, measure
from components.evaluate.names import CHALLENGER, CHAMPION
from components.evaluate.rules import finite_or_none, split_mismatch
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
from components.outputs import output_directory, write_json
from components.progress import log
from components.step import step
from components.vocabulary.interactions import Interactions
from components.vocabulary.vocabulary import Vocabulary


class EvaluateSummary(NamedTuple):
    """What was decided.

    Attributes:
      blessed: whether no rule of the gate failed.
      publish: whether the model is to be published: it is blessed, or the gate only reports.
      reason: one sentence.
    """

    blessed: bool
    publish: bool
    reason: str


@step
def evaluate(
    *,
    model: str,
    interactions: str,
    vocabulary: str,
    output: str,
    champion: str = "",
    gate: str = "enforce",
    min_top_100_accuracy: float = 0.0,
    max_rmse: float = 0.0,
    ignore_champion: bool = False,
    seed: int = 42,
    metrics_path: str = "",
    metrics_metadata: dict[str, Any] | None = None,
) -> EvaluateSummary:
    """Writes an Evaluation of `model` to `output`: verdict.json (docs/verdict.md) and the sums of each user.

    A bad model is a verdict and not an error: one that cannot even be loaded is refused like any other.

    Args:
      model: a Model directory, the challenger.
      interactions, vocabulary: the data, as `vocabulary` wrote them; the test split is what is measured on.
      output: the directory to write.
      champion: what `champion` wrote, or a Model directory; "" if there is nothing to compare with.
      gate: "enforce" publishes only what passes every rule; "report" publishes and records the verdict.
      min_top_100_accuracy: least top-100 accuracy among unseen movies, 0 to 1; 0 sets no bound.
      max_rmse: greatest root mean squared error, in stars; 0 sets no bound.
      ignore_champion: leaves the champion out, for one that can no longer be scored.
      seed: decides the resampling of users behind the intervals.
      metrics_path: a file to write the challenger's metrics to, for KFP; "" for none.
      metrics_metadata: takes the same metrics, for KFP.

    Raises:
      UserError: if an argument is out of range, or a directory does not hold what it should.
    """
    settings = _settings(gate, min_top_100_accuracy, max_rmse)
    if not (Path(model) / SAVED_MODEL).is_dir():
        raise UserError(
            f"--model {model} is no Model: it has no {SAVED_MODEL}/; make one with `twotower train`"
        )
    data, numbering = _load(interactions, vocabulary)
    held_out = HeldOut.test_of(data, numbering)
    served = Champion.load(champion)
    no_champion = _no_champion(served, data, ignore_champion)
    models = {CHALLENGER: Path(model)}
    if served.model is not None and not no_champion:
        models[CHAMPION] = served.model

    measured = measure(models, held_out, numbering.years, seed)
    rules = decide(_evidence(measured, no_champion), settings)
    verdict = {
        "schema_version": SCHEMA_VERSION,
        **conclusion(rules, gate, scored=CHALLENGER in measured.scored),
        "rules": encode_rules(rules),
        "metrics": encode_metrics(measured.whole.metrics, CHALLENGER),
        "intervals": encode_intervals(measured.whole),
        "slices": encode_slices(measured.slices),
        "champion": served.as_json(),
        "test_rows": len(held_out.movies),
        "test_users": len(held_out.users),
        "movies": data.movies,
        "fingerprint": data.fingerprint,
        "split": data.split_settings,
    }
    with output_directory(output) as directory:
        write_json(directory / VERDICT_FILE, verdict)
        write_json(directory / DETAILS_FILE, details(measured.scored, held_out, numbering))
        write_user_sums(directory, held_out.user_ids, measured.sums)
    _log_metrics(measured, metrics_path, metrics_metadata)
    log(verdict["reason"])
    return EvaluateSummary(verdict["blessed"], verdict["publish"], verdict["reason"])


def _settings(gate: str, min_top_100_accuracy: float, max_rmse: float) -> GateSettings:
    if gate not in GATES:
        raise UserError(f"--gate {gate} is unknown; choose one of {', '.join(GATES)}")
    if not 0 <= min_top_100_accuracy <= 1:
        raise UserError(
            f"--min-top-100-accuracy {min_top_100_accuracy} is not a share; give 0 (no bound) to 1"
        )
    if not 0 <= max_rmse < float("inf"):
        raise UserError(f"--max-rmse {max_rmse} is no bound in stars; give 0 (no bound) or more")
    return GateSettings(min_top_100_accuracy=min_top_100_accuracy, max_rmse=max_rmse)


def _load(interactions: str, vocabulary: str) -> tuple[Interactions, Vocabulary]:
    data, numbering = Interactions.load(interactions), Vocabulary.load(vocabulary)
    if (data.users, data.movies) != (len(numbering.user_ids), len(numbering.movie_ids)):
        raise UserError(
            f"--interactions {interactions} and --vocabulary {vocabulary} are not of one data set; "
            "name the two outputs of one `twotower vocabulary`"
        )
    return data, numbering


def _no_champion(served: Champion, data: Interactions, ignored: bool) -> str:
    """Why the champion is left out, or ""."""
    if served.model is None:
        return "There is no champion yet."
    if ignored:
        return "The champion was left out, as asked."
    return split_mismatch(split_of(served.model), data.split_settings)


def _evidence(measured: Measured, no_champion: str) -> Evidence:
    challenger = measured.scored.get(CHALLENGER)
    return Evidence(
        whole=measured.whole,
        slices=measured.slices,
        failure=measured.failures.get(CHALLENGER, ""),
        non_finite_users=challenger.non_finite_users if challenger else 0,
        champion_failure=measured.failures.get(CHAMPION, ""),
        no_champion=no_champion,
    )


def _log_metrics(measured: Measured, path: str, metadata: dict[str, Any] | None) -> None:
    """Hands the challenger's metrics to KFP, which takes finite floats of Python's own only."""
    of_challenger = measured.whole.metrics.get(CHALLENGER, {})
    finite = {
        name: float(value) for name, value in of_challenger.items() if finite_or_none(value) is not None
    }
    if metadata is not None:
        metadata.update(finite)
    if path:
        # KFP's local cache takes a step for unfinished if there is no file behind an artifact.
        write_json(path, finite)
