"""The champions before the present one, in the order that their verdicts give them."""

from typing import Any

from components.documents import Document, decode
from components.errors import UserError
from components.metrics import CHAMPION, RULE_METRICS
from components.registry.champion_log import ROLLBACK, ChampionEntry
from components.registry.registry import Registry

_VERDICT = "verdict.json"
_MOST = 10
# The width of the usual rating scale, in stars, for verdicts that do not state their margins.
_USUAL_SCALE = 4.0


class _PastRule(Document):
    """As much as is read of a rule; docs/verdict.md describes it."""

    name: str
    difference: float | None = None
    margin: float | None = None


class _PastComparedChampion(Document):
    """The champion that a version was compared with."""

    exists: bool
    version: str = ""


class _PastVerdict(Document):
    """As much as is read of the verdict on a champion."""

    rules: list[_PastRule]
    champion: _PastComparedChampion
    split: dict[str, Any]

    def losses(self) -> list[float] | None:
        """Returns by how many margins the champion was ahead in each metric; None if that is unknown."""
        rules = {rule.name: rule for rule in self.rules}
        found = [rules.get(f"{metric.rule}_vs_{CHAMPION}") for metric in RULE_METRICS]
        if all(rule is None or rule.difference is None for rule in found):
            return None
        losses = []
        for metric, rule in zip(RULE_METRICS, found, strict=True):
            loss = (rule.difference or 0.0) * (1 if metric.better == "less" else -1) if rule else 0.0
            usual = metric.margin * (_USUAL_SCALE if metric.in_stars else 1)
            losses.append(loss / (rule.margin if rule and rule.margin else usual))
        return losses


def champions_ahead(store: Registry) -> list[ChampionEntry]:
    """Returns those of the ten champions before the present one that are ahead of it, the best first.

    A verdict states by how much its model differed from the champion of its time, on the same test rows.
    Summed up from one champion to the one before, that compares them all, and no model is loaded. How far
    one is ahead is counted in margins, in the metric in which it is furthest ahead. The line ends at another
    split, whose test rows may be training rows here, and where a verdict is missing.
    """
    readable, _ = store.champion_log.readable()
    entries = {entry.version: entry for entry in readable if entry.why != ROLLBACK}
    latest = store.champion_log.latest()
    version, split = latest.version if latest else "", None
    ahead = [0.0] * len(RULE_METRICS)  # how far the one at hand is ahead of the present one
    found: list[tuple[float, ChampionEntry]] = []
    for _ in range(_MOST + 1):
        entry = entries.pop(version, None)
        verdict = _read_verdict(store, entry) if entry else None
        if entry is None or verdict is None or split not in (None, verdict.split):
            break
        if max(ahead) > 0:
            found.append((max(ahead), entry))
        losses = verdict.losses()
        if losses is None:
            break
        version, split = verdict.champion.version, verdict.split
        ahead = [sum(pair) for pair in zip(ahead, losses, strict=True)]
    return [entry for _, entry in sorted(found, key=lambda one: one[0], reverse=True)]


def _read_verdict(store: Registry, entry: ChampionEntry) -> _PastVerdict | None:
    try:
        document = store.runs.document(entry.run_id, _VERDICT)
        return decode(document, _PastVerdict, f"the verdict on {entry.version}")
    except (UserError, OSError):
        return None
