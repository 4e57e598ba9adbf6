"""The page as a reader sees it: nothing is cut, nothing is fetched, everything can be read."""

import json

import pytest
from chromium import PROGRAM, Chromium

from components.report.step import report

pytestmark = pytest.mark.skipif(not PROGRAM, reason="Chromium is not installed")

_OPEN_ALL = "document.querySelectorAll('details').forEach(one => one.open = true)"

# Elements that stick out of the window, and texts of pictures that stick out of their picture. What lies in a
# box that scrolls by itself may be wide.
_STICKING_OUT = """(() => {
  const out = [];
  for (const one of document.querySelectorAll('body *')) {
    const box = one.getBoundingClientRect();
    if (!box.width || one.closest('.scroll') && !one.matches('.scroll')) continue;
    const svg = one.closest('svg');
    if (svg && !one.matches('text')) continue;
    const window = {left: 0, right: innerWidth, top: -Infinity, bottom: Infinity};
    const frame = svg ? svg.getBoundingClientRect() : window;
    const [left, right] = [box.left - frame.left, frame.right - box.right];
    const [above, below] = [box.top - frame.top, frame.bottom - box.bottom];
    const what = one.tagName + ' ' + one.textContent.trim().slice(0, 40);
    if (Math.min(left, right, above, below) < -1) out.push(what);
  }
  return [document.documentElement.scrollWidth <= innerWidth, out];
})()"""

# Every text with its colour, that of what lies behind it, and their contrast as WCAG 2.1 defines it.
_CONTRASTS = """(() => {
  const channels = colour => colour.match(/[\\d.]+/g).map(Number);
  const luminance = colour => {
    const linear = c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = channels(colour).map(c => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = one => {
    for (let place = one; place; place = place.parentElement) {
      const colour = getComputedStyle(place).backgroundColor;
      if ((channels(colour)[3] ?? 1) > 0) return colour;
    }
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const one = texts.currentNode.parentElement;
    const text = texts.currentNode.data.trim(), kind = one.closest('svg') ? 'svg' : 'html';
    if (!text || one.closest('style') || !one.getClientRects().length) continue;
    const colour = getComputedStyle(one)[kind === 'svg' ? 'fill' : 'color'];
    const [light, dark] = [luminance(colour), luminance(behind(one))].sort((a, b) => b - a);
    found.push([(light + 0.05) / (dark + 0.05), kind, text, colour]);
  }
  return found;
})()"""


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
    assert chromium.value(_STICKING_OUT) == [True, []]
    chromium.value(_OPEN_ALL)
    assert chromium.value(_STICKING_OUT) == [True, []]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["good", "useless"])
def test_every_text_stands_out_from_what_is_behind_it(chromium, pages, name, scheme):
    chromium.open(pages / f"{name}.html", 1280, scheme)
    chromium.value(_OPEN_ALL)
    found = chromium.value(_CONTRASTS)
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
