"""The first lines: for each way in which a model can be broken they name what is wrong."""

import re

import msgspec
import numpy as np
import pytest
import verdicts

from components.display import duration
from components.evaluate.details import Details, load_details
from components.evaluate.verdict import load_verdict
from components.metrics import METRICS
from components.report.headline import headline, hints, in_words
from components.train.artifact import LogEntry


@pytest.fixture
def first_lines(evaluated):
    """The headline of a model given as tables, beside a champion that is nearly right."""

    def read(name, log=(), **tables):
        _, evaluation = evaluated(name, **tables)
        return headline(load_verdict(evaluation), load_details(evaluation), log)

    return read


def _text(head):
    return " ".join([head.title, *(reason.text for reason in head.reasons), *head.hints])


def test_a_good_model_is_compared_with_the_champion_and_has_no_hints(first_lines):
    head = first_lines("good")
    assert (head.state, head.title, head.hints, head.more) == ("pass", "Good enough to go live", [], "")
    assert [reason.rule for reason in head.reasons] == ["top_100_vs_champion", "rmse_vs_champion"]
    assert "the champion finds" in head.reasons[0].text
    assert "those of the champion are" in head.reasons[1].text


def test_shuffled_labels(first_lines, world):
    order = np.random.default_rng(0).permutation(len(world.scores))
    text = _text(first_lines("shuffled", scores=world.scores[order], stars=world.stars[order]))
    assert "in lists of 15; the champion finds" in text
    assert "Its ratings are no better than the same mean for every movie." in text


def test_popularity_only(first_lines, world):
    popular = np.bincount(world.rows("train")[1], minlength=len(world.movie_ids)).astype(np.float32)
    text = _text(first_lines("popular", scores=np.tile(popular, (len(world.user_ids), 1))))
    assert "the champion finds" in text
    assert "Only what it recommends is at fault" in text
    assert "It recommends much the same to everybody" in text


def test_spoilt_ratings(first_lines, world):
    text = _text(first_lines("bad-stars", stars=6 - world.stars))
    assert "Its ratings are" in text
    assert "Only its ratings are at fault; what it recommends passes every rule." in text


def test_spoilt_retrieval(first_lines, world):
    text = _text(first_lines("bad-scores", scores=-world.scores))
    assert "popularity finds" in text
    assert "Only what it recommends is at fault; its ratings pass every rule." in text


def test_equal_scores(first_lines, world):
    text = _text(first_lines("flat", scores=np.zeros_like(world.scores)))
    assert "It finds 0 of 100" in text
    assert "it may score all movies alike" in text


def test_training_rows_known_by_heart(first_lines, world):
    log = [
        LogEntry(
            step=100,
            seconds=1.0,
            retrieval_loss=4.0,
            rating_loss=0.04,  # in units of the ratings' variance
            validation_rmse=1.1,
            validation_top_100_accuracy_unseen=0.5,
        )
    ]
    stars = np.full_like(world.stars, 3.5)
    users, movies, given = world.rows("train")
    stars[users, movies] = given
    text = _text(first_lines("memory", log, stars=stars))
    off = 0.2 * np.std(given)
    found = re.search(
        r"It is overfitted: ([\d.]+) stars off on training rows, 1\.10 on validation rows", text
    )
    assert float(found[1]) == pytest.approx(off, abs=0.02)


def test_one_user_without_numbers(first_lines, world):
    scores = world.scores.copy()
    scores[5] = np.nan
    head = first_lines("nan", scores=scores)
    assert head.reasons[0].rule == "finite"
    assert "1 of 120 users get a score or a rating that is NaN or infinite." in head.reasons[0].text


