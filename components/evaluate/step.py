"""The step `evaluate` and its subcommand: measurement beside champion and baselines, and the decision."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import click

from components.command import setting_flags, subcommand
from components.declaration import Choice, NamedNumbers, Range, join_names
from components.errors import UserError
from components.ingest.settings import INGEST_SETTINGS, ReadOptions
from components.metrics import RULE_METRICS
from components.outputs import write_json
from components.progress import log
from components.step import step
from components.vocabulary.conditions import Rules
from components.vocabulary.rule_options import rule_options

if TYPE_CHECKING:
    from components.evaluate.gate import GateSettings
    from components.evaluate.measure import Evaluation
    from components.evaluate.serving_rules import RulesReport
    from components.evaluate.verdict import Verdict
    from components.vocabulary.attributes import Attributes


_MARGINS = NamedNumbers(*(metric.rule for metric in RULE_METRICS))


class EvaluateSummary(NamedTuple):
    """The decision.

    Attributes:
      blessed: Whether no rule of the gate failed.
      publish: Whether the model is to be published: it is blessed, or the gate only reports.
      reason: One sentence.
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
    gate: Annotated[str, Choice("enforce", "report", "strict")] = "enforce",
    min_top_100_accuracy: Annotated[float, Range(0, 1)] = 0.0,
    max_rmse: Annotated[float, Range(0)] = 0.0,
    champion_margin: Annotated[str, _MARGINS] = "",
    ignore_champion: bool = False,
    seed: int = 42,
    metrics_path: str = "",
    metrics_metadata: dict[str, Any] | None = None,
) -> EvaluateSummary:
    """Measures a model beside the champion and baselines, and decides whether it may go live.

    A bad model is a verdict and not an error: one that cannot even be loaded is refused like any other.

    Args:
      model: Model that `train` wrote: the challenger.
      interactions: Interactions that `vocabulary` wrote; their test split is what is measured on.
      vocabulary: Vocabulary of the same run.
      output: Evaluation: the directory to write, with verdict.json and the sums of each user.
      champion: Output of `champion`, or any Model to compare with; "" for none.
      gate: "enforce" publishes only what no rule fails; "strict" also refuses what the test rows are too few
        to decide; "report" publishes and records the verdict.
      min_top_100_accuracy: Least top-k accuracy among unseen movies; k is 100, or a tenth of the rated movies
        if there are fewer than 1,000. 0 sets no bound.
      max_rmse: Greatest root mean squared error, in stars; 0 sets no bound.
      champion_margin: How much worse than the champion's each metric may be for certain, in the form
        top_100=0.01,ndcg_10=0.01,rmse=0.01; "" for these values (rmse: a 400th of the rating scale's width).
      ignore_champion: Leaves the champion out, for one that can no longer be loaded or scored.
      seed: Decides the resampling of users behind the intervals.
      metrics_path: JSON file to write the challenger's metrics to; "" for none.
      metrics_metadata: Takes the same metrics, for KFP.

    Raises:
      UserError: if an argument is out of range, or a directory does not hold what it should.
    """
    from components.evaluate.champion import Champion, PastComparison, comparison, open_model
    from components.evaluate.held_out import HeldOut
    from components.evaluate.measure import evaluate_challenger
    from components.saved_models import SAVED_MODEL
    from components.train.artifact import model_digest
    from components.vocabulary.data_summary import DataSummary
    from components.vocabulary.vocabulary import load_encoded

    settings = _settings(gate, min_top_100_accuracy, max_rmse, champion_margin)
    if not (Path(model) / SAVED_MODEL).is_dir():
        raise UserError(
            f"--model {model} is no Model: it has no {SAVED_MODEL}/; make one with `twotower train`"
        )
    digest = model_digest(model)
    data, names = load_encoded(interactions, vocabulary)
    held_out, served = HeldOut.test_of(data, names), Champion.load(champion)
    evaluation = evaluate_challenger(
        challenger=partial(open_model, Path(model)),
        trained=DataSummary.load(Path(model)),
        comparison=comparison(served, held_out, names, ignore_champion),
        past=PastComparison.of(served, held_out, ignore_champion),
        held_out=held_out,
        vocabulary=names,
        settings=settings,
        gate=gate,
        seed=seed,
        cache=Path(interactions),
        model_digest=digest,
    )
    evaluation.write(output)
    verdict = evaluation.verdict
    _log_metrics(verdict, metrics_path, metrics_metadata)
    log(verdict.reason)
    return EvaluateSummary(verdict.blessed, verdict.publish, verdict.reason)


def _settings(gate: str, min_top_100_accuracy: float, max_rmse: float, margins: str) -> "GateSettings":
    from components.evaluate.gate import GateSettings
    from components.evaluate.verdict import STRICT

    return GateSettings(
        min_top_100_accuracy=min_top_100_accuracy,
        max_rmse=max_rmse,
        margins=_MARGINS.read(margins) or {},
        strict=gate == STRICT,
    )


def _log_metrics(verdict: "Verdict", path: str, metadata: dict[str, Any] | None) -> None:
    """Hands the challenger's metrics to KFP, which takes finite floats only."""
    finite = {name: value for name, value in verdict.metrics.challenger.items() if value is not None}
    if metadata is not None:
        metadata.update(finite)
    if path:
        # KFP's local cache takes a step for unfinished if there is no file behind an artifact.
        write_json(path, finite)


