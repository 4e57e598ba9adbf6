"""What a model says of its training data, and how the gate reads it."""

import json

import numpy as np
import pytest
from held_out_world import grouped, held_out_of

from components.evaluate.champion import DataChange, Overlap
from components.evaluate.gate import DataBounds, data_rules
from components.vocabulary.data_summary import DataSummary, HashSample, id_hashes, row_hashes

STEP = 1e-9
SCALE = (1.0, 5.0)


def _ids(prefix, count):
    return np.array([f"{prefix}{row}" for row in range(count)], object)


def _summary(pairs, users, movies):
    return DataSummary.of(grouped(pairs, users), _ids("u", users), _ids("m", movies), SCALE)


def test_a_summary_says_what_the_ratings_are_like_and_survives_a_file(tmp_path):
    summary = _summary({(0, 0): 1.0, (0, 1): 5.0, (2, 1): 4.5}, users=4, movies=3)
    assert summary.figures.ratings == 3
    assert summary.figures.rating_mean == 3.5
    assert summary.figures.rating_histogram == {"1": 1, "4.5": 1, "5": 1}
    assert len(summary.users.hashes) == 2
    assert len(summary.movies.hashes) == 2
    summary.save(tmp_path)
    again = DataSummary.load(tmp_path)
    for name in ("users", "movies", "rows"):
        assert np.array_equal(getattr(again, name).hashes, getattr(summary, name).hashes)
        assert getattr(again, name).bound == getattr(summary, name).bound
    assert again.figures == summary.figures


@pytest.mark.parametrize(
    "spoil",
    [
        lambda place: (place / "data.json").unlink(),
        lambda place: (place / "data.npz").unlink(),
        lambda place: (place / "data.npz").write_bytes(b"PK"),
        lambda place: (place / "data.json").write_text("[]"),
        lambda place: (place / "data.json").write_text(json.dumps({"format": 99})),
    ],
)
def test_a_summary_that_cannot_be_read_is_none(tmp_path, spoil):
    _summary({(0, 0): 1.0}, 1, 1).save(tmp_path)
    spoil(tmp_path)
    assert DataSummary.load(tmp_path) is None


@pytest.mark.parametrize("sizes", [(50, 20_000), (20_000, 50), (300, 300)])
def test_the_union_of_two_samples_is_a_sample_of_the_union(sizes):
    sets = [id_hashes(_ids(name, 400)) for name in ("a", "b")]
    sets[1] = np.concatenate([sets[1], sets[0][:100]])
    one, other = (HashSample.of([part], size) for part, size in zip(sets, sizes, strict=True))
    union = one.union(other)
    whole = np.unique(np.concatenate(sets))
    np.testing.assert_array_equal(union.hashes, whole[whole <= union.bound])
    assert union.bound == min(one.bound, other.bound)
    assert len(union.hashes) >= min(sizes)


def test_hashes_are_the_same_on_every_machine():
    hashes = id_hashes(["1488844", "é"])
    assert hashes.tolist() == [190661794993676081, 3394012004367669963]
    assert row_hashes(hashes[:1], hashes[1:]).tolist() == [17952312606579009355]


def test_a_sample_of_a_large_set_is_certain_of_what_it_covers():
    random = np.random.default_rng(0)
    hashes = random.integers(0, 2**64, 5000, np.uint64)
    sample = HashSample.of(np.array_split(hashes, 7), size=500)
    assert len(sample.hashes) == 500
    assert np.array_equal(sample.hashes, np.unique(hashes)[:500])
    assert np.mean(sample.covers(hashes)) == pytest.approx(0.1, abs=0.001)
    assert np.array_equal(sample.holds(hashes), sample.covers(hashes))
    others = random.integers(0, 2**64, 5000, np.uint64)
    assert not sample.holds(others).any()
    whole = HashSample.of([hashes], size=5001)
    assert whole.covers(others).all()


def test_the_change_of_data_is_counted_by_id():
    there = _summary({(0, 0): 3.0, (0, 1): 3.0, (1, 0): 5.0, (1, 1): 5.0}, users=2, movies=2)
    here = _summary({(0, 0): 3.0, (2, 2): 4.0, (3, 2): 5.0}, users=4, movies=3)
    change = DataChange.between(there, here, SCALE)
    assert change.rows_share == 0.75
    assert change.rating_mean_shift == 0
    assert change.rating_histogram_distance == pytest.approx(1 / 3)
    assert change.new_users_share == pytest.approx(2 / 3)
    assert change.new_movies_share == 0.5
    same = DataChange.between(there, there, SCALE)
    assert same == DataChange(1.0, 0.0, 0.0, 0.0, 0.0, 4.0)


def test_held_out_rows_that_a_model_was_trained_on_are_found():
    trained = _summary({(0, 0): 3.0, (1, 1): 3.0}, users=2, movies=3)
    held_out = held_out_of({}, {(0, 0): 3.0, (0, 1): 2.0, (1, 0): 3.0, (1, 1): 4.0}, 2, 3)
    overlap = Overlap.of(trained, held_out)
    assert (overlap.covered, overlap.trained) == (4, 2)
    assert overlap.not_trained_on.tolist() == [False, True, True, False]


FIGURES = {
    "rows_share": ("data_rows_share", 0.8, -STEP),
    "rating_mean_shift": ("data_rating_mean_shift", 0.2, STEP),
    "rating_histogram_distance": ("data_rating_histogram_distance", 0.1, STEP),
    "new_users_share": ("data_new_users_share", 0.9, STEP),
    "new_movies_share": ("data_new_movies_share", 0.5, STEP),
}


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize(("side", "verdict"), [(-1, "pass"), (0, "pass"), (1, "fail")])
def test_each_rule_of_the_data_at_its_boundary(figure, side, verdict):
    name, bound, worse = FIGURES[figure]
    same = {
        "rows_share": 1.0,
        "rating_mean_shift": 0.0,
        "rating_histogram_distance": 0.0,
        "new_users_share": 0.0,
        "new_movies_share": 0.0,
    }
    change = DataChange(**{**same, figure: bound + side * worse}, scale=4.0)
    decided = {rule.name: rule for rule in data_rules(change, "", DataBounds())}
    assert decided[name].verdict == verdict
    assert decided[name].bound == pytest.approx(bound)
    assert ("--gate report" in decided[name].why) == (verdict == "fail")
    assert {rule.verdict for rule in decided.values() if rule.name != name} == {"pass"}


def test_without_knowledge_of_the_champions_data_every_rule_of_them_says_why():
    decided = list(data_rules(None, "There is no champion yet.", DataBounds()))
    assert {rule.name for rule in decided} == {name for name, _, _ in FIGURES.values()}
    assert {(rule.verdict, rule.why) for rule in decided} == {("skipped", "There is no champion yet.")}
