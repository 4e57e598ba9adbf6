"""Feedback without stars, from a file of plays to the answers of the index."""

import json
import shutil

import msgspec
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from implicit_world import MOVIES, plays, write_world

from components.documents import read_document
from components.errors import UserError
from components.evaluate.champion import Champion, comparison
from components.evaluate.held_out import HeldOut
from components.evaluate.verdict import SKIPPED, load_verdict
from components.export.manifest import read_manifest
from components.ingest.dataset import RatingsDataset
from components.ingest.implicit import count_of, weight_of
from components.metrics import EASE, POPULARITY
from components.recommend.batch import write_recommendations
from components.recommend.index import PublishedIndex
from components.recommend.showcase import render, showcase
from components.train.artifact import read_log, read_record, write_record
from components.vocabulary.interactions import Interactions, InteractionsSummary
from components.vocabulary.vocabulary import Vocabulary
from pipelines.cli import twotower

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def world(made_once):
    return made_once("implicit-world", write_world)


@pytest.fixture(scope="module")
def index(world):
    return PublishedIndex.load(world / "index")


@pytest.fixture
def run(world):
    def invoke(*words):
        return CliRunner().invoke(twotower, [*words, "--index", str(world / "index")])

    return invoke


def test_weights_are_of_the_number_of_plays(world):
    dataset = RatingsDataset.load(world / "dataset")
    rows = [row for name in ("train", "validation", "test") for row in read(dataset.split(name))]
    counts = {(row["user_id"], row["movie_id"]): round(count_of(row["rating"]), 3) for row in rows}
    assert counts == plays()
    assert dataset.statistics.rows_read == plays().total()
    assert dataset.statistics.duplicates == plays().total() - len(plays())
    assert (world / "dataset" / "rejects.csv").read_text().count("\n") == 1  # the header


def read(file):
    return pq.read_table(file).to_pylist()


def test_every_artifact_says_so(world):
    documents = [
        RatingsDataset.load(world / "dataset").statistics,
        Interactions.load(world / "interactions"),
        read_record(world / "model"),
        load_verdict(world / "evaluation"),
        read_manifest(world / "index"),
    ]
    assert [document.feedback for document in documents] == ["implicit"] * 5
    page, card = (world / "page.html").read_text(), (world / "model_card.md").read_text()
    assert "The feedback has no stars: it recommends, and predicts no ratings." in page
    assert "and predicts\nno ratings" in card
    assert not [
        text for text in (page, card) if "★" in text or "stars off" in text or "stars on average" in text
    ]


def test_interactions_of_an_earlier_release_are_stars(world, tmp_path):
    fields = json.loads((world / "interactions" / "interactions.json").read_text())
    del fields["feedback"]
    (tmp_path / "old.json").write_text(json.dumps(fields))
    assert read_document(tmp_path / "old.json", InteractionsSummary).feedback == "stars"


def test_the_model_has_no_rating_head(world):
    record = read_record(world / "model")
    assert record.settings["rating_head"] == "none"
    assert record.validation_rmse is None
    assert record.validation_top_100_accuracy_unseen is not None
    for entry in read_log(world / "model"):
        assert (entry.rating_loss, entry.validation_rmse) == (None, None)
        assert "RMSE" not in str(entry)
        assert "top-100 unseen" in str(entry)


def test_users_are_recommended_what_they_play(index):
    for number in range(4):
        movies = index.recommend([f"u{number}"], 10).movies(0)
        own = [movie for movie in movies if int(movie["movie_id"][1:]) % 2 == number % 2]
        assert len(own) >= 8
        assert all("rating" not in movie and movie["score"] for movie in movies)


def test_reasons_are_of_what_was_watched(index, run):
    reasons = index.explain("u0", [movie["movie_id"] for movie in index.recommend(["u0"], 3).movies(0)])
    counts = {one["movie_id"]: one["count"] for one in index.history("u0")}
    assert reasons.movies[0]
    for reason in (one for movie in reasons.movies for one in movie):
        assert "rating" not in reason
        assert reason["count"] == counts[reason["movie_id"]]
    said = run("recommend", "u0", "-k", "3", "--why").stdout
    assert "\twatched Movie" in said


def test_the_gate_judges_what_it_recommends(world):
    verdict = load_verdict(world / "evaluation")
    assert verdict.metrics.baselines.keys() == {POPULARITY, EASE}
    assert not [
        name for values in verdict.scorers.values() for name in values if "rmse" in name or "mae" in name
    ]
    of_stars = [rule for rule in verdict.rules if "rmse" in rule.name or rule.name.startswith("data_rating")]
    assert len(of_stars) == 7
    assert {(rule.verdict, rule.why) for rule in of_stars} == {
        (SKIPPED, "The feedback has no stars (--feedback implicit).")
    }
    passed = {rule.name for rule in verdict.rules if rule.verdict == "pass"}
    assert {"finite", "top_100_vs_popularity", "ndcg_10_vs_popularity", "retrieval_decided"} <= passed


