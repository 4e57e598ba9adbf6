"""Whole verdicts, of which a test names only what it is about, and their files."""

from pathlib import Path
from typing import Any

import msgspec

from components.documents import write_document
from components.evaluate.verdict import VERDICT_FILE, Rule, Verdict


def rule(**facts: Any) -> Rule:
    """A rule of JSON values; one that passes unless `facts` say otherwise."""
    return msgspec.convert({"name": "a_rule", "verdict": "pass", "why": "As the rule says.", **facts}, Rule)


def verdict(**facts: Any) -> Verdict:
    """A verdict of JSON values, which agrees with its rules; parts of rules and metrics may be left out."""
    rules = [rule(**one) for one in facts.pop("rules", [{}])]
    blessed = all(one.verdict != "fail" for one in rules)
    metrics = {"challenger": {}, "champion": None, "baselines": {}, **facts.pop("metrics", {})}
    defaults = {
        "schema_version": 1,
        "blessed": blessed,
        "publish": blessed,
        "gate": "enforce",
        "reason": "Good enough." if blessed else "Refused.",
        "intervals": {},
        "slices": [],
        "champion": {"exists": False},
        "test_rows": 100,
        "test_users": 10,
        "movies": 7,
        "fingerprint": "f",
    }
    split = {
        "kind": "random",
        "seed": 42,
        "validation_fraction": 0.1,
        "test_fraction": 0.1,
        **facts.pop("split", {}),
    }
    whole = {**defaults, **facts, "split": split, "rules": msgspec.to_builtins(rules), "metrics": metrics}
    return msgspec.convert(whole, Verdict)


def write_verdict(directory: Path, **facts: Any) -> Path:
    """Writes verdict.json to `directory`, as `verdict` makes it; returns the file."""
    write_document(directory / VERDICT_FILE, verdict(**facts))
    return directory / VERDICT_FILE
