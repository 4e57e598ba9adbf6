"""The step `evaluate`: measures a model beside champion and baselines, and decides whether it may go live."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from components.errors import UserError
from components.evaluate.champion import SAVED_MODEL, Champion, comparison
from components.evaluate.gate import GATES, GateSettings
from components.evaluate.held_out import HeldOut
from components.evaluate.measure import Case, Measured, judge
from components.evaluate.names import CHALLENGER
from components.evaluate.rules import finite_or_none
from components.evaluate.scoring import ScoringModel
from components.outputs import output_directory, write_json
from components.progress import log
from components.step import step
from components.vocabulary.data_summary import DataSummary
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
    settings = gate_settings(gate, min_top_100_accuracy, max_rmse)
    if not (Path(model) / SAVED_MODEL).is_dir():
        raise UserError(
            f"--model {model} is no Model: it has no {SAVED_MODEL}/; make one with `twotower train`"
        )
    data, names = _load(interactions, vocabulary)
    held_out, served = HeldOut.test_of(data, names), Champion.load(champion)
    case = Case(
        challenger=partial(open_model, Path(model)),
        trained=DataSummary.load(Path(model)),
        champion=partial(open_model, served.model) if served.model else None,
        comparison=comparison(served, held_out, names, data.split_settings, ignore_champion),
        held_out=held_out,
        names=names,
        facts={
            "champion": served.as_json(),
            "fingerprint": data.fingerprint,
            "split": data.split_settings,
        },
    )
    judgement = judge(case, settings, gate, seed, cache=Path(interactions))
    with output_directory(output) as directory:
        judgement.write(directory)
    verdict = judgement.verdict
    _log_metrics(judgement.measured, metrics_path, metrics_metadata)
    log(verdict["reason"])
    return EvaluateSummary(verdict["blessed"], verdict["publish"], verdict["reason"])


def open_model(directory: Path) -> ScoringModel:
    """The scoring model of a Model directory."""
    from components.train import scoring

    return scoring.ScoringModel.load(directory)


def gate_settings(gate: str, min_top_100_accuracy: float, max_rmse: float) -> GateSettings:
    """The bounds of the gate, from flags. Raises `UserError` if one is out of range."""
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
