"""The page for people, read as text."""

import html
import re

import pytest

from components.serve.page import Question
from components.vocabulary.conditions import Rules

pytestmark = pytest.mark.tensorflow


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", " ", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)))


def section(page: str, name: str) -> str:
    found = re.search(rf'<section id="{name}">(.*?)</section>', page, flags=re.DOTALL)
    assert found, f"no section {name}"
    return text_of(found[1])


def test_a_user_sees_history_and_recommendations(server, world) -> None:
    page = server.page("?user=user2")
    history = world.history("user2", "all")
    shown = section(page, "history")
    assert all(world.titles[movie] in shown for movie in history)
    recommended = section(page, "recommended")
    without_reasons = re.sub(r"because the user .*", "", recommended)
    positions = [without_reasons.find(world.titles[movie]) for movie in world.best(history, 5)]
    assert positions == sorted(positions)
    assert positions[0] > 0
    for movie in world.best(history, 20):
        for reason in reasons(world, history, movie):
            [said] = re.findall(rf"{re.escape(shown_as(world, movie))}\s+because the user (.*)", recommended)
            verb = "liked" if history[reason] >= 4 else "rated"
            assert re.search(rf"{verb} .*{re.escape(shown_as(world, reason))}", said)


def shown_as(world, movie):
    return f"{world.titles[movie]} ({world.years[movie]})" if world.years[movie] else world.titles[movie]


def reasons(world, history, movie):
    """The movies of `history` without which numpy's score of `movie` falls most."""
    score = world.scores(history)[movie]
    falls = {one: score - world.scores({**history, one: 3.0})[movie] for one in history}
    return sorted((one for one in falls if falls[one] > 1e-4), key=lambda one: -falls[one])[:3]


def test_an_unknown_user_is_told_so(server) -> None:
    page = server.page("?user=%3Cb%3Enobody")
    assert "Nothing is known of this user" in section(page, "history")
    assert "<b>" not in page


def test_movies_are_found_picked_and_taken_out_again(server, world) -> None:
    page = server.page("?find=the+mat")
    assert 'The "Matrix"' in section(page, "found")
    five_stars = html.unescape(re.findall(r'href="/(\?[^"]*)" aria-label="5 stars"', page)[0])
    page = server.page(five_stars)
    assert section(page, "picked").split()[:4] == ["You", "picked", "The", '"Matrix"']
    first = world.titles[world.best({5: 5.0}, 1)[0]]
    assert re.search(r"predicted\s+" + re.escape(first), section(page, "for-picks"))
    [take_out] = re.findall(r'href="/(\?[^"]*)" aria-label="take out [^"]*"', page)
    assert 'id="picked"' not in server.page(html.unescape(take_out))
    assert "No title has these words" in section(server.page("?find=zzz"), "found")


def test_titles_are_text(server) -> None:
    page = server.page("?find=%3Cscript&pick=4:m3&pick=1:unknown&pick=x:m2&pick=")
    assert "<script" not in page
    assert "<script>document.title = 'taken'</script>" in section(page, "picked")


def test_the_page_needs_nothing_from_elsewhere(server) -> None:
    connection = server.connection()
    connection.request("GET", "/")
    response = connection.getresponse()
    page = response.read().decode()
    assert "default-src 'none'" in (response.getheader("Content-Security-Policy") or "")
    assert response.getheader("Content-Type") == "text/html; charset=utf-8"
    assert not re.search(r"(src=|https?://|@import|url\()", page)


def test_the_address_says_it_all() -> None:
    query = [("user", " u "), ("find", "x"), ("pick", "5:a:b"), ("pick", "0x:c"), ("other", "1")]
    question = Question.of(query)
    assert question == Question("u", "x", {"a:b": 5.0})
    assert question.with_pick("c", 3) == "/?user=u&find=x&pick=5%3Aa%3Ab&pick=3%3Ac"
    assert question.with_pick("a:b", 0) == "/?user=u&find=x"
    assert len(Question.of([("pick", f"1:{number}") for number in range(99)]).picks) == 50


def test_a_filter_is_in_the_address_too() -> None:
    query = [
        ("from", "1990 "),
        ("to", ""),
        ("genre", "Sci-Fi"),
        ("where", "minutes<90"),
        ("diversity", "0.3"),
    ]
    question = Question.of(query)
    assert question.rules() == Rules(["year>=1990", 'genre="Sci-Fi"', "minutes<90"], diversity=0.3)
    assert question.with_pick("m", 3) == (
        "/?from=1990&genre=Sci-Fi&where=minutes%3C90&diversity=0.3&pick=3%3Am"
    )
    assert not Question.of([("from", " ")]).rules().any


def shown_rows(world, text):
    """The movies of a section, in their order."""
    text = re.sub(r"because (the user|you) .*", "", text)
    places = {movie: text.find(f" {shown_as(world, movie)}") for movie in range(40)}
    return sorted((movie for movie in places if places[movie] >= 0), key=lambda movie: places[movie])


def has(world, genre):
    return [movie for movie in range(40) if genre in world.genres[movie].split("|")]


@pytest.mark.parametrize("visitor", ["user=user2", "pick=5:m5"])
def test_recommendations_are_narrowed_down(server, world, visitor) -> None:
    history = world.history("user2", "all") if "user" in visitor else {5: 5.0}
    best = [movie for movie in world.best(history, 40) if movie in has(world, "Comedy")]
    best = [movie for movie in best if world.years[movie] >= 1960 and movie < 30]
    page = server.page(f"?{visitor}&genre=Comedy&from=1960&where=minutes%3C90")
    text = section(page, "recommended" if "user" in visitor else "for-picks")
    left = [movie for movie in has(world, "Comedy") if world.years[movie] >= 1960 and movie < 30]
    assert f"The filter leaves {len(left)} of 40 movies." in text
    assert shown_rows(world, text) == best[:20]
    assert "<option selected>Comedy</option>" in page
    assert 'value="minutes&lt;90"' in page


def test_variety_changes_the_order(server, world) -> None:
    plain, varied = (
        shown_rows(world, section(server.page(f"?user=user2{more}"), "recommended"))
        for more in ("", "&diversity=0.7")
    )
    assert plain[0] == varied[0]
    assert plain != varied


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("from=old", 'year holds numbers, and "old" is none'),
        ("where=yaer%3E1", 'there is no column "yaer", did you mean year?'),
        ("diversity=much", "variety much: give a number, 0 to 1"),
        ("diversity=nan", "give a number, 0 to 1"),
        ("where=genre%3DComdey", 'no movie has the genre "Comdey"; did you mean Comedy?'),
    ],
)
def test_what_cannot_be_followed_is_said(server, query, said) -> None:
    page = server.page(f"?user=user2&pick=4:m5&{query}")
    [note] = re.findall(r'<p role="alert" class="note">(.*?)</p>', page)
    assert said in html.unescape(note)
    assert "--" not in note
    # Nothing is recommended as if there were no filter.
    assert ('id="recommended"' in page) == ('id="for-picks"' in page) == ("no movie has" in said)


def test_genres_are_text(server) -> None:
    page = server.page()
    assert "Narrow down" in page
    assert "<option>&lt;b&gt;War</option>" in page
    assert "on year, genre, minutes" in page