def test_the_signatures_stay_and_rate_everything_0(index):
    assert {"rate", "recommend_filtered", "rank"} <= index.manifest.signatures.keys()
    assert "rating" in index.manifest.signatures["recommend"].outputs
    answer = index._ask("rate", user_id=["u0", "u0"], movie_id=["m0", "nothing"], ratings="all")
    assert answer["rating"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("words", [("rate", "u0", "m1"), ("recommend", "u0", "--order", "rating")])
def test_who_asks_for_ratings_is_refused_in_one_line(run, words):
    refused = run(*words).exception
    assert isinstance(refused, UserError)
    assert "predicts no ratings" in str(refused)
    assert "\n" not in str(refused)


def test_models_of_other_feedback_are_not_compared(world, tmp_path):
    names = Vocabulary.load(world / "vocabulary")
    held_out = HeldOut.test_of(Interactions.load(world / "interactions"), names)
    shutil.copytree(world / "model", tmp_path / "stars")
    record = read_record(world / "model")
    write_record(tmp_path / "stars", msgspec.structs.replace(record, feedback="stars"))
    ours, theirs = (
        comparison(Champion.load(str(place)), held_out, names, False)
        for place in (world / "model", tmp_path / "stars")
    )
    assert "trained on" not in ours.absence
    assert ours.data is not None
    assert theirs.absence == "The champion learned from stars, this one from feedback without stars."
    assert (theirs.opener, theirs.data, theirs.no_data) == (None, None, theirs.absence)


def test_commands_leave_ratings_out(run, tmp_path):
    own = [line.split("\t") for line in run("recommend", "u0", "-k", "3").stdout.splitlines()]
    assert own[0] == ["movie", "id", "score"]
    assert len(own) == 4
    answer = json.loads(run("recommend", "u0", "-k", "3", "--json").stdout)
    assert answer["recommendations"][0].keys() == {"movie_id", "title", "year", "score"}
    history = json.loads(run("history", "u0", "--json").stdout)["history"]
    assert {movie["movie_id"]: movie["count"] for movie in history} == {
        movie: count for (user, movie), count in plays().items() if user == "u0"
    }
    assert all("rating" not in movie for movie in history)
    assert run("history", "u0").stdout.startswith("movie\tid\tcount\tsplit\n")
    (tmp_path / "mine.csv").write_text("title,rating\nMovie 0,5\nMovie 2,4\nMovie 4,4\n")
    mine = json.loads(run("recommend", "--history", str(tmp_path / "mine.csv"), "--json").stdout)
    movies = [movie["movie_id"] for movie in mine["recommendations"]]
    assert sum(int(movie[1:]) % 2 == 0 for movie in movies) >= 8


def test_a_batch_has_no_ratings(index, tmp_path):
    for name in ("batch.parquet", "batch.csv", "batch.jsonl"):
        write_recommendations(index, ["u0", "nobody"], 3, tmp_path / name)
    columns = ["user_id", "rank", "movie_id", "score", "known_user"]
    assert pq.read_table(tmp_path / "batch.parquet").column_names == columns
    assert "rating" not in (tmp_path / "batch.csv").read_text().splitlines()[0]
    lines = (tmp_path / "batch.jsonl").read_text().splitlines()
    assert len(lines) == 6
    assert json.loads(lines[0]).keys() == {*columns, "title", "year"}
    with pytest.raises(UserError, match="--order rating"):
        write_recommendations(index, ["u0"], 3, tmp_path / "batch.csv", order="rating")


def test_the_example_at_the_end_of_a_run_shows_counts(world):
    shown = showcase(world / "index", 3)
    assert all(movie["count"] >= 1 for movie in shown.liked)
    assert [column.header for column in render(shown).columns] == ["liked best", "count", "should watch next"]


def test_the_server_leaves_ratings_out(world):
    from components.serve.page import Question, page
    from components.serve.served_index import Served, ServedIndex

    index = ServedIndex.load(world / "index")
    index.warm_up()
    inputs = {"user_id": ["u0"], "k": 3, "ratings": "all"}
    assert "rating" not in index.predict("recommend", inputs)
    weights = dict(
        zip(
            *(index.predict("history", {"user_id": ["u0"]})[name] for name in ("movie_id", "rating")),
            strict=True,
        )
    )
    assert weights == pytest.approx(
        {movie: weight_of(count) for (user, movie), count in plays().items() if user == "u0"}
    )
    with pytest.raises(UserError, match="predicts no ratings"):
        index.predict("rate", {"user_id": ["u0"], "movie_id": ["m1"], "ratings": "all"})
    found = page(Served(1, "", index), Question("u0", "movie", {f"m{MOVIES - 1}": 5.0}))
    assert "★" not in found
    assert "Pick what you have seen" in found
    assert "u0 watched" in found


def test_evaluate_reads_events_by_the_index(run, tmp_path):
    (tmp_path / "later.csv").write_text(
        "user,item\n"
        + "".join(
            f"u{user},m{movie}\n"
            for user in range(40)
            for movie in range(60)
            if (f"u{user}", f"m{movie}") not in plays()
        )
    )
    answer = run("evaluate", "--ratings", str(tmp_path / "later.csv"))
    assert answer.exit_code == 0, answer.stderr
    assert "RMSE (stars)" not in answer.stdout
