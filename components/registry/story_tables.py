"""What a registry knows of a version, on a terminal."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from components.registry.champion_log import ChampionEntry
from components.registry.story import VersionStory


def story_tables(story: VersionStory) -> list[RenderableType]:
    """The version's facts, its metrics beside those it was compared with, and the rules of its gate."""
    tables: list[RenderableType] = [_facts(story), _metrics(story)]
    if story.verdict.get("rules"):
        tables.append(_rules(story.verdict["rules"]))
    return tables


def _facts(story: VersionStory) -> Table:
    manifest = story.manifest
    files = manifest.part("").values()
    table = _table(f"version {manifest.version}", "", "")
    table.show_header = False
    facts = {
        "served": _served(story),
        **{f"number {entry.sequence}": _event(entry) for entry in story.places},
        **({"replaced": _replaced(story.replaced_by)} if story.replaced_by else {}),
        "had to beat": story.compared_with or "nobody that is known",
        "gate": "passed" if manifest.verdict.get("blessed") else "not passed",
        "because": manifest.verdict.get("reason", ""),
        "run": manifest.run_id,
        "created": manifest.created,
        "data": manifest.fingerprint,
        "settings": ", ".join(_settings(manifest.settings)) or "unknown",
        "files": f"{len(files)}, {sum(file.size for file in files) / 1e6:,.1f} MB",
    }
    for name, value in facts.items():
        table.add_row(name, Text(str(value)))
    return table


def _served(story: VersionStory) -> str:
    if story.served_now:
        return "now"
    return "no longer" if story.places else "never"


def _event(entry: ChampionEntry) -> str:
    instead = f" in the place of {entry.previous}" if entry.previous else ""
    reason = f": {entry.reason}" if entry.reason else ""
    return f"{entry.why} {entry.time}{instead}{reason}"


def _replaced(by: ChampionEntry) -> str:
    reason = f": {by.reason}" if by.reason else ""
    return f"by {by.version} ({by.why}) {by.time}{reason}"


def _settings(settings: Mapping[str, Any]) -> Iterator[str]:
    for name, value in settings.items():
        yield f"{name} {value if isinstance(value, str) else json.dumps(value)}"


def _metrics(story: VersionStory) -> Table:
    columns = {"this version": story.manifest.metrics}
    compared = story.verdict.get("metrics", {})
    if compared.get("champion"):
        columns["champion then"] = compared["champion"]
    columns |= {name.replace("_", " "): values for name, values in compared.get("baselines", {}).items()}
    table = _table("on the test rows", "metric", *columns)
    for metric in story.manifest.metrics:
        table.add_row(metric, *(_figure(values.get(metric)) for values in columns.values()))
    return table


def _rules(rules: list[dict[str, Any]]) -> Table:
    table = _table("rules of the gate", "", "rule", "why")
    for rule in rules:
        table.add_row(rule["verdict"], rule["name"], Text(rule["why"]))
    return table


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=Text(title), title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    return table
