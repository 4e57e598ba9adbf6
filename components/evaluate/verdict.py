"""The verdict document: what `evaluate` measured and decided. docs/verdict.md describes it."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from components.documents import Document, read_document
from components.ingest.dataset import SplitSettings
from components.ingest.settings import STARS, Feedback
from components.metrics import BEST_CHAMPION, CHALLENGER, CHAMPION, GATE_METRICS, Metric, at_k, metric_of

VERDICT_FILE = "verdict.json"

Gate = Literal["enforce", "report", "strict"]
REPORT: Gate = "report"
STRICT: Gate = "strict"
Comparison = Literal[">=", "<=", ""]
Outcome = Literal["pass", "fail", "undecided", "skipped"]
PASS: Outcome = "pass"
FAIL: Outcome = "fail"
UNDECIDED: Outcome = "undecided"  # passes with a warning: the test rows are too few to tell
SKIPPED: Outcome = "skipped"

Count = Annotated[int, Meta(ge=0)]
Interval = tuple[float, float]
# Metric -> value, None where it is not finite; and the same by scorer.
Values = dict[str, float | None]
ValuesByScorer = dict[str, Values]
IntervalsByScorer = dict[str, dict[str, Interval | None]]


class Rule(Document):
    """One rule of the gate with its outcome."""

    name: Annotated[str, Meta(pattern="^[a-z0-9_]+$")]  # stable, for programs
    model: Literal["challenger"] = "challenger"  # the model that the rule is about
    metric: str = ""  # what was measured; "" if the rule is about none
    comparison: Comparison = ""  # what `value` has to be to `bound`; "" if the rule is about no number
    value: float | None = None  # measured of the challenger; None if it could not be, or is not finite
    bound: float | None = None  # the number set, or the measured value of `against`
    verdict: Outcome
    why: Annotated[str, Meta(min_length=1)]  # one sentence for people
    against: str = ""  # the scorer that the challenger is compared with, or ""
    difference: float | None = None  # value - bound, where there is an `against`
    margin: float | None = None  # how much worse than `bound` it may be for certain; None if there is none
    # The 95% interval of the difference if there is an `against`, else of the value.
    interval: Interval | None = None

    @property
    def slice(self) -> str:
        """The slice of the test rows that it is about; "" for all of them."""
        return self.name.partition(f"_vs_{self.against}_")[2] if self.against else ""

    @property
    def group(self) -> Literal["data", "slices", "past champions", ""]:
        """The group of many rules that it belongs to; "" for a rule that stands for itself."""
        if self.name.startswith("data_"):
            return "data"
        if self.against == BEST_CHAMPION:
            return "past champions"
        return "slices" if f"_vs_{CHAMPION}_" in self.name else ""


class MeasuredMetrics(Document):
    """The metrics of every scorer; `champion` is None if it was not scored."""

    challenger: Values
    champion: Values | None
    baselines: ValuesByScorer


class SliceMetrics(Document):
    """The gate's metrics on a part of the test rows."""

    name: str
    rows: Annotated[int, Meta(ge=1)]
    users: Annotated[int, Meta(ge=1)]
    metrics: ValuesByScorer
    intervals: IntervalsByScorer


class ComparedChampion(Document):
    """The champion that the challenger was compared with."""

    exists: bool
    version: str = ""  # its id; "" if there is none, or it has no name
    sequence: Count = 0  # its place in the champion log; 0 for none
    ignored: str = ""  # why it was left out, if `ignore_champion` was given


class Verdict(Document):
    """The whole document; docs/verdict.md explains the fields."""

    _written_by = "twotower evaluate"

    schema_version: Literal[1] = 1
    blessed: bool
    publish: bool
    gate: Gate
    reason: Annotated[str, Meta(min_length=1)]
    rules: Annotated[list[Rule], Meta(min_length=1)]
    metrics: MeasuredMetrics
    intervals: IntervalsByScorer
    slices: list[SliceMetrics]
    test_rows: Count
    test_users: Count
    test_users_in_all: Count = 0
    movies: Count
    k: Annotated[int, Meta(ge=1)] = 100  # the length of the lists that the gate measures retrieval by
    champion: ComparedChampion
    # The best of the ten champions before it, if that is ahead of it.
    best_champion: ComparedChampion = ComparedChampion(exists=False)
    fingerprint: str
    split: SplitSettings
    feedback: Feedback = STARS  # of the test rows; with "implicit" there are no metrics in stars
    # Of the challenger's SavedModel; "" in the verdicts of earlier versions, and on an index.
    model_digest: str = ""

    def __post_init__(self) -> None:
        """Refuses a conclusion that is not that of rules and gate."""
        if self.blessed == bool(self.failing):
            raise ValueError(f"blessed is {self.blessed}, and {len(self.failing)} rules fail")
        scored = bool(self.metrics.challenger)
        if self.publish != (self.blessed or (self.gate == REPORT and scored)):
            raise ValueError(
                f"publish is {self.publish}, and blessed is {self.blessed}, by the gate {self.gate} on a "
                f"challenger that was {'' if scored else 'not '}scored"
            )

    @property
    def verb(self) -> str:
        """Verb for what users do with a movie."""
        return "rate" if self.feedback == STARS else "watch"

    @property
    def failing(self) -> list[Rule]:
        """The rules that fail, in the order in which they explain a refusal."""
        return [rule for rule in self.rules if rule.verdict == FAIL]

    @property
    def undecided(self) -> list[Rule]:
        """The rules that pass with a warning: the test rows are too few to tell."""
        return [rule for rule in self.rules if rule.verdict == UNDECIDED]

    @property
    def gate_metrics(self) -> tuple[Metric, ...]:
        """The metrics that stand first and that slices are measured in, retrieval at `k`."""
        return tuple(
            metric_of(at_k(metric.name, self.k))
            for metric in GATE_METRICS
            if self.feedback == STARS or not metric.in_stars
        )

    @property
    def scorers(self) -> ValuesByScorer:
        """Scorer -> its metrics, the challenger first."""
        champion = {} if self.metrics.champion is None else {CHAMPION: self.metrics.champion}
        return {CHALLENGER: self.metrics.challenger, **champion, **self.metrics.baselines}

    def interval(self, scorer: str, metric: str) -> Interval | None:
        """Returns the 95% interval of a scorer's metric; None if it has none."""
        return self.intervals.get(scorer, {}).get(metric)


def load_verdict(evaluation_dir: str | Path) -> Verdict:
    """Reads the verdict of an Evaluation. Raises `UserError` if there is none that this version can read."""
    return read_document(Path(evaluation_dir) / VERDICT_FILE, Verdict)
