"""The tables of the benchmarks of quality."""

import numpy as np
import pytest
import quality

from components.metrics import RMSE, TOP_100_UNSEEN


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.51234], "0.5123"),
        ([0.5, 0.6, 0.7], "0.6000 ± 0.1000"),
        ([0.5, None], ""),
        ([None], ""),
        ([], ""),
    ],
)
def test_a_cell_is_the_mean_and_the_spread_of_the_seeds(values, text):
    assert quality.spread(values) == text


def test_the_best_of_the_others_goes_by_each_metrics_direction():
    methods = {
        "popularity": {TOP_100_UNSEEN: 0.3},
        "ease": {TOP_100_UNSEEN: 0.5, RMSE: None},
        "bias": {RMSE: 0.9},
        "myfm": {RMSE: 0.8},
    }
    found = quality.best(methods)
    assert found[TOP_100_UNSEEN] == 0.5
    assert found[RMSE] == 0.8
    assert found["ndcg_10"] is None
    assert set(found) == set(quality.METRICS)


def test_a_table_has_our_row_the_references_and_the_best_of_the_others(monkeypatch, tmp_path):
    ours = {42: 0.5, 43: 0.7}
    monkeypatch.setattr(quality, "encode", lambda *_: quality.Encoded("interactions", "vocabulary"))
    monkeypatch.setattr(quality.Interactions, "load", lambda _: None)
    monkeypatch.setattr(quality, "checksum", lambda _: "0a")
    reference = {"metrics": {RMSE: 0.8}, "processor_seconds": 3, "chosen": "rank 2", "version": "myfm 1"}
    monkeypatch.setattr(quality, "stored", lambda *_: {"myfm": reference})
    monkeypatch.setattr(
        quality,
        "trained",
        lambda data, preset, seed, place: (
            {preset: {TOP_100_UNSEEN: ours[seed], RMSE: 0.9}, "popularity": {TOP_100_UNSEEN: 0.3}},
            quality.Seconds(10.0 + seed, 20.0),
        ),
    )
    rows = quality.table("tenth", tmp_path, tmp_path, "default", [42, 43])
    methods = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [row[1] for row in methods] == ["**default**", "popularity", "myfm", "best of the others"]
    assert methods[0][2] == f"0.6000 ± {np.std([0.5, 0.7], ddof=1):.4f}"
    assert methods[0][-2] == "52 ± 1; 20 ± 0 of processor"
    assert methods[0][-1] == "seeds 42, 43; defaults"
    assert methods[2][-3:] == ["0.8000", "3 of processor", "rank 2; myfm 1"]
    assert methods[3][2] == "0.3000"
