"""`twotower recommend`, `rate`, `history` and `similar`."""

import io
import json

import pytest
from click.testing import CliRunner
from rich.console import Console

from components import display
from components.errors import UserError
from components.recommend.index import PublishedIndex
from components.recommend.showcase import render, showcase
from pipelines.cli import twotower

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def run(index, index_directory, monkeypatch):
    """Runs a command on an index that is loaded once for all."""
    monkeypatch.setattr(
        PublishedIndex, "open_directory", lambda path: index if path == str(index_directory) else None
    )

    def invoke(*words):
        result = CliRunner().invoke(
            twotower, [*words, "--index", str(index_directory)], catch_exceptions=False
        )
        return result.exit_code, result.stdout, result.stderr

    return invoke


def lines(output):
    return [line.split("\t") for line in output.splitlines()]


def test_recommend_prints_a_line_a_movie(world, run):
    code, output, notes = run("recommend", "user2", "-k", "4")
    assert (code, notes) == (0, "")
    assert lines(output)[0] == ["movie", "id", "predicted rating"]
    best = world.best(world.history("user2", "all"), 4)
    assert [row[1] for row in lines(output)[1:]] == [world.movie_ids[movie] for movie in best]
    stars = [f"{world.stars(world.history('user2', 'all'), movie):.1f}" for movie in best]
    assert [row[2] for row in lines(output)[1:]] == stars


def test_recommend_says_why_its_table_is_empty(world, run):
    rated = world.movie_ids[next(iter(world.history("user2", "all")))]
    code, output, notes = run("recommend", "user2", "--only", rated)
    assert (code, lines(output)) == (0, [["movie", "id", "predicted rating"]])
    assert notes.startswith("Nothing to recommend: user user2 has rated every movie that can be; --only")


def test_recommend_to_somebody_who_is_in_no_training_data(world, run, tmp_path):
    history = world.history("user2", "all")
    low, high = 1.0, 5.0
    rows = [
        f"{world.movie_ids[movie]},{2 * (stars - low) / (high - low)}" for movie, stars in history.items()
    ]
    file = tmp_path / "own.csv"
    file.write_text("\n".join(["movieId,rating", *rows, "nothing,1"]))
    code, output, notes = run("recommend", "--history", str(file), "--rating-scale", "0,2", "-k", "4")
    assert code == 0
    assert f"{len(history)} of {len(history) + 1} rated movies are in the catalogue" in notes
    assert "not found: nothing" in notes
    best = world.best(history, 4)
    assert [row[1] for row in lines(output)[1:]] == [world.movie_ids[movie] for movie in best]


@pytest.mark.parametrize("words", [[], ["user2", "--history", "own.csv"]])
def test_recommend_wants_a_user_or_a_history(run, words):
    with pytest.raises(UserError, match="give a USER, or a file of ratings with --history"):
        run("recommend", *words)


def test_recommend_as_json(world, run):
    _, output, _ = run("recommend", "user2", "-k", "2", "--json", "--known", "train")
    answer = json.loads(output)
    assert (answer["user_id"], answer["known_user"]) == ("user2", True)
    best = world.best(world.history("user2", "train"), 2)
    assert [movie["movie_id"] for movie in answer["recommendations"]] == [world.movie_ids[m] for m in best]


def test_recommend_to_a_stranger_says_that_it_is_popularity(world, run):
    code, output, notes = run("recommend", "stranger", "-k", "1")
    assert code == 0
    assert "Nothing is known of user stranger" in notes
    assert lines(output)[1][1] == world.movie_ids[world.biases.argmax()]


def test_rate_by_title_shows_the_prediction_beside_the_rating(world, run):
    movie, stars = next(iter(world.history("user4", "all").items()))
    code, output, _ = run("rate", "user4", f"m{movie}")
    predicted = world.stars(world.history("user4", "all"), movie)
    assert code == 0
    assert lines(output)[1][1:] == [f"m{movie}", f"{predicted:.1f}", f"{stars:.1f}"]
    _, output, _ = run("rate", "user4", "TOY story", "--json")
    answer = json.loads(output)
    assert (answer["movie_id"], answer["title"], answer["known_user"]) == ("m7", "Toy Story", True)
    assert answer["rating"] == pytest.approx(world.stars(world.history("user4", "all"), 7), abs=1e-4)


def test_rate_for_a_stranger_says_so(run):
    code, _, notes = run("rate", "stranger", "m7")
    assert code == 0
    assert "Nothing is known of user stranger" in notes


