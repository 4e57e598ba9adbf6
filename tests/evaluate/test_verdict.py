"""The verdict's schema, its reader, and how it looks on a terminal."""

import io
import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from evaluation_world import evaluation_world
from rich.console import Console

from components.errors import UserError
from components.evaluate.console import verdict_tables
from components.evaluate.names import LIST_METRICS, METRICS
from components.evaluate.step import evaluate
from components.evaluate.verdict import load_verdict, schema

pytestmark = pytest.mark.tensorflow

_DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory):
    """Evaluations of a good model, of one with NaN, of one that cannot be loaded, and of one without rows."""
    root = tmp_path_factory.mktemp("evaluations")
    world = evaluation_world(seed=1, users=60)
    data = world.write_data(root / "data")
    no_test = evaluation_world(seed=1, users=60, shares=(0.9, 0.1, 0)).write_data(root / "no-test")
    stars = world.stars.copy()
    stars[world.rows("test")[0][0]] = np.nan
    good = world.write_model(root / "good")
    broken = root / "broken"
    (broken / "saved_model").mkdir(parents=True)
    cases = {
        "good": (good, good, data),
        "nan": (world.write_model(root / "nan", stars=stars), good, data),
        "broken": (broken, "", data),
        "empty": (good, "", no_test),
    }
    for name, (model, champion, at) in cases.items():
        evaluate(
            model=str(model),
            champion=str(champion),
            interactions=str(at / "interactions"),
            vocabulary=str(at / "vocabulary"),
            output=str(root / f"{name}-evaluation"),
        )
    return {name: root / f"{name}-evaluation" for name in cases}


@pytest.mark.parametrize("case", ["good", "nan", "broken", "empty"])
def test_every_verdict_keeps_to_the_schema(evaluations, case):
    jsonschema.validate(load_verdict(evaluations[case]), schema())


def test_the_schema_refuses_what_is_no_verdict(evaluations):
    verdict = load_verdict(evaluations["good"])
    for spoilt in (
        {**verdict, "blessed": "yes"},
        {**verdict, "extra": 1},
        {name: value for name, value in verdict.items() if name != "rules"},
        {**verdict, "rules": [{**verdict["rules"][0], "verdict": "maybe"}]},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(spoilt, schema())


def test_the_documentation_names_every_field_rule_and_metric(evaluations):
    verdict = load_verdict(evaluations["good"])
    page = (_DOCS / "verdict.md").read_text("utf-8")
    fields = {*schema()["properties"], *schema()["$defs"]["rule"]["properties"]}
    rules = {rule["name"] for rule in verdict["rules"]}
    whole = {name for name in rules if not re.search("_vs_champion_", name)}
    assert {name for name in fields | whole if f"`{name}`" not in page} == set()
    metrics = (_DOCS / "metrics.md").read_text("utf-8")
    families = {re.sub(r"\d+", "k", name, count=1) for name in (*METRICS, *LIST_METRICS)}
    assert {name for name in families if f"`{name}`" not in metrics} == set()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema_version": 2}'])
def test_what_is_no_verdict_of_this_version_is_named(tmp_path, content):
    (tmp_path / "verdict.json").write_text(content)
    with pytest.raises(UserError, match=r"verdict\.json"):
        load_verdict(tmp_path)


@pytest.mark.parametrize("case", ["good", "nan", "broken", "empty"])
def test_the_terminal_shows_metrics_rules_and_reason_in_80_columns(evaluations, case):
    verdict = load_verdict(evaluations[case])
    console = Console(file=io.StringIO(), width=80)
    console.print(*verdict_tables(verdict), sep="\n")
    text = console.file.getvalue()
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(rule["name"] in text for rule in verdict["rules"] if rule["verdict"] == "fail")
    assert " ".join(verdict["reason"].split()) in " ".join(text.split())
    for name, value in verdict["metrics"]["challenger"].items():
        if name in ("top_100_accuracy_unseen", "rmse"):
            assert ("NaN" if value is None else f"{value:.4f}") in text


def test_the_details_are_numbers_that_agree_with_the_verdict(evaluations):
    verdict = load_verdict(evaluations["good"])
    details = json.loads((evaluations["good"] / "details.json").read_text())
    curve = dict(zip(details["top_k"]["k"], details["top_k"]["accuracy"]["challenger"], strict=True))
    for k in (1, 5, 10, 50, 100):
        assert curve[k] == pytest.approx(verdict["metrics"]["challenger"][f"top_{k}_accuracy_unseen"])
    assert sum(bucket["rows"] for bucket in details["calibration"]["challenger"]) == verdict["test_rows"]
    assert sum(level["rows"] for level in details["residuals"]["challenger"]) == verdict["test_rows"]
    assert sum(details["long_tail"]["challenger"]) == pytest.approx(1)
    assert len(details["users"]) == 6
    known = [user["known_ratings"] for user in details["users"]]
    assert known == sorted(known)
    for user in details["users"]:
        assert len(user["recommended"]) == 10
        seen = {movie["title"] for movie in user["liked"]}
        assert not seen & {movie["title"] for movie in user["recommended"]}
