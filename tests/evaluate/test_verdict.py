"""The verdict's schema, its reader, and how it looks on a terminal."""

import contextlib
import copy
import functools
import io
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from evaluation_world import evaluation_world
from rich.console import Console

from components.documents import encode, plain, schema
from components.errors import UserError
from components.evaluate.baselines import FITS, applicable
from components.evaluate.console import verdict_tables
from components.evaluate.details import load_details
from components.evaluate.step import evaluate
from components.evaluate.user_sums import FUNCTIONS
from components.evaluate.verdict import Rule, Verdict, load_verdict
from components.metrics import BASELINES, METRICS, metric_of
from components.train.artifact import model_digest
from components.vocabulary.interactions import UserRatings

pytestmark = pytest.mark.tensorflow

_DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory):
    """Evaluations of a good model, of one with NaN, of one that cannot be loaded, and of one without rows."""
    root = tmp_path_factory.mktemp("evaluations")
    world = evaluation_world(seed=1)
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
    jsonschema.validate(plain(load_verdict(evaluations[case])), schema(Verdict))


@pytest.mark.parametrize("case", ["good", "nan", "broken", "empty"])
def test_an_evaluation_that_is_read_and_written_again_is_the_same(evaluations, case, tmp_path):
    for name, read in (("verdict.json", load_verdict), ("details.json", load_details)):
        assert encode(read(evaluations[case])) == (evaluations[case] / name).read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blessed": "yes"}, "field `blessed`: expected bool, got str"),
        ({"movies": None}, "field `movies`: expected int, got null"),
        ({"rules": [{"name": "finite", "verdict": "maybe", "why": "So."}]}, r"field `rules\[0\].verdict`: "),
        ({"rules": [{"name": "finite", "verdict": "pass"}]}, r"field `rules\[0\].why`: it is missing"),
        ({"rules": []}, "field `rules`: "),
        (
            {"rules": [{"name": "finite", "verdict": "fail", "why": "So."}]},
            "blessed is True, and 1 rules fail",
        ),
        ({"publish": False}, "publish is False, and blessed is True"),
        ({"publish": "false"}, "field `publish`: expected bool, got str"),
        ({"publish": 1}, "field `publish`: expected bool, got int"),
        (
            {"metrics": {"challenger": {"rmse": "x"}, "champion": None, "baselines": {}}},
            "field `metrics.challenger",
        ),
        ({"model_digest": 7}, "field `model_digest`: expected str, got int"),
        (
            {"blessed": False, "rules": [{"name": "finite", "verdict": "fail", "why": "So."}]},
            "publish is True, and blessed is False, by the gate enforce on a challenger that was scored",
        ),
        (
            {
                "blessed": False,
                "gate": "report",
                "rules": [{"name": "scorable", "verdict": "fail", "why": "So."}],
                "metrics": {"challenger": {}, "champion": None, "baselines": {}},
            },
            "publish is True, and blessed is False, by the gate report on a challenger that was not scored",
        ),
        ({"metrics": {"champion": None, "baselines": {}}}, "field `metrics.challenger`: it is missing"),
    ],
)
def test_what_is_no_verdict_is_refused_with_the_file_and_the_field(evaluations, tmp_path, change, message):
    verdict = {**plain(load_verdict(evaluations["good"])), **change}
    (tmp_path / "verdict.json").write_text(json.dumps(verdict))
    with pytest.raises(UserError, match=rf"verdict\.json: {message}.*run `twotower evaluate` again"):
        load_verdict(tmp_path)
    with pytest.raises(jsonschema.ValidationError):
        # Conclusions that contradict the rules are beyond a schema.
        jsonschema.validate(verdict if message.startswith(("field", r"field")) else 1, schema(Verdict))


def _places(value, place=()):
    """Places where a value of JSON holds others, but for the many of metrics and slices."""
    yield place
    if isinstance(value, dict) and place[:1] not in {("metrics",), ("intervals",), ("slices",)}:
        for key in value:
            yield from _places(value[key], (*place, key))
    elif isinstance(value, list) and value:
        yield from _places(value[0], (*place, 0))


def test_whatever_is_wrong_is_a_line_and_no_traceback(evaluations, tmp_path):
    good = json.loads((evaluations["good"] / "verdict.json").read_text())
    kept = load_verdict(evaluations["good"])
    for place in [place for place in _places(good) if place]:
        for wrong in (None, "x", "", -1, 1e300, 10**400, True, [], [[]], {}, {"x": None}, float("nan")):
            verdict = copy.deepcopy(good)
            inner = functools.reduce(lambda value, key: value[key], place[:-1], verdict)
            inner[place[-1]] = wrong
            (tmp_path / "verdict.json").write_text(json.dumps(verdict))
            with contextlib.suppress(UserError):
                read = load_verdict(tmp_path)
                assert (read.blessed, read.publish) == (kept.blessed, kept.publish)


