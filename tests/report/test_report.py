"""The page: what it says, in which order, and that it stands alone."""

import dataclasses
import html
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest

from components.errors import UserError
from components.outputs import write_json
from components.report.page import ReportInputs
from components.report.step import report
from components.train.artifact import LogEntry


class _Page(HTMLParser):
    """The words a reader sees, and every tag with its attributes."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self._hidden = [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._hidden += tag == "style"

    def handle_endtag(self, tag):
        self._hidden -= tag == "style"

    def handle_data(self, data):
        if not self._hidden:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def page(evaluated, dataset, tmp_path):
    """Writes the report of a model given as tables and returns its HTML."""

    def write(name, **tables):
        model, evaluation = evaluated(name, **tables)
        output = tmp_path / "report.html"
        report(evaluation=str(evaluation), model=str(model), dataset=str(dataset), output=str(output))
        return output.read_text("utf-8")

    return write


def test_the_verdict_and_the_rule_that_decided_come_first(page, world):
    text = _Page(page("flat", scores=np.zeros_like(world.scores))).text
    assert text.index("Refused: it does not go live") < 60
    found = "It finds 0 of 100 movies rated later, in lists of 15; popularity finds"
    assert text.index(found) < 120


def test_a_good_model_is_told_in_peoples_units(page):
    text = _Page(page("good")).text
    assert "Good enough to go live" in text
    assert re.search(r"finds \d+ of 100 movies that users went on to rate", text)
    assert re.search(r"0\.\d\d stars off", text)


def test_the_page_has_the_metrics_of_every_scorer_and_every_rule(page, evaluated):
    text = _Page(page("good")).text
    verdict = json.loads((evaluated("good")[1] / "verdict.json").read_text())
    for of_scorer in [verdict["metrics"]["challenger"], *verdict["metrics"]["baselines"].values()]:
        assert all(f"{value:.4f}" in text for value in of_scorer.values())
    assert all(rule["name"] in text for rule in verdict["rules"])


def test_the_page_stands_alone(page):
    text = page("good")
    tags = _Page(text).tags
    assert not {tag for tag, _ in tags} & {"script", "a", "link", "iframe", "img", "object", "form", "base"}
    for _, attributes in tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href"):
                assert value.startswith("#")
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert len(text.encode()) < 2_000_000


def test_what_users_typed_stays_text(page):
    text = page("good")
    assert "<script" not in text
    assert html.escape("<script>alert(1)</script>") in text


def test_the_same_evaluation_gives_the_same_page(page):
    own = re.compile(r"(?s)<section data-steps=.*?</section>")
    assert own.sub("", page("good")) == own.sub("", page("good"))


def test_a_model_that_broke_is_reported_like_any_other(evaluated, dataset, tmp_path, world):
    model, evaluation = evaluated("unfinished")
    for file in ("model.json", "training_log.jsonl"):
        (model / file).unlink()
    report(
        evaluation=str(evaluation),
        model=str(model),
        dataset=str(dataset),
        output=str(tmp_path / "report.html"),
    )
    assert "Good enough" in (tmp_path / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("step", "rmse", "kept"),
    [(20, 0.5, 1), (30, None, 2), (25, 0.91, -1), (0, 0.91, 1), (0, 0.5, -1), (0, None, -1)],
)
def test_the_weights_that_were_kept_are_found_in_the_log(evaluated, dataset, step, rmse, kept):
    model, evaluation = evaluated("good")
    inputs = ReportInputs.load(str(evaluation), str(model), str(dataset))
    log = [
        LogEntry(
            step=10 * number,
            seconds=1.0,
            retrieval_loss=1.0,
            rating_loss=1.0,
            validation_rmse=error,
            validation_top_100_accuracy_unseen=0.5,
        )
        for number, error in enumerate([0.95, 0.91, 0.93], start=1)
    ]
    record = msgspec.structs.replace(inputs.model, kept_step=step, validation_rmse=rmse)
    assert dataclasses.replace(inputs, model=record, training_log=log).kept == kept


@pytest.mark.parametrize(
    ("argument", "message"), [("evaluation", "verdict.json"), ("dataset", "statistics.json")]
)
def test_a_missing_input_is_named(evaluated, dataset, tmp_path, argument, message):
    model, evaluation = evaluated("good")
    usual = {"evaluation": str(evaluation), "model": str(model), "dataset": str(dataset)}
    with pytest.raises(UserError, match=message):
        report(**{**usual, argument: str(tmp_path / "nowhere")}, output=str(tmp_path / "report.html"))
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_written_is_named(evaluated, dataset, tmp_path):
    model, evaluation = evaluated("good")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write --output"):
        report(
            evaluation=str(evaluation),
            model=str(model),
            dataset=str(dataset),
            output=str(tmp_path / "file" / "report.html"),
        )


def test_a_page_without_a_champion_compares_with_the_baselines(evaluated, dataset, tmp_path):
    model, evaluation = evaluated("first", against="")
    report(
        evaluation=str(evaluation),
        model=str(model),
        dataset=str(dataset),
        output=str(tmp_path / "report.html"),
    )
    text = _Page((tmp_path / "report.html").read_text("utf-8")).text
    assert text.index("; popularity finds") < 200
    assert text.index("those of user and movie biases are") < 250
    assert "of the champion" not in text


def test_what_some_users_would_be_shown_stands_beside_what_they_then_rated(page, evaluated):
    text = _Page(page("good")).text
    details = json.loads((evaluated("good")[1] / "details.json").read_text())
    for user in details["users"]:
        assert f"User {user['user_id']}" in text
        movies = user["recommended"] + user["liked"] + user["then"]
        assert all(movie["title"] in text for movie in movies), "a title is text, whatever is in it"


def test_many_failing_rules_do_not_fill_the_first_screen(page, world):
    text = _Page(page("useless", scores=0 * world.scores, stars=6 - world.stars)).text
    assert text.index("more rules fail, see below.") < 700


def test_what_the_data_are_stands_beside_the_rules_about_them(page, evaluated):
    text = _Page(page("good")).text
    about_data = text[text.index("Against the champion's training data") :]
    verdict = json.loads((evaluated("good")[1] / "verdict.json").read_text())
    rules = [rule for rule in verdict["rules"] if rule["name"].startswith("data_")]
    assert rules
    assert all(rule["name"] in about_data and rule["why"] in about_data for rule in rules)
    assert "3,600 kept of 3,605" in text
    assert "unknown movie 3" in text


def test_time_and_memory_of_every_step_are_told(page):
    text = _Page(page("good")).text
    steps = text[text.index("Time and memory") :]
    assert "Ingest 1.2 s 300 MB" in steps
    assert "Evaluation" in steps
    assert "Report" in steps


def test_what_the_ratings_look_like(page, dataset):
    text = _Page(page("good")).text
    data = text[text.index(" Data ") : text.index("How it was made")]
    for fact in (
        "2 of the rejected: a later row rates the same movie",
        "149 rated of 150 (99.3%)",
        "20.1% of all pairs",
        "3.71 stars, on a scale of 1 to 5",
        "2005-01-01 to 2005-12-31",
        "Which stars users give",
        "How many ratings users and movies have",
        "least 10% 25% median 75% 90% 99% most user 2 12 19 28 38 51 80 96 movie 1 4 9 20 33 50 77 110",
        "1★ 200 · 2★ 400 · 3★ 900 · 4★ 1,200 · 5★ 900",
    ):
        assert fact in data, fact
    assert "left out" not in data


def test_data_of_another_kind(evaluated, dataset, tmp_path):
    """No times, all ratings alike, a part of the rows taken, one rating each."""
    odd, (model, evaluation) = tmp_path / "odd", evaluated("good")
    shutil.copytree(dataset, odd)
    ones = dict.fromkeys(("0", "0.5", "1"), 1)
    told = {
        "time_span": None,
        "rating_histogram": {"-2.5": 7},
        "rows_left_out": 1234,
        "ratings_per_user": ones,
        "ratings_per_movie": ones,
    }
    statistics = json.loads((odd / "statistics.json").read_text())
    write_json(odd / "statistics.json", {**statistics, **told})
    output = str(tmp_path / "report.html")
    report(evaluation=str(evaluation), model=str(model), dataset=str(odd), output=output)
    text = _Page((tmp_path / "report.html").read_text("utf-8")).text
    assert "the rows have no times" in text
    assert "1,234 kept rows go into no split" in text
    assert "-2.5★ 7" in text


_TIMED = """
import sys, time
from components.report.step import report
report(**dict(zip(("evaluation", "model", "dataset", "output"), sys.argv[1:])))
print(time.process_time())
"""


def test_it_is_made_in_seconds_whatever_the_size_of_the_data(evaluated, dataset, tmp_path):
    """A page is made of tables that do not grow with the data; only the log of a long training does."""
    model, evaluation = evaluated("good")
    entry = json.loads((model / "training_log.jsonl").read_text().splitlines()[-1])
    shutil.copytree(model, tmp_path / "model")
    log = "".join(json.dumps({**entry, "step": step}) + "\n" for step in range(500))
    (tmp_path / "model" / "training_log.jsonl").write_text(log)
    inputs = [str(path) for path in (evaluation, tmp_path / "model", dataset, tmp_path / "page.html")]
    done = subprocess.run([sys.executable, "-c", _TIMED, *inputs], check=True, capture_output=True, text=True)
    assert float(done.stdout) < 15
    assert (tmp_path / "page.html").stat().st_size < 2_000_000
