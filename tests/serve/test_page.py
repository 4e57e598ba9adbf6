"""The page for people, read as text and in a browser."""

import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from components.serve.page import Question

pytestmark = pytest.mark.tensorflow

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
_FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
_FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


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
    positions = [recommended.find(f" {world.titles[movie]}") for movie in world.best(history, 5)]
    assert positions == sorted(positions)
    assert positions[0] > 0


def test_an_unknown_user_is_told_so(server) -> None:
    page = server.page("?user=%3Cb%3Enobody")
    assert "Nothing is known of this user" in section(page, "history")
    assert "<b>" not in page


def test_movies_are_found_picked_and_taken_out_again(server, world) -> None:
    page = server.page("?find=the+mat")
    assert 'The "Matrix"' in section(page, "found")
    five_stars = html.unescape(re.findall(r'href="/(\?[^"]*)" title="5 stars"', page)[0])
    page = server.page(five_stars)
    assert section(page, "picked").split()[:4] == ["You", "picked", "The", '"Matrix"']
    first = world.titles[world.best({5: 5.0}, 1)[0]]
    assert re.search(r"predicted\s+" + re.escape(first), section(page, "for-picks"))
    [take_out] = re.findall(r'href="/(\?[^"]*)" title="take it out"', page)
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
    assert question.with_pick("c", 3) == "/?find=x&pick=5%3Aa%3Ab&pick=3%3Ac"
    assert question.with_pick("a:b", 0) == "/?find=x"
    assert len(Question.of([("pick", f"1:{number}") for number in range(99)]).picks) == 50


@pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no Chromium here")
def test_in_a_browser_it_looks_as_it_should(server, world, tmp_path: Path) -> None:
    def shown(query: str) -> str:
        address = f"http://127.0.0.1:{server.port}/{query}"
        command = [CHROMIUM, *_FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", address]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout

    page = shown("?find=%3Cscript&pick=4:m3&user=user2")
    assert "<title>What to watch</title>" in page, "a title ran as a script"
    assert world.titles[3] in section(page, "found")
    assert world.titles[3] in section(page, "picked")
    assert len(re.findall("<tr>", page)) > 20
    assert "predicted" in section(page, "recommended")