@pytest.mark.parametrize(
    ("movie", "message"), [("hamlet", "3 movies"), ("Toy Stori", "did you mean Toy Story")]
)
def test_rate_refuses_a_movie_that_is_not_one(run, movie, message):
    with pytest.raises(UserError, match=message):
        run("rate", "user2", movie)


def test_an_id_wins_over_a_title(run):
    _, output, _ = run("rate", "user2", "m11", "--json")
    assert json.loads(output)["movie_id"] == "m11"


def test_history_lists_the_best_rated_first_and_marks_test_ratings(world, run):
    code, output, _ = run("history", "user5")
    rows = lines(output)
    assert code == 0
    assert rows[0] == ["movie", "id", "rated", "split"]
    assert len(rows) - 1 == len(world.history("user5", "all"))
    held_out = {world.movie_ids[movie] for movie in world.held_out["user5"]}
    assert {row[1] for row in rows[1:] if row[3] == "test"} == held_out
    assert [row[2] for row in rows[1:]] == sorted((row[2] for row in rows[1:]), reverse=True)
    _, output, _ = run("history", "user5", "--json")
    assert len(json.loads(output)["history"]) == len(rows) - 1


def test_history_of_a_stranger_is_refused(run):
    with pytest.raises(UserError, match="no ratings of a user"):
        run("history", "stranger")


def test_similar_lists_the_nearest(run, index):
    _, output, _ = run("similar", "Toy Story (1995)", "-k", "3")
    assert [row[1] for row in lines(output)[1:]] == [movie["movie_id"] for movie in index.similar("m7", 3)]
    _, output, _ = run("similar", "m7", "-k", "3", "--json")
    assert len(json.loads(output)["similar"]) == 3


def test_a_title_can_neither_break_a_line_nor_colour_the_terminal(run):
    _, output, _ = run("rate", "user2", "m8")
    assert len(lines(output)) == 2
    assert lines(output)[1][0] == "[red]Dot [31m  (1999)"


def test_version_and_index_exclude_each_other(index_directory):
    words = ["recommend", "user2", "--index", str(index_directory), "--version", "v1"]
    result = CliRunner().invoke(twotower, words)
    assert result.exit_code == 2
    assert "--version" in result.stderr


def test_without_an_index_the_registrys_champion_answers(index_directory, monkeypatch):
    asked = []

    class Files:
        fetch = index_directory.joinpath

        def __init__(self, *arguments):
            asked.append(arguments)

        def whole(self):
            raise AssertionError("the model is not needed")

    monkeypatch.setattr("components.registry.registry.PublishedFiles", Files)
    result = CliRunner().invoke(twotower, ["history", "user5", "--registry", "gs://b/r", "--version", "v1"])
    assert result.exit_code == 0
    assert asked == [("gs://b/r", "v1")]


def rendered(renderable):
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    console.print(renderable)
    return console.file.getvalue().splitlines()


def test_a_table_keeps_to_80_columns_and_shows_every_figure():
    rows = [["An Endless Title " * 10, "123456", "4.5"], ["[b]Short[/b]", "7", "3.0"]]
    drawn = rendered(display.table("For user 12", ["movie", "id", "rating"], rows, numbers=["id", "rating"]))
    assert max(map(len, drawn)) <= 80
    assert any("123456" in line and "4.5" in line for line in drawn)
    assert any("[b]Short[/b]" in line for line in drawn)


def test_the_showcase_keeps_to_80_columns(index_directory):
    shown = showcase(index_directory, k=3)
    drawn = rendered(render(shown))
    assert max(map(len, drawn)) <= 80
    assert any(f"User {shown.user_id}" in line for line in drawn)
    for movie in (*shown.liked, *shown.recommended):
        assert any(display.stars(movie["rating"]) in line for line in drawn)


def test_recommend_keeps_to_the_movies_that_were_asked_for(world, run):
    words = ("recommend", "user2", "--json", "-k", "40")
    best = [world.movie_ids[movie] for movie in world.best(world.history("user2", "all"), 40)]

    def found(*options):
        return [movie["movie_id"] for movie in json.loads(run(*words, *options)[1])["recommendations"]]

    assert found() == best
    assert found("--exclude", best[0], "--exclude", best[2]) == [best[1], *best[3:]]
    assert found("--only", best[3], "--only", best[1]) == [best[1], best[3]]
    assert set(found("--with-rated")) == set(world.movie_ids)
    history = world.history("user2", "all")
    stars = {movie: world.stars(history, world.movie_ids.index(movie)) for movie in best}
    assert found("--order", "rating") == sorted(best, key=lambda movie: -stars[movie])
