"""Tables of runs, versions and comparisons for a terminal."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from components.display import figure, setting, table
from components.errors import UserError
from components.registry.champion_log import ChampionEntry
from components.registry.comparison import CHANCE, Comparison, Difference
from components.registry.lookup import VersionSummary
from components.registry.registry import Registry
from components.registry.run_records import FAILED, PUBLISHED, REFUSED, SUPERSEDED, RunRecord


def summary_tables(summary: VersionSummary) -> list[RenderableType]:
    """The version's facts, its metrics beside those it was compared with, and the rules of its gate."""
    tables: list[RenderableType] = [_facts(summary), _metrics(summary)]
    if summary.verdict.get("rules"):
        tables.append(_rules(summary.verdict["rules"]))
    return tables


def _facts(summary: VersionSummary) -> Table:
    manifest = summary.manifest
    files = manifest.part("").values()
    facts = {
        "served": _served(summary),
        **{f"number {entry.sequence}": _event(entry) for entry in summary.places},
        **({"replaced": _replaced(summary.replaced_by)} if summary.replaced_by else {}),
        "had to beat": summary.compared_with or "nobody that is known",
        "gate": "passed" if manifest.verdict.blessed else "not passed",
        "because": manifest.verdict.reason,
        "run": manifest.run_id,
        "created": manifest.created.isoformat(),
        "data": manifest.fingerprint,
        "settings": ", ".join(_settings(manifest.settings)) or "unknown",
        "files": f"{len(files)}, {sum(file.size for file in files) / 1e6:,.1f} MB",
    }
    facts_table = table(
        f"version {manifest.version}", ("", ""), [(name, str(fact)) for name, fact in facts.items()]
    )
    facts_table.show_header = False
    return facts_table


def _served(summary: VersionSummary) -> str:
    if summary.served_now:
        return "now"
    return "no longer" if summary.places else "never"


def _event(entry: ChampionEntry) -> str:
    instead = f" in the place of {entry.previous}" if entry.previous else ""
    reason = f": {entry.reason}" if entry.reason else ""
    return f"{entry.why} {entry.time.isoformat()}{instead}{reason}"


def _replaced(by: ChampionEntry) -> str:
    reason = f": {by.reason}" if by.reason else ""
    return f"by {by.version} ({by.why}) {by.time.isoformat()}{reason}"


def _settings(settings: Mapping[str, Any]) -> Iterator[str]:
    for name, value in settings.items():
        yield f"{name} {value if isinstance(value, str) else json.dumps(value)}"


def _metrics(summary: VersionSummary) -> Table:
    columns = {"this version": summary.manifest.metrics}
    compared = summary.verdict.get("metrics", {})
    if compared.get("champion"):
        columns["champion then"] = compared["champion"]
    columns |= {name.replace("_", " "): values for name, values in compared.get("baselines", {}).items()}
    rows = (
        (metric, *(figure(values.get(metric)) for values in columns.values()))
        for metric in summary.manifest.metrics
    )
    return table("on the test rows", ("metric", *columns), rows)


def _rules(rules: list[dict[str, Any]]) -> Table:
    rows = ((rule["verdict"], rule["name"], rule["why"]) for rule in rules)
    return table("rules of the gate", ("", "rule", "why"), rows)


_RUN_COLUMNS = {"top_100_accuracy_unseen": "top-100", "rmse": "RMSE"}
_STYLES = {PUBLISHED: "green", REFUSED: "red", FAILED: "red", SUPERSEDED: "yellow"}


