"""Matrix products take one thread while batches are scored, and as many as before afterwards."""

import numpy as np
from held_out_world import held_out_of
from threadpoolctl import threadpool_info, threadpool_limits

from components.evaluate.ranking import Predictions
from components.evaluate.scoring import score


def _threads():
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


class _CountingScorer:
    """Notes how many threads a matrix product takes while it is asked."""

    def predict(self, batch):
        self.threads = _threads()
        return Predictions(None, np.zeros(len(batch.pairs.movies), np.float32))


def test_products_take_one_thread_during_scoring_and_as_many_as_before_afterwards():
    scorer = _CountingScorer()
    with threadpool_limits(limits=2, user_api="blas"):
        before = _threads()
        score(scorer, held_out_of({}, {(0, 0): 4.0}, 1, 3), "tables")
        assert _threads() == before
    assert scorer.threads <= {1}
