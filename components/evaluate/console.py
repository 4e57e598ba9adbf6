"""Tables of a verdict for a terminal."""

from collections import Counter

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from components.display import figure, table
from components.evaluate.verdict import FAIL, PASS, SKIPPED, UNDECIDED, Rule, Values, Verdict
from components.metrics import BASELINES, Metric, measured_metrics

# Of each of these groups of rules only the failing ones are listed.
_GROUPS = {
    "data": "Rules about the data beside the champion's",
    "slices": "Rules about users and movies of a kind",
    "past champions": "Rules about the best of the champions before",
}
_MARKS = {
    PASS: "[green]✓[/green]",
    FAIL: "[red]✗[/red]",
    UNDECIDED: "[yellow]?[/yellow]",
    SKIPPED: "[dim]–[/dim]",
}


def verdict_tables(verdict: Verdict) -> list[RenderableType]:
    """Returns the metrics side by side, the rules and the conclusion."""
    passed = "bold yellow" if verdict.undecided else "bold green"
    conclusion = Text(verdict.reason, style=passed if verdict.blessed else "bold red")
    return [_metrics(verdict), _rules(verdict.rules), conclusion]


def _metrics(verdict: Verdict) -> Table:
    scorers = verdict.scorers
    columns = [BASELINES[name].column if name in BASELINES else name for name in scorers]
    metrics = measured_metrics(verdict.k)
    families = list(dict.fromkeys(metric.family for metric in metrics))
    rows = [
        (metric.short, *_cells(metric, list(scorers.values())))
        for metric in sorted(metrics, key=lambda one: (families.index(one.family), -one.k))
        if metric.short and any(metric.name in values for values in scorers.values())
    ]
    return table(_title(verdict), ("metric", *columns), rows, numbers=columns)


def _title(verdict: Verdict) -> str:
    users, in_all = verdict.test_users, verdict.test_users_in_all
    drawn = f" drawn from {in_all:,}" if in_all > users else ""
    return (
        f"{verdict.test_rows:,} test rows of {users:,} users{drawn}, ranked among {verdict.movies:,} movies; "
        f"the gate's lists hold {verdict.k}"
    )


def _cells(metric: Metric, columns: list[Values]) -> list[Text]:
    """Formats the values of one row; the best one stands out."""
    present = [value for values in columns if (value := values.get(metric.name)) is not None]
    best = metric.best(present)
    return [
        Text(
            figure(values[metric.name], missing="NaN") if metric.name in values else "",
            style="bold" if best is not None and values.get(metric.name) == best else "",
        )
        for values in columns
    ]


def _rules(rules: list[Rule]) -> Table:
    shown: Table = table("Rules", ("", "rule", "why"))
    for rule in rules:
        if not rule.group or rule.verdict == FAIL:
            style = "dim" if rule.verdict == SKIPPED else ""
            shown.add_row(_MARKS[rule.verdict], rule.name, Text(rule.why), style=style)
    for group, title in _GROUPS.items():
        outcomes = Counter(rule.verdict for rule in rules if rule.group == group)
        if outcomes:
            counts = f"{outcomes[PASS]} pass, {outcomes[FAIL]} fail, {outcomes[SKIPPED]} skipped."
            outcome = FAIL if outcomes[FAIL] else PASS if outcomes[PASS] else SKIPPED
            shown.add_row(_MARKS[outcome], group, f"{title}: {counts}")
    return shown
