"""Matrix products take one thread while batches are scored, and as many as before afterwards."""

import numpy as np
import pytest

from components.evaluate import scoring
from components.evaluate.scoring import one_thread


def test_openblas_is_held_to_one_thread_and_let_go_of_again():
    if np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"] != "scipy-openblas":
        pytest.skip("numpy uses another library here")
    get, put = scoring._openblas()
    before = get()
    put(2)
    try:
        with one_thread():
            assert get() == 1
        assert get() == 2
    finally:
        put(before)


def test_without_openblas_nothing_changes(monkeypatch, tmp_path):
    monkeypatch.setattr(scoring, "_MAPS", tmp_path / "absent")
    with one_thread():
        assert (np.eye(2) @ np.eye(2)).trace() == 2
