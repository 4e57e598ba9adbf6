"""What the check in a fresh process refuses."""

import copy
import shutil
import tracemalloc

import numpy as np
import pytest

from components.errors import UserError
from components.export import answers, validation
from components.export.answers import ask_in_fresh_process
from components.export.arrays import pack
from components.export.manifest import BRUTE_FORCE
from components.export.validation import validate
from components.train.scoring import ScoringModel
from components.vocabulary.interactions import Interactions, UserRatings
from components.vocabulary.vocabulary import Vocabulary

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def scoring(inputs):
    return ScoringModel.load(inputs["model"])


@pytest.fixture(scope="module")
def sample(inputs):
    rows = Interactions.load(inputs["interactions"])
    return validation.draw_sample(
        Vocabulary.load(inputs["vocabulary"]).user_ids, rows.known(), rows.split("test")
    )


def test_the_sample_reaches_from_no_known_rating_to_the_most_and_to_nobody(world, sample):
    assert {"user0", "user1"} <= set(sample.user_ids)
    assert sample.user_ids[-1] not in world.user_ids
    for ratings, histories in sample.histories.items():
        for row, user in enumerate(sample.user_ids):
            movies, stars, _ = histories[row : row + 1].arrays
            assert dict(zip(movies, stars, strict=True)) == world.history(user, ratings)


def test_nobody_is_nobody_even_if_a_user_is_called_so():
    one = UserRatings.group([0], [0], [3.0], users=1)
    sample = validation.draw_sample(np.array(["nobody"], object), one, one)
    assert sample.user_ids == ["nobody", "nobody?"]


@pytest.fixture(scope="module")
def asked(index, scoring, sample):
    """What a fresh process really answers; each test may spoil a copy."""
    pairs = validation._pairs(scoring, sample)
    questions = validation._questions(scoring, sample, pairs, [])
    timed = {"signature": "serving_default", "inputs": [{"user_id": ["user1"]}], "repeats": 10}
    return ask_in_fresh_process(index, questions, BRUTE_FORCE, timed)


@pytest.fixture
def validate_answers(index, scoring, sample, monkeypatch):
    """`validate` over given answers."""

    def run(answers, max_latency_ms=1e6):
        monkeypatch.setattr(validation, "ask_in_fresh_process", lambda *_: answers)
        return validate(index, scoring, sample, [], max_latency_ms)

    return run


def test_measures_what_it_compared(asked, sample, validate_answers):
    found = validate_answers(asked)
    assert found.users == len(sample.user_ids)
    assert found.largest_difference < 1e-5
    assert found.recommend_p99_ms >= found.recommend_p50_ms > 0


@pytest.mark.parametrize(("question", "output"), [(0, "score"), (0, "rating"), (2, "score"), (2, "rating")])
def test_refuses_a_wrong_figure_in_a_recommendation(asked, validate_answers, question, output):
    spoilt = copy.deepcopy(asked)
    row = next(row for row, ids in enumerate(spoilt["answers"][question]["movie_id"]) if ids[0])
    spoilt["answers"][question][output][row][0] += 0.01
    with pytest.raises(UserError, match=rf"differ from those of the model \({output}.*nothing was exported"):
        validate_answers(spoilt)


@pytest.mark.parametrize("question", [1, 3])
def test_refuses_a_wrong_rating(asked, validate_answers, question):
    spoilt = copy.deepcopy(asked)
    spoilt["answers"][question]["rating"][-1] += 0.01
    with pytest.raises(UserError, match="rating"):
        validate_answers(spoilt)


@pytest.mark.parametrize("put_in_its_place", ["", "m1"])
def test_refuses_a_recommendation_that_lacks_a_movie(asked, validate_answers, put_in_its_place):
    spoilt = copy.deepcopy(asked)
    nobody = spoilt["answers"][0]["movie_id"][-1]
    nobody[-1 if put_in_its_place == "" else nobody.index("m2")] = put_in_its_place
    with pytest.raises(UserError, match="number of movies"):
        validate_answers(spoilt)


def test_refuses_an_index_that_is_too_slow(asked, validate_answers):
    with pytest.raises(UserError, match="--max-latency-ms"):
        validate_answers(asked, max_latency_ms=1e-3)


def test_refuses_an_index_that_does_not_load(index, scoring, sample, tmp_path):
    damaged = shutil.copytree(index, tmp_path / "index")
    (damaged / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="does not load in a fresh process"):
        validate(damaged, scoring, sample, [], max_latency_ms=1e6)


def test_refuses_an_index_that_hangs(index, scoring, sample, monkeypatch):
    monkeypatch.setattr(answers, "_TIMEOUT_SECONDS", 0.1)
    with pytest.raises(UserError, match="did not answer within"):
        validate(index, scoring, sample, [], max_latency_ms=1e6)


def test_no_difference_is_small_enough_to_hide_a_nan():
    with pytest.raises(UserError, match="nan"):
        validation._difference("score", [1.0, np.nan], [1.0, 1.0])


def test_packs_known_ratings_before_held_out_ones():
    known = UserRatings.group([0, 0], [1, 5], [4.0, 0.5], users=2)
    held_out = UserRatings.group([0, 1, 1], [3, 0, 2], [5.0, 4.0, 3.5], users=2)
    packed = pack(known, held_out, movies=6)
    assert packed.offsets.tolist() == [0, 3, 5]
    assert packed.known_counts.tolist() == [2, 0]
    assert packed.movies.tolist() == [1, 5, 3, 0, 2]
    assert packed.levels[packed.level_of].tolist() == [4.0, 0.5, 5.0, 4.0, 3.5]


def test_packs_piece_by_piece_into_files(tmp_path, monkeypatch):
    random, users = np.random.default_rng(3), 5_000
    keys = random.permutation(users * 100)[:200_000]
    stars = random.integers(1, 6, len(keys)).astype(np.float32)
    known, held_out = (
        UserRatings.group(*np.divmod(keys[half], 100), stars[half], users)
        for half in (slice(None, 150_000), slice(150_000, None))
    )
    whole = pack(known, held_out, movies=100)
    monkeypatch.setattr("components.vocabulary.interactions.PIECE", 2_000)
    monkeypatch.setattr("components.vocabulary.interactions._LARGEST_IN_MEMORY", 0)
    tracemalloc.start()
    try:
        packed = pack(known, held_out, 100, tmp_path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    for one, other in zip(packed, whole, strict=True):
        np.testing.assert_array_equal(one, other)
    assert most < 2 * len(keys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("movies", "bytes_each"), [(256, 1), (257, 2), (65_536, 2), (65_537, 4)])
def test_packs_movies_in_the_fewest_bytes(movies, bytes_each):
    last = UserRatings.group([0], [movies - 1], [3.0], users=1)
    nothing = UserRatings.group(np.array([], int), [], [], users=1)
    packed = pack(last, nothing, movies)
    assert packed.movies.itemsize == bytes_each
    assert packed.movies.tolist() == [movies - 1]
