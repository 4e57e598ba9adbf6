"""The model card."""

import re

import pytest

from components.report.step import report


@pytest.fixture
def card(evaluated, dataset, tmp_path):
    """Writes the card of a model given as tables and returns its text."""

    def write(name, **tables):
        model, evaluation = evaluated(name, **tables)
        paths = {"evaluation": evaluation, "model": model, "dataset": dataset, "output": tmp_path / "page"}
        report(**{key: str(path) for key, path in paths.items()}, model_card=str(tmp_path / "card"))
        return (tmp_path / "card").read_text("utf-8")

    return write


def test_it_has_the_parts_of_a_model_card(card):
    titles = re.findall(r"^## (.+)$", card("good"), re.MULTILINE)
    assert titles == ["Model", "Intended use", "Training data", "Evaluation", "Where it is weak", "Limits"]


def test_it_says_what_was_decided_trained_and_measured(card):
    text = card("good")
    for fact in ("Good enough to go live", "| preset | table |", "3,600 ratings of 120 users", "`world`"):
        assert fact in text
    assert re.search(r"\| RMSE \| 0\.\d{4}<br>0\.\d{4} to 0\.\d{4} \|", text)
    assert re.search(r"^\| Tail movies \| \d+ \| 0\.\d{3} \|", text, re.MULTILINE)


def test_every_table_is_whole(card):
    tables = re.findall(r"(?:^\|.*\n)+", card("good"), re.MULTILINE)
    assert len(tables) == 3
    for table in tables:
        rows = table.splitlines()
        assert len({row.count("|") for row in rows}) == 1, rows[:3]
        assert re.fullmatch(r"(\|-+:?)+\|", rows[1])


def test_it_holds_no_text_of_the_files(card):
    assert "<script" not in card("good")


def test_a_refused_model_has_one_too(card, world):
    assert "Refused: it does not go live" in card("useless", scores=0 * world.scores, stars=6 - world.stars)