def test_it_names_the_model_by_its_digest(evaluations):
    verdict = load_verdict(evaluations["good"])
    assert verdict.model_digest == model_digest(evaluations["good"].parent / "good")


def test_a_key_of_a_newer_release_is_no_trouble(evaluations, tmp_path):
    verdict = load_verdict(evaluations["good"])
    (tmp_path / "verdict.json").write_text(json.dumps({**plain(verdict), "added_later": 1}))
    assert load_verdict(tmp_path) == verdict


def test_a_verdict_of_an_earlier_release_is_one_of_100_movies_and_no_earlier_champion(evaluations, tmp_path):
    old = plain(load_verdict(evaluations["good"]))
    del old["k"], old["best_champion"], old["champion"]["ignored"]
    for rule in old["rules"]:
        del rule["margin"]
    (tmp_path / "verdict.json").write_text(json.dumps(old))
    verdict = load_verdict(tmp_path)
    assert (verdict.k, verdict.best_champion.exists, verdict.champion.ignored) == (100, False, "")
    assert [metric.name for metric in verdict.gate_metrics] == ["top_100_accuracy_unseen", "rmse"]
    assert {rule.margin for rule in verdict.rules} == {None}


def test_the_screen_and_the_verdict_name_the_k(evaluations):
    verdict = load_verdict(evaluations["good"])
    assert [metric.name for metric in verdict.gate_metrics] == ["top_14_accuracy_unseen", "rmse"]
    rule = next(rule for rule in verdict.rules if rule.name == "top_100_vs_champion")
    assert rule.value == verdict.metrics.challenger["top_14_accuracy_unseen"]
    console = Console(file=io.StringIO(), width=80)
    console.print(*verdict_tables(verdict), sep="\n")
    text = " ".join(console.file.getvalue().split())
    assert "the gate's lists hold 14" in text
    assert "top-14 unseen" in text


def test_the_metrics_lie_in_their_ranges(evaluations):
    for values in load_verdict(evaluations["good"]).scorers.values():
        for name, value in values.items():
            low, high = metric_of(name).range
            assert low <= value <= high, name


def test_every_metric_and_baseline_has_its_function_and_its_entry():
    others = {"buckets", "lists"}
    assert FUNCTIONS.keys() == {one.family for one in METRICS.values() if one.over not in others}
    assert FITS.keys() == BASELINES.keys()
    assert {name for fits in (3, 10_000) for name in applicable(_rated(fits))} == BASELINES.keys()


def _rated(movies):
    return UserRatings.group(np.zeros(movies, int), np.arange(movies), np.ones(movies), 1)


def test_the_documentation_names_every_field_rule_and_metric(evaluations):
    verdict = load_verdict(evaluations["good"])
    page = (_DOCS / "verdict.md").read_text("utf-8")
    fields = {*Verdict.__struct_fields__, *Rule.__struct_fields__}
    rules = {rule.name for rule in verdict.rules if not rule.slice}
    assert {name for name in fields | rules if f"`{name}`" not in page} == set()
    metrics = (_DOCS / "metrics.md").read_text("utf-8")
    families = {one.family.format("k") for one in METRICS.values()}
    assert {name for name in families if f"`{name}`" not in metrics} == set()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema_version": 2}'])
def test_what_is_no_verdict_of_this_version_is_named(tmp_path, content):
    (tmp_path / "verdict.json").write_text(content)
    with pytest.raises(UserError, match=r"verdict\.json"):
        plain(load_verdict(tmp_path))


@pytest.mark.parametrize("case", ["good", "nan", "broken", "empty"])
def test_the_terminal_shows_metrics_rules_and_reason_in_80_columns(evaluations, case):
    verdict = load_verdict(evaluations[case])
    console = Console(file=io.StringIO(), width=80)
    console.print(*verdict_tables(verdict), sep="\n")
    text = console.file.getvalue()
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(rule.name in text for rule in verdict.failing)
    assert " ".join(verdict.reason.split()) in " ".join(text.split())
    for name, value in verdict.metrics.challenger.items():
        if name in ("top_100_accuracy_unseen", "rmse"):
            assert ("NaN" if value is None else f"{value:.4f}") in text


def test_the_details_are_numbers_that_agree_with_the_verdict(evaluations):
    verdict = plain(load_verdict(evaluations["good"]))
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
