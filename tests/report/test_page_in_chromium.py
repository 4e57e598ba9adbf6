"""The page as a reader sees it: nothing is cut, nothing is fetched, everything can be read."""

import json

import pytest
from chromium import CONTRASTS, PROGRAM, STICKING_OUT, Chromium

from components.report.step import report

pytestmark = pytest.mark.skipif(not PROGRAM, reason="Chromium is not installed")

_OPEN_ALL = "document.querySelectorAll('details').forEach(one => one.open = true)"


@pytest.fixture(scope="module")
def chromium():
    with Chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(evaluated, dataset, world, tmp_path_factory):
    """The pages of a good model and of a useless one."""
    folder = tmp_path_factory.mktemp("pages")
    models = {"good": {}, "useless": {"scores": 0 * world.scores, "stars": 6 - world.stars}}
    for name, tables in models.items():
        model, evaluation = evaluated(name, **tables)
        output = str(folder / f"{name}.html")
        report(evaluation=str(evaluation), model=str(model), dataset=str(dataset), output=output)
    return folder


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["good", "useless"])
def test_nothing_sticks_out(chromium, pages, name, width):
    chromium.open(pages / f"{name}.html", width)
    assert chromium.value("innerWidth") == width
    assert chromium.value(STICKING_OUT) == [True, []]
    chromium.value(_OPEN_ALL)
    assert chromium.value(STICKING_OUT) == [True, []]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["good", "useless"])
def test_every_text_stands_out_from_what_is_behind_it(chromium, pages, name, scheme):
    chromium.open(pages / f"{name}.html", 1280, scheme)
    chromium.value(_OPEN_ALL)
    found = chromium.value(CONTRASTS)
    assert {kind for _, kind, _, _ in found} == {"svg", "html"}
    assert min(found)[0] >= 4.5, min(found)


def test_light_and_dark_are_two(chromium, pages):
    colours = []
    for scheme in ("light", "dark"):
        chromium.open(pages / "good.html", 1280, scheme)
        colours.append(chromium.value("getComputedStyle(document.body).backgroundColor"))
    assert len(set(colours)) == 2


def test_no_request_leaves_the_page_and_no_title_becomes_a_script(chromium, pages):
    page = pages / "good.html"
    chromium.open(page, 1280)
    chromium.value(_OPEN_ALL)
    assert chromium.requested == [page.as_uri()]
    assert chromium.value("typeof stolen") == "undefined"
    assert "<script>stolen" in chromium.value("document.body.innerText")


def test_the_first_screen_of_a_phone_says_what_was_decided_and_why(chromium, pages):
    chromium.open(pages / "useless.html", 390)
    seen = json.loads(
        chromium.value(
            "JSON.stringify([...document.querySelectorAll('h1, .why')]"
            ".filter(one => one.getBoundingClientRect().bottom < 844).map(one => one.textContent))"
        )
    )
    assert seen[0] == "Refused: it does not go live"
    assert len(seen) == 3
