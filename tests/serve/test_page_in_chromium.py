"""The page of the server as a person sees it, on a screen and on a phone, by mouse, finger and keyboard."""

import pytest
from chromium import CONTRASTS, PROGRAM, STICKING_OUT, Chromium

pytestmark = [pytest.mark.tensorflow, pytest.mark.skipif(not PROGRAM, reason="Chromium is not installed")]

# Every part of the page at once.
EVERYTHING = "?find=m&pick=4:m3&pick=2:m8&user=user2&from=1951&where=genre!%3Dwar&diversity=0.2"

# The places of all links: left, right, top and bottom within the page, and what they are for.
LINKS = """[...document.querySelectorAll('a')].map(one => {
  const box = one.getBoundingClientRect();
  return [box.left, box.right, box.top + scrollY, box.bottom + scrollY, one.getAttribute('aria-label')];
})"""


@pytest.fixture(scope="module")
def chromium():
    with Chromium() as browser:
        yield browser


@pytest.fixture
def show(chromium, server):
    def open_page(query="", width=390, scheme="light"):
        chromium.open(f"http://127.0.0.1:{server.port}/{query}", width, scheme)

    return open_page


@pytest.mark.parametrize("width", [1280, 390, 320])
@pytest.mark.parametrize("query", ["", EVERYTHING, "?find=zzz&user=nobody", "?user=user2&from=old"])
def test_nothing_sticks_out(show, chromium, width, query):
    show(query, width)
    assert chromium.value(STICKING_OUT) == [True, []]


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_every_star_can_be_seen_and_hit(show, chromium, width):
    show(EVERYTHING, width)
    places = chromium.value(LINKS)
    stars = [place for place in places if str(place[-1]).endswith("stars")]
    assert len(stars) == 5 * 20
    assert {label for *_, label in stars} == {f"{number} stars" for number in range(1, 6)}
    for left, right, top, bottom, label in places:
        assert 0 <= left < right <= width, label
        # The least size of a target by WCAG 2.2.
        assert min(right - left, bottom - top) >= 24, label
    boxes = [place[:4] for place in places]
    for number, (left, right, top, bottom) in enumerate(boxes):
        for other in boxes[:number]:
            apart = right <= other[0] or other[1] <= left or bottom <= other[2] or other[3] <= top
            assert apart, places[number]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(show, chromium, scheme):
    show(EVERYTHING, 390, scheme)
    found = chromium.value(CONTRASTS)
    assert len(found) > 100
    assert min(found)[0] >= 4.5, min(found)


def test_everything_has_a_name(show, chromium):
    show(EVERYTHING)
    nodes = chromium.call("Accessibility.getFullAXTree")["nodes"]
    named = {"link", "textbox", "searchbox", "spinbutton", "combobox", "button", "heading", "columnheader"}
    found = [
        (one["role"]["value"], one["name"]["value"])
        for one in nodes
        if one.get("role", {}).get("value") in named
    ]
    assert {"link", "textbox", "button", "heading", "columnheader"} <= {role for role, _ in found}
    assert [role for role, name in found if not name] == []


def test_the_keyboard_reaches_all_of_it(show, chromium, world):
    show("?find=the+mat")
    focused = list[str]()
    for _ in range(20):
        chromium.press("Tab")
        label = chromium.value(
            "document.activeElement.getAttribute('aria-label') || document.activeElement.id"
        )
        outline = chromium.value("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", label
        focused.append(label)
        if label == "4 stars":
            break
    assert focused[:2] == ["user", "find"]
    chromium.press("Enter", opens=True)
    assert chromium.value("location.search") == "?find=the+mat&pick=4%3Am5"
    assert "You picked" in chromium.value("document.body.innerText")

    show()
    chromium.press("Tab")
    for letter in "user2":
        chromium.press(letter)
    chromium.press("Enter", opens=True)
    assert "user=user2" in chromium.value("location.search")
    best = world.titles[world.best(world.history("user2", "all"), 1)[0]]
    assert best in chromium.value("document.getElementById('recommended').innerText")


def test_no_request_leaves_the_page_and_no_title_becomes_a_script(show, chromium, server):
    show("?find=%3Cscript&pick=4:m3&user=user2")
    assert [one for one in chromium.requested if not one.endswith("/favicon.ico")] == [
        f"http://127.0.0.1:{server.port}/?find=%3Cscript&pick=4:m3&user=user2"
    ]
    assert chromium.value("document.title") == "What to watch"
    assert "<script>document.title = 'taken'</script>" in chromium.value("document.body.innerText")