_OF_A_MODEL = ("model", "interactions", "vocabulary", "output")


@subcommand(evaluate, defaults=dict.fromkeys(_OF_A_MODEL, ""))
@click.option(
    "--index",
    default="",
    help="In place of --model, --champion, --interactions and --vocabulary, an exported index as the "
    "challenger: its directory, a version of --registry, or `champion`. --output may be left out then.",
)
@click.option(
    "--against", default="", help="Another index to compare it with, named likewise; none by default."
)
@click.option(
    "--ratings",
    multiple=True,
    callback=lambda _, __, names: join_names(names),
    help="Held-out ratings to measure indexes on, a file or several; by default, their test rows.",
)
@click.option(
    "--columns", default="", help="Columns of these ratings in another layout: user=…,movie=…,rating=…."
)
@click.option(
    "--forget",
    multiple=True,
    callback=lambda _, __, names: join_names(names),
    help="Users whose ratings in these files are left out: a text file with one id a line.",
)
@click.option("--registry", default="registry", help="With --index, the registry of the versions.")
@setting_flags(ReadOptions, INGEST_SETTINGS)
@rule_options
def evaluate_command(rules: Rules, **inputs: Any) -> None:
    """Measures a model beside the champion and baselines, and decides whether it may go live.

    As a step of the pipeline it takes --model, --champion, --interactions, --vocabulary and --output. Any two
    exported indexes are compared with --index A --against B, on rows that neither was trained on.
    With --where, --boost, --diversity or --popularity-discount a table says what these rules of serving cost
    the model on the held-out rows; the verdict is about the model without them.
    """
    from rich.console import Console

    from components.evaluate.console import verdict_tables
    from components.evaluate.serving_rules import rules_table
    from components.evaluate.verdict import load_verdict

    of_ratings = ("ratings", "columns", "forget", INGEST_SETTINGS)
    of_indexes = {name: inputs.pop(name) for name in ("index", "against", "registry", *of_ratings)}
    if of_indexes["index"]:
        evaluation, report = _evaluate_indexes(of_indexes, inputs, rules)
        verdict = evaluation.verdict
    else:
        report = _evaluate_model(of_indexes, inputs, rules)
        verdict = load_verdict(inputs["output"])
    Console().print(*verdict_tables(verdict), *([rules_table(report)] if report else []), sep="\n")


def _evaluate_model(of_indexes: dict[str, Any], inputs: dict[str, Any], rules: Rules) -> "RulesReport | None":
    missing = [f"--{name}" for name in _OF_A_MODEL if not inputs[name]]
    if missing:
        raise UserError(
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing; name what to measure by "
            "--model, --interactions, --vocabulary and --output, or by --index and --against"
        )
    others = ("against", "ratings", "columns", "forget")
    _refuse_together("--model", [name for name in others if of_indexes[name]])
    if not rules.any:
        evaluate(**inputs)
        return None
    from components.evaluate.held_out import HeldOut
    from components.evaluate.serving_rules import measure_rules
    from components.vocabulary.attributes import Attributes
    from components.vocabulary.vocabulary import load_attributes, load_encoded

    data, names = load_encoded(inputs["interactions"], inputs["vocabulary"])
    attributes = Attributes.of(names, load_attributes(inputs["vocabulary"]))
    _check(rules, attributes)
    evaluate(**inputs)
    from components.train.scoring import ScoringModel

    scoring = ScoringModel.load(inputs["model"])
    return measure_rules(scoring, HeldOut.test_of(data, names), attributes, rules)


def _check(rules: Rules, attributes: "Attributes") -> None:
    rules.check(attributes.columns)
    for line in rules.warnings(attributes.texts):
        log(f"warning: {line}")


def _evaluate_indexes(
    of_indexes: dict[str, Any], inputs: dict[str, Any], rules: Rules
) -> "tuple[Evaluation, RulesReport | None]":
    from components.evaluate.indexes import compare_indexes
    from components.evaluate.measure import evaluate_challenger
    from components.evaluate.serving_rules import measure_rules

    others = ("model", "champion", "interactions", "vocabulary", "ignore_champion", "metrics_path")
    _refuse_together("--index", [name for name in others if inputs[name]])
    if of_indexes["forget"] and not of_indexes["ratings"]:
        raise UserError("--forget leaves users out of the files of --ratings; name these, or leave it out")
    bounds = (inputs[name] for name in ("min_top_100_accuracy", "max_rmse", "champion_margin"))
    settings = _settings(inputs["gate"], *bounds)
    compared = compare_indexes(**of_indexes, rules=rules)._asdict()
    index = compared.pop("indexed")
    evaluation = evaluate_challenger(**compared, settings=settings, gate=inputs["gate"], seed=inputs["seed"])
    if inputs["output"]:
        evaluation.write(inputs["output"])
    if not rules.any:
        return evaluation, None
    held_out = compared["held_out"]
    attributes = index.attributes(held_out.movie_ids)
    _check(rules, attributes)
    return evaluation, measure_rules(index.scoring, held_out, attributes, rules)


def _refuse_together(flag: str, others: list[str]) -> None:
    if others:
        other = f"--{others[0].replace('_', '-')}"
        raise UserError(f"{flag} and {other} do not go together; leave one of them out")