def test_a_refused_model_that_is_published_all_the_same(first_lines, evaluated, world):
    _, evaluation = evaluated("flat", scores=np.zeros_like(world.scores))
    head = headline(msgspec.structs.replace(load_verdict(evaluation), publish=True, gate="report"))
    assert (head.state, head.title) == ("warn", "Would be refused, published all the same")


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (
            {
                "name": "rmse_vs_champion_tail_movies",
                "metric": "rmse",
                "against": "champion",
                "value": 0.9,
                "bound": 0.8,
            },
            "Tail movies: its ratings are 0.90 stars off; those of the champion are 0.80.",
        ),
        (
            {
                "name": "top_100_vs_champion",
                "metric": "top_100_accuracy_unseen",
                "against": "champion",
                "value": 0.5381,
                "bound": 0.5406,
                "interval": [-0.01, 0.004],
            },
            "It finds 53.8 of 100 movies that users went on to rate; the champion finds 54.1, "
            "which may be chance.",
        ),
        (
            {"name": "max_rmse", "metric": "rmse", "value": 0.95, "bound": 0.9},
            "Its ratings are 0.95 stars off; at most 0.9 is asked for.",
        ),
        ({"name": "finite", "metric": "non_finite_users", "value": 1.0, "bound": 0.0}, "As the rule says."),
        ({"name": "max_rmse", "metric": "rmse", "value": None, "bound": 0.9}, "As the rule says."),
    ],
)
def test_a_rule_in_words(rule, text):
    assert in_words(verdicts.rule(**rule)) == text


def test_lists_of_another_length_are_said():
    rule = verdicts.rule(name="min_top_100_accuracy", metric="top_100_accuracy_unseen", value=0.5, bound=0.25)
    text = "It finds 50 of 100 movies rated later, in lists of 7; at least 25 is asked for."
    assert in_words(rule, 7) == text
    assert in_words(rule, 7, "watch") == text.replace("rated", "watched")


def test_the_order_of_a_list_is_in_words():
    rule = verdicts.rule(
        name="ndcg_10_vs_champion", metric="ndcg_10", against="champion", value=0.5, bound=0.6
    )
    said = "The order of its best ten scores 50 of 100; that of the champion scores 60."
    assert in_words(rule) == said


def test_what_is_undecided_goes_live_with_a_warning():
    undecided = {
        "metric": "ndcg_10",
        "against": "champion",
        "verdict": "undecided",
        "value": 0.1,
        "bound": 0.2,
    }
    rules = [{}, *({"name": f"{name}_vs_champion", **undecided} for name in ("ndcg_10", "top_100", "rmse"))]
    head = headline(verdicts.verdict(rules=rules))
    title = "Goes live, not proven to be as good as the champion"
    assert (head.state, head.title) == ("warn", title)
    assert [reason.rule for reason in head.reasons] == ["ndcg_10_vs_champion", "top_100_vs_champion"]
    assert {reason.text for reason in head.reasons} == {"As the rule says."}
    refused = headline(verdicts.verdict(rules=[*rules, {"name": "finite", "verdict": "fail"}]))
    assert (refused.state, [reason.rule for reason in refused.reasons]) == ("fail", ["finite"])


def test_a_shuffled_list_is_at_fault_in_what_it_recommends():
    failing = {"name": "ndcg_10_vs_champion", "metric": "ndcg_10", "verdict": "fail"}
    (hint,) = hints(verdicts.verdict(rules=[failing], movies=10_000), Details(), ())
    assert hint == "Only what it recommends is at fault; its ratings pass every rule."


def test_two_figures_have_the_digits_that_tell_them_apart():
    accuracy, rmse = METRICS["top_100_accuracy_unseen"], METRICS["rmse"]
    assert accuracy.apart(0.5, 0.29) == ("50", "29")
    assert accuracy.apart(0.538, 0.541) == ("53.8", "54.1")
    assert rmse.apart(0.8312, 0.8313) == ("0.8312", "0.8313")
    assert rmse.apart(0.5, 0.5) == ("0.5000", "0.5000")


def test_times_are_said_in_minutes():
    assert [duration(seconds) for seconds in (3.14, 59.97, 768.2)] == ["3.1 s", "1 min 0 s", "12 min 48 s"]


@pytest.mark.parametrize(("found", "told"), [(0.019, True), (0.021, False)])
def test_a_ranking_as_if_at_random(found, told):
    """Among 10,000 movies random lists of 100 find 1 of 100."""
    verdict = verdicts.verdict(
        rules=[{"name": "top_100_vs_popularity", "metric": "top_100_accuracy_unseen", "verdict": "fail"}],
        metrics={"challenger": {"top_100_accuracy_unseen": found}},
        movies=10_000,
    )
    said = "It ranks hardly better than random lists, which find 1.0 of 100: it finds 1.9."
    assert (said in list(hints(verdict, Details(), ()))) == told
