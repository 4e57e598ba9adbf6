"""Indexes whose SavedModel holds no histories: they lie beside it, or nowhere."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from components.errors import UserError
from components.evaluate.indexes import IndexedModel
from components.export.answers import check_answers
from components.export.manifest import read_manifest
from components.export.step import export
from components.recommend.batch import write_recommendations
from components.recommend.index import PublishedIndex
from components.serve.served_index import ServedIndex
from pipelines.compiled import check_pipeline_inputs

pytestmark = pytest.mark.tensorflow

_GIVEN = {"history_movie", "history_rating", "history_row_splits"}
_FILTERS = {"include_rated": False, "exclude": [], "only": [], "order": "score", "pool": 50}


@pytest.fixture(scope="module")
def directories(mapped_world, made_once):
    """The directory of an index by place of the histories."""
    artifacts = mapped_world[1]
    inputs = {name: str(artifacts / name) for name in ("model", "vocabulary", "interactions")}

    def fill(folder):
        for place in ("beside", "none"):
            export(**inputs, output=str(folder / place), histories=place)

    return {"inside": artifacts / "index", **{p: made_once("places", fill) / p for p in ("beside", "none")}}


@pytest.fixture(scope="module")
def indexes(directories):
    return {place: ServedIndex.load(directory) for place, directory in directories.items()}


_USERS = ["user3", "user0", "stranger", "user1", "ünïq", "user3", ""]


@pytest.mark.parametrize("ratings", ["all", "train"])
@pytest.mark.parametrize(
    ("signature", "inputs"),
    [
        ("recommend", {"user_id": _USERS, "k": 20}),
        ("rank", {"user_id": _USERS, "k": 100}),
        ("rank", {"user_id": [], "k": 3}),
        ("explain", {"user_id": "user3", "recommended": ["m4", "m5", "m70"]}),
        ("recommend_filtered", {"user_id": _USERS, "k": 20, **_FILTERS, "exclude": ["m4", "m5"]}),
        ("recommend_filtered", {"user_id": _USERS, "k": 20, **_FILTERS, "include_rated": True}),
        ("recommend_filtered", {"user_id": _USERS, "k": 20, **_FILTERS, "order": "rating"}),
        ("rate", {"user_id": _USERS, "movie_id": ["m1", "m2", "m3", "m4", "m4", "m5", "x"]}),
    ],
)
def test_the_saved_model_answers_from_histories_beside_it(indexes, signature, inputs, ratings):
    found, expected = (
        indexes[place]._ask_model(signature, {**inputs, "ratings": ratings}) for place in ("beside", "inside")
    )
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-5, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_the_methods_answer_alike(indexes):
    beside, inside = indexes["beside"], indexes["inside"]
    assert beside.user_ids == inside.user_ids
    assert beside.history("user3") == inside.history("user3")
    assert beside.similar("m4", 5) == inside.similar("m4", 5)
    assert beside.recommend(_USERS, 9).movie_id.tolist() == inside.recommend(_USERS, 9).movie_id.tolist()
    assert beside.predict("serving_default", {"user_id": [b"user3", "user3"]})["movie_id"].shape == (2, 90)


def test_a_server_offers_the_same_signatures(indexes):
    inside = indexes["inside"].specs
    assert indexes["beside"].specs == inside
    about_users = {name for name, (inputs, _) in inside.items() if "user_id" in inputs}
    nowhere = indexes["none"].specs
    assert nowhere.keys() == inside.keys() - {"users", "history"}
    assert {name for name, (inputs, _) in nowhere.items() if inputs.keys() > _GIVEN} == about_users - {
        "history"
    }
    for index in indexes.values():
        index.warm_up()


def test_the_manifest_says_which_signatures_any_server_has(directories):
    for place in ("beside", "none"):
        manifest = read_manifest(directories[place])
        assert manifest.histories == place
        assert {"users", "history"}.isdisjoint(manifest.signatures)
        assert manifest.signatures["recommend"].inputs.keys() == {"user_id", "k", "ratings"} | _GIVEN
        assert manifest.signatures["similar"].inputs.keys() == {"movie_id", "k"}


def test_the_saved_model_holds_no_user_and_an_index_without_histories_nobody(directories):
    def holds_a_user(path):
        return any(b"user3" in file.read_bytes() for file in path if file.is_file())

    def saved_model(directory):
        return [directory / "saved_model.pb", *(directory / "variables").iterdir()]

    assert holds_a_user(saved_model(directories["inside"]))
    assert not holds_a_user(saved_model(directories["beside"]))
    assert holds_a_user((directories["beside"] / "arrays").iterdir())
    assert not holds_a_user(directories["none"].rglob("*"))
    names = {file.name.split(".")[0] for file in (directories["none"] / "arrays").iterdir()}
    assert {"histories", "user_id", "profiles"}.isdisjoint(names)


def test_answers_in_a_fresh_process_what_it_answered(directories):
    for place in ("beside", "none"):
        check_answers(directories[place])


def test_an_index_without_histories_answers_for_ratings_in_the_question(mapped_world, indexes):
    world, nowhere, inside = mapped_world[0], indexes["none"], indexes["inside"]
    history = {world.movie_ids[movie]: stars for movie, stars in world.history("user3", "all").items()}
    assert nowhere.recommend_from_history(history, 5) == inside.recommend_from_history(history, 5)
    assert nowhere.similar("m4", 5) == inside.similar("m4", 5)
    given = {"history_movie": [4, 11], "history_rating": [5.0, 1.0], "history_row_splits": [0, 2]}
    answer = nowhere.predict("recommend", {"user_id": ["x"], "k": 7, "ratings": "all", **given})
    assert answer["movie_id"].tolist() == inside.recommend(["ünïq"], 7).movie_id.tolist()


@pytest.mark.parametrize(
    "ask",
    [
        lambda index: index.recommend(["user3"], 5),
        lambda index: index.rate(["user3"], ["m4"]),
        lambda index: index.history("user3"),
        lambda index: index.user_ids,
    ],
)
def test_an_index_without_histories_says_that_it_knows_no_users(directories, ask):
    index = PublishedIndex.open_directory(directories["none"])
    with pytest.raises(UserError, match=r"--histories none.*twotower recommend --history FILE"):
        ask(index)


def test_a_run_that_recommends_to_all_needs_the_users():
    with pytest.raises(UserError, match=r"--batch-k .* --histories none"):
        check_pipeline_inputs({"ratings": "r.csv", "registry": "r", "histories": "none", "batch_k": 5})


def test_is_evaluated_as_one_with_histories_inside(directories):
    found, expected = (IndexedModel.load(directories[place]) for place in ("beside", "inside"))
    for part in ("trained", "held_out"):
        for name, values in vars(getattr(expected, part).ratings).items():
            np.testing.assert_array_equal(vars(getattr(found, part).ratings)[name], values)
        assert getattr(found, part).user_ids.tolist() == getattr(expected, part).user_ids.tolist()
    with pytest.raises(UserError, match=r"--histories none.*evaluate its model"):
        IndexedModel.load(directories["none"])


@pytest.mark.parametrize("known", ["all", "train"])
def test_a_batch_is_that_of_one_with_histories_inside(mapped_world, indexes, tmp_path, known):
    rows, users = {}, [*mapped_world[0].user_ids, "stranger"]
    for place in ("beside", "inside"):
        write_recommendations(indexes[place], users, 7, tmp_path / place, known)
        rows[place] = pq.read_table(tmp_path / place)
    columns = ["user_id", "rank", "movie_id", "known_user"]
    assert rows["beside"].select(columns).equals(rows["inside"].select(columns))
    for name in ("score", "rating"):
        np.testing.assert_allclose(rows["beside"][name], rows["inside"][name], rtol=1e-5, atol=1e-5)
