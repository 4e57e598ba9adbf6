"""Slices on worlds that are small enough to say what must come out."""

import numpy as np
import pytest
from gate_evidence import evidence, resampled
from held_out_world import TableScorer, held_out_of

from components.evaluate.gate import GateSettings, decide
from components.evaluate.held_out import slices
from components.evaluate.ranking import Answers
from components.evaluate.scoring import score
from components.evaluate.user_sums import sums_of_part
from components.metrics import METRICS

ACCURACY = "top_100_accuracy_unseen"


def _world():
    """Four users with 0, 1, 2 and 6 known ratings; movie 0 is the most rated; one held-out row each."""
    known = {(1, 0): 3.0, (2, 0): 3.0, (2, 1): 3.0} | {(3, movie): 3.0 for movie in (0, 1, 2, 3, 4, 5)}
    test = {(0, 0): 1.0, (1, 1): 2.0, (2, 7): 3.0, (3, 6): 4.0}
    return held_out_of(known, test, 4, 8)


def test_slices_part_users_by_activity_and_movies_by_popularity_and_decade():
    years = np.array([1994, 1999, 0, 0, 0, 0, 2003, 0], np.int32)
    found = {part.name: np.flatnonzero(part.pairs).tolist() for part in slices(_world(), years)}
    assert found == {
        "new_users": [0],
        "light_users": [1],
        "heavy_users": [3],
        "head_movies": [0, 1],
        "tail_movies": [2, 3],
        "movies_of_the_1990s": [0, 1],
        "movies_of_the_2000s": [3],
    }


def test_the_metrics_of_a_slice_are_those_of_its_pairs_alone():
    held_out = _world()
    scores = np.zeros((4, 8), np.float32)
    scores[0, 0] = scores[3, 6] = 1
    scored = score(TableScorer(scores, np.full((4, 8), 2.0, np.float32)), held_out, "tables")
    pairs = np.array([True, False, False, True])
    sums = sums_of_part(scored, held_out, pairs)
    assert sums.rows.tolist() == [1, 0, 0, 1]
    assert sums.rows.dtype == np.int64
    # The gate's metrics alone.
    assert sums.metrics() == pytest.approx({"top_1_accuracy_unseen": 1.0, "rmse": np.sqrt((1 + 4) / 2)})
    # NDCG is a mean over the users that have any of the pairs.
    sums = sums_of_part(scored, held_out, pairs, [METRICS["ndcg_10"]])
    assert sums.metrics() == {"ndcg_10": 1.0}


def test_a_slice_has_no_metric_of_what_was_not_answered():
    held_out, pairs = _world(), np.array([True, False, True, True])
    ranks, stars = Answers(unseen_ranks=np.zeros(4, np.int32)), Answers(ratings=np.ones(4, np.float32))
    assert sums_of_part(ranks, held_out, pairs).columns.keys() == {"top_1_accuracy_unseen"}
    assert sums_of_part(stars, held_out, pairs).columns.keys() == {"rmse"}


def _measures(mine, champion, rows=1000, users=100):
    return resampled({"challenger": {ACCURACY: mine}, "champion": {ACCURACY: champion}}, rows, users)


@pytest.mark.parametrize(
    ("part", "verdict"),
    [
        (_measures(0.5, 0.5), "pass"),
        (_measures(0.4801, 0.5), "pass"),
        (_measures(0.4799, 0.5), "fail"),
        (_measures(0.1, 0.5, rows=999), "skipped"),
        (_measures(0.1, 0.5, users=29), "skipped"),
    ],
)
def test_a_slice_is_judged_with_a_looser_bound_if_it_is_large_enough(part, verdict):
    given = evidence(_measures(0.5, 0.5), {"light_users": part})
    rules = {rule.name: rule for rule in decide(given, GateSettings())}
    assert rules["top_100_vs_champion_light_users"].verdict == verdict
    assert "ight users" in rules["top_100_vs_champion_light_users"].why
