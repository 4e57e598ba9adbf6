"""The arrays of an index answer as its SavedModel does."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from components.errors import UserError
from components.export.arrays import Texts
from components.export.manifest import LOWEST_SCORE
from components.export.mapped_index import MappedIndex, best
from components.registry import erasure
from components.saved_models import stored_strings

pytestmark = pytest.mark.tensorflow

_PLAIN = {"include_rated": False, "exclude": [], "only": [], "order": "score", "pool": 100}


@pytest.fixture(scope="module")
def world(mapped_world):
    return mapped_world[0]


@pytest.fixture(scope="module")
def directory(mapped_world):
    return mapped_world[1] / "index"


@pytest.fixture(scope="module")
def ask(directory):
    loaded = tf.saved_model.load(str(directory))

    def ask(signature, inputs):
        function = loaded.signatures[signature]
        specs = function.structured_input_signature[1]
        answer = function(**{name: tf.constant(value, specs[name].dtype) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in answer.items()}

    return ask


@pytest.fixture(scope="module")
def mapped(directory):
    return MappedIndex.open(directory)


_USERS = ["user3", "stranger", "user1", "user0", "ünïq", "", "user3"]
_RANK = {"user_id": _USERS, "k": 10, "ratings": "all"}
_MOVIES = ["m4", "m0", "m7", "no such movie", "m89"]


def test_users_are_ranked_together_as_each_alone(mapped):
    assert mapped._arrays["candidates"].flags.c_contiguous
    users = np.array([3, -1, 0, 5, 3, 7, 8, 9, 10])
    for count in range(len(users) + 1):
        together = mapped.rank(users[:count], 10)
        for place, user in enumerate(users[:count]):
            alone = mapped.rank(np.array([user]), 10)
            np.testing.assert_array_equal(together.row[place], alone.row[0])
            np.testing.assert_allclose(together.score[place], alone.score[0], rtol=1e-6, atol=1e-6)
            np.testing.assert_allclose(together.rating[place], alone.rating[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("signature", "inputs"),
    [
        *(("recommend", {**_RANK, "k": k}) for k in (1, 10, 60, 90, 1000, 0, -1)),
        ("recommend", {**_RANK, "user_id": []}),
        ("rank", _RANK),
        ("serving_default", {"user_id": _USERS}),
        ("recommend_filtered", {**_RANK, **_PLAIN}),
        ("recommend_filtered", {**_RANK, **_PLAIN, "exclude": ["m4", "m5", "x"], "order": "rating"}),
        ("recommend_filtered", {**_RANK, **_PLAIN, "only": ["m4", "m5", "m6", "m7", "m8", "y"]}),
        ("recommend_filtered", {**_RANK, **_PLAIN, "order": "rating", "pool": 12, "k": 0}),
        *(("similar", {"movie_id": _MOVIES, "k": k}) for k in (1, 10, 1000, 0)),
        ("similar", {"movie_id": [], "k": 3}),
        ("history", {"user_id": _USERS}),
        ("history", {"user_id": []}),
        ("catalogue", {}),
        ("users", {}),
        (
            "rate",
            {"user_id": ["stranger"] * 2 + ["user4"], "movie_id": ["m4", "m7", "m88"], "ratings": "all"},
        ),
        ("rate", {"user_id": [], "movie_id": [], "ratings": "all"}),
    ],
)
def test_answers_as_the_saved_model_does(world, mapped, ask, signature, inputs):
    assert 88 not in world.history("user4", "all")
    answer, expected = mapped.answer(signature, inputs), ask(signature, inputs)
    assert answer is not None
    assert answer.keys() == expected.keys()
    for name, values in expected.items():
        if values.dtype == object:
            assert [text.encode() for text in answer[name].ravel()] == values.ravel().tolist()
        else:
            assert answer[name].dtype == values.dtype, name
            np.testing.assert_allclose(answer[name], values, rtol=1e-5, atol=1e-5, err_msg=name)
        assert answer[name].shape == values.shape


@pytest.mark.parametrize(
    "words",
    [
        ["recommend", "user3"],
        ["recommend", "stranger", "--order", "rating", "--exclude", "m4", "--json"],
        ["history", "user3"],
        ["similar", "m4"],
        ["rate", "stranger", "m4"],
    ],
)
def test_a_command_starts_no_tensorflow(directory, words):
    program = (
        "import sys; from pipelines.cli import twotower; twotower(sys.argv[1:], standalone_mode=False); "
        "sys.exit('tensorflow' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, *words, "--index", str(directory)], capture_output=True, check=False
    )
    assert (ran.returncode, bool(ran.stdout)) == (0, True), ran.stderr


def test_every_pair_that_is_not_rated(world, mapped, ask):
    pairs = [
        (user, world.movie_ids[movie])
        for user in ("user2", "user5", "stranger")
        for movie in range(90)
        if movie not in world.history(user, "all")
    ]
    users, movies = zip(*pairs, strict=True)
    inputs = {"user_id": list(users), "movie_id": list(movies), "ratings": "all"}
    expected = ask("rate", inputs)["rating"]
    np.testing.assert_allclose(mapped.answer("rate", inputs)["rating"], expected, rtol=1e-5, atol=1e-5)
    assert len(np.unique(expected)) > 100


@pytest.mark.parametrize(
    ("signature", "inputs"),
    [
        ("recommend", {**_RANK, "ratings": "train"}),
        ("recommend", {**_RANK, "ratings": "validation"}),
        ("recommend_filtered", {**_RANK, **_PLAIN, "include_rated": True}),
        ("recommend_filtered", {**_RANK, **_PLAIN, "order": "title"}),
        ("rate", {"user_id": ["user1"], "movie_id": ["m4"], "ratings": "all"}),
        ("rate", {"user_id": ["stranger"], "movie_id": ["no such movie"], "ratings": "all"}),
        ("rate", {"user_id": ["stranger"], "movie_id": ["m4"], "ratings": "train"}),
        ("recommend_from_history", {}),
    ],
)
def test_leaves_to_the_model_what_takes_it(mapped, signature, inputs):
    assert mapped.answer(signature, inputs) is None


def test_the_users_of_an_index(world, mapped):
    assert mapped.user_ids == world.user_ids
    assert mapped.users(["user3", "stranger"]).tolist() == [world.user_ids.index("user3"), -1]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.unlink(), "absent or cut off"),
        (lambda file: file.write_bytes(file.read_bytes()[:-8]), "absent or cut off"),
        (lambda file: np.save(file, np.zeros(3)), r"float64\[3\] instead of float32"),
        (lambda file: np.save(file, np.array([{}]), allow_pickle=True), "absent or cut off"),
    ],
)
def test_a_damaged_array_is_one_line(directory, tmp_path, damage, message):
    copy = shutil.copytree(directory, tmp_path / "index")
    damage(copy / "arrays" / "profiles.npy")
    with pytest.raises(UserError, match=rf"profiles\.npy is damaged: .*{message}.*twotower export"):
        MappedIndex.open(copy).answer("rank", _RANK)


def test_an_index_without_arrays_answers_nothing(directory, tmp_path):
    manifest = json.loads((directory / "manifest.json").read_text("utf-8"))
    del manifest["arrays"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert MappedIndex.open(tmp_path).answer("rank", _RANK) is None


@pytest.mark.parametrize("k", [1, 3, 7, 16, 200])
def test_the_best_are_the_first_of_equals(k):
    random = np.random.default_rng(k)
    scores = random.integers(0, 5, (40, 117)).astype(np.float32)
    scores[random.random(scores.shape) < 0.2] = LOWEST_SCORE
    scores[3] = LOWEST_SCORE
    rows, values = best(scores, k)
    for user, row in enumerate(scores):
        expected = [movie for movie in np.argsort(-row, kind="stable")[:k] if row[movie] > LOWEST_SCORE]
        assert rows[user].tolist() == expected + [117] * (min(k, 117) - len(expected))
        assert values[user].tolist() == [*row[expected], *[LOWEST_SCORE] * (min(k, 117) - len(expected))]


def test_finds_texts_in_the_order_of_their_bytes():
    values = ["b", "", "a", "é", "zz", "日本", "a\x00", "10", "9"]
    texts = Texts(*Texts.arrays(values))
    assert texts.tolist() == values
    assert texts.find([*values, "c", b"zz"], texts.order()).tolist() == [*range(len(values)), -1, 4]
    assert Texts(*Texts.arrays([])).find(["a"], np.zeros(0, np.int32)).tolist() == [-1]


def test_users_to_forget_are_found_in_the_graph_and_in_the_arrays_of_an_index(directory, world):
    wanted = {user.encode() for user in world.user_ids}
    assert {user for part in stored_strings(directory, erasure._USER_IDS) for user in part} == wanted
    assert {user for part in erasure._mapped_ids(directory) for user in part} == wanted