def runs_list(records: Sequence[RunRecord], root: str) -> Iterator[RenderableType]:
    """Two entries a run: when and how it ended with its figures, and why. Fits into 80 columns.

    Raises:
      UserError: if there are no records.
    """
    if not records:
        raise UserError(
            f"{root} holds no run records; name another registry, or start a run by `twotower run`"
        )
    headings = " ".join(f"{title:>7}" for title in _RUN_COLUMNS.values())
    yield Text(f"{'ended (UTC)':<16} {'outcome':<10} {headings}  run", style="bold")
    for record in records:
        figures = " ".join(f"{figure(record.metrics.get(metric)):>7}" for metric in _RUN_COLUMNS)
        line = Text(f"{record.time:%Y-%m-%d %H:%M} ")
        line.append(f"{record.outcome:<10}", style=_STYLES.get(record.outcome, ""))
        line.append(f" {figures}  {record.run_id}")
        yield line
        version = f"{record.version}: " if record.version else ""
        yield Padding(Text(version + record.reason, style="dim"), (0, 0, 0, 4))


_VERSION_COLUMNS = {"top_100_accuracy_unseen": "top-100 unseen", "rmse": "RMSE"}


def versions_table(registry: Registry) -> Table:
    """One row a version, newest first. `*` marks the champion; a number is a place in the champion log.

    Raises:
      UserError: if there are no versions, or a document of the registry is corrupt.
    """
    ids = registry.versions.ids()
    if not ids:
        raise UserError(
            f"{registry.root} holds no versions; name another registry, or publish one by `twotower run`"
        )
    places = {entry.version: entry.sequence for entry in registry.champion_log.entries()}
    champion = max(places, key=places.__getitem__, default="")
    columns = ("", "version", "champion", *_VERSION_COLUMNS.values(), "gate", "run")
    shown: Table = table(f"versions in {registry.root}", columns, ruled=True)
    shown.caption = "* served now"
    for version in reversed(registry.versions.ids()):
        manifest = registry.versions.manifest(version)
        served = version == champion
        shown.add_row(
            "*" if served else "",
            version,
            f"no. {places[version]}" if version in places else "never",
            *(figure(manifest.metrics.get(metric)) for metric in _VERSION_COLUMNS),
            "passed" if manifest.verdict.blessed else "not passed",
            manifest.run_id,
            style="bold green" if served else None,
        )
    return shown


# The metrics that everyone compares; `--all` shows the others too.
_FIRST = ("top_100_accuracy_unseen", "top_10_accuracy_unseen", "rmse")
_SHORT = {
    "top_100_accuracy_unseen": "top-100 unseen",
    "top_10_accuracy_unseen": "top-10 unseen",
    "rmse": "RMSE (stars)",
}


def comparison_tables(comparison: Comparison, every_metric: bool = False) -> list[RenderableType]:
    """What is better and by how much, and the settings and data that differ."""
    shown = [one for one in comparison.metrics if every_metric or one.metric in _FIRST]
    parts: list[RenderableType] = [
        Text(f"A {comparison.first}\nB {comparison.second}"),
        Text(_conclusion(comparison, shown), style="bold"),
        _difference_table(shown),
    ]
    for title, differing in (
        ("settings that differ", comparison.settings),
        ("data that differ", comparison.data),
    ):
        parts.append(_differing(title, differing) if differing else Text(f"no {title}"))
    return parts


def _conclusion(comparison: Comparison, shown: Sequence[Difference]) -> str:
    better = {one.better for one in shown} & {"first", "second"}
    if not better:
        text = "Neither is better beyond chance."
    elif len(better) == 2:
        text = "Each is better in something."
    else:
        text = f"{'A' if better == {'first'} else 'B'} is better."
    if comparison.same_rows:
        return text
    return f"{text} They were measured on different test rows: take that with care."


def _difference_table(differences: Sequence[Difference]) -> Table:
    rows = []
    for one in differences:
        better = {"first": "A", "second": "B", CHANCE: "chance"}.get(one.better, "")
        by = "-" if one.by is None else f"{one.by:+.4f}"
        rows.append((_SHORT.get(one.metric, one.metric), figure(one.first), figure(one.second), by, better))
    return table("", ("metric", "A", "B", "B - A", "better"), rows)


def _differing(title: str, values: Mapping[str, tuple[Any, Any]]) -> Table:
    rows = ((name, setting(first), setting(second)) for name, (first, second) in values.items())
    return table(title, ("", "A", "B"), rows)
