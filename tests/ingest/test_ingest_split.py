"""Which side of the split a row falls on."""

import hashlib
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ratings_files import MOVIE_IDS, full, ingest_text, netflix, write

from components.errors import UserError
from components.ingest.split import HASHES


def row_hash(seed: int, user_id: str, movie_id: str) -> int:
    """Computes what the engine does: an integer from 0 to `HASHES` - 1.

    It depends on nothing but its arguments: a row keeps its side when others are added, on every machine.
    """
    user_1, user_2 = _keys(seed, user_id)
    movie_1, movie_2 = _keys(seed, movie_id)
    high, low = user_1 * movie_1 + user_2, user_2 * movie_2 + movie_1
    return (high % (2**31 - 1) << 31) + low % (2**31 - 1)


def _keys(seed: int, name: str) -> tuple[int, int]:
    digest = hashlib.md5(f"{seed}\n{name}".encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[8:], "little") % 2**31, int.from_bytes(digest[:8], "little") % 2**31


def test_the_hash_is_the_same_on_every_machine_and_version() -> None:
    # Written down once: if these change, every champion's test rows become training rows.
    assert row_hash(42, "u1", "m1") == 2263319437550320367
    assert row_hash(43, "u1", "m1") == 158383649232355057
    assert row_hash(42, "José", "007") == 195324437292028873


def test_the_engine_divides_by_the_hash(tmp_path: Path) -> None:
    dataset = ingest_text(tmp_path, netflix(full()), seed=7, test_fraction=0.2, validation_fraction=0.25)
    for (user, movie), side in dataset.sides().items():
        share = row_hash(7, user, movie) / HASHES
        assert side == ("test" if share < 0.2 else "validation" if share < 0.4 else "train")


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**40),
    kept=st.lists(st.integers(0, 399), min_size=60, max_size=300, unique=True),
    order=st.randoms(use_true_random=False),
)
def test_a_row_keeps_its_side_when_rows_are_added(
    tmp_path: Path, seed: int, kept: list[int], order: random.Random
) -> None:
    rows = full()
    fractions: Any = {"test_fraction": 0.3, "validation_fraction": 0.3}
    before = ingest_text(tmp_path, netflix(rows[place] for place in kept), seed=seed, **fractions).sides()
    order.shuffle(rows)
    after = ingest_text(tmp_path, netflix(rows), seed=seed, **fractions).sides()
    assert {pair: after[pair] for pair in before} == before


Timed = tuple[str, str, int]
_PAIRS = st.lists(
    st.tuples(st.sampled_from([f"u{user}" for user in range(6)]), st.sampled_from(MOVIE_IDS)),
    min_size=40,
    max_size=110,
    unique=True,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=_PAIRS, data=st.data())
def test_with_leave_last_out_a_row_keeps_its_side_unless_its_user_goes_on(
    tmp_path: Path, pairs: list[tuple[str, str]], data: st.DataObject
) -> None:
    times = data.draw(st.lists(st.integers(0, 9), min_size=len(pairs), max_size=len(pairs)))
    rows = [(user, movie, time) for (user, movie), time in zip(pairs, times, strict=True)]
    # Others rate at any time; the same users rated something long ago.
    others = [(f"other-{user}", movie, time) for user, movie, time in rows[::2]]
    older = [(user, "m-old", -1) for user in {user for user, _, _ in rows}]
    before = sides_of(tmp_path, rows, split="leave-last-out")
    after = sides_of(tmp_path, [*older, *others, *rows[::-1]], split="leave-last-out")
    counts = Counter(user for user, _ in pairs)
    assert {pair: after[pair] for pair in before if counts[pair[0]] > 2} == {
        pair: side for pair, side in before.items() if counts[pair[0]] > 2
    }


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=_PAIRS, added=st.integers(1, 60), data=st.data())
def test_with_time_later_rows_move_a_row_towards_training_only(
    tmp_path: Path, pairs: list[tuple[str, str]], added: int, data: st.DataObject
) -> None:
    times = data.draw(st.lists(st.integers(0, 9), min_size=len(pairs), max_size=len(pairs)))
    rows = [(user, movie, time) for (user, movie), time in zip(pairs, times, strict=True)]
    later = [(f"later-{place}", "m1", 10 + place) for place in range(added)]
    before = sides_of(tmp_path, rows, split="time", test_fraction=0.3)
    after = sides_of(tmp_path, [*later, *rows[::-1]], split="time", test_fraction=0.3)
    order = ["train", "validation", "test"]
    assert all(order.index(after[pair]) <= order.index(side) for pair, side in before.items())


def sides_of(folder: Path, rows: list[Timed], **flags: Any) -> dict[tuple[str, str], str]:
    """User and movie -> the split of their rating."""
    return ingest_text(folder, timed(rows), movies=None, **flags).sides()


def test_the_fractions_are_met_for_each_user_and_movie_alike(tmp_path: Path) -> None:
    movies = [f"x{movie}" for movie in range(200)]
    rows = [(f"u{user}", 3, movie) for user in range(100) for movie in movies]
    table = "Movie_ID,Name\n" + "".join(f"{movie},T\n" for movie in movies)
    dataset = ingest_text(tmp_path, netflix(rows), table)
    splits = dataset.statistics["splits"]
    assert splits["test"] == pytest.approx(2000, abs=170)  # 4 standard deviations
    assert splits["validation"] == pytest.approx(1800, abs=160)
    test = dataset.split("test")
    for key, expected in (("user_id", 20), ("movie_id", 10)):
        counts = list(Counter(row[key] for row in test).values())
        # A binomial count's variance is n p (1 - p); one that depends on the user would spread far wider.
        variance = sum((count - expected) ** 2 for count in counts) / len(counts)
        assert 0.5 < variance / (expected * 0.9) < 1.7


def test_another_seed_gives_another_division(tmp_path: Path) -> None:
    first = ingest_text(tmp_path, netflix(full()), seed=1).sides()
    assert ingest_text(tmp_path, netflix(full()), seed=1).sides() == first
    assert ingest_text(tmp_path, netflix(full()), seed=2).sides() != first


def test_the_rows_of_a_test_file_are_the_test_rows(tmp_path: Path) -> None:
    rows = full()
    test = write(tmp_path / "test.csv", netflix(rows[:50]))
    dataset = ingest_text(tmp_path, netflix(rows[50:]), test_ratings=test)
    assert {pair for pair, side in dataset.sides().items() if side == "test"} == {
        (u, m) for u, _, m in rows[:50]
    }
    assert dataset.statistics["split"]["kind"] == "given"
    assert dataset.statistics["splits"]["validation"] == pytest.approx(35, abs=20)


def test_a_test_row_that_is_also_among_the_ratings_is_not_trained_on(tmp_path: Path) -> None:
    rows = full()
    test = write(tmp_path / "test.csv", netflix([("u0", 5, "m0"), ("u1", 1, "m1"), ("u1", 2, "m1")]))
    dataset = ingest_text(tmp_path, netflix(rows), test_ratings=test, max_reject_rate=0)
    assert {(row["user_id"], row["rating"]) for row in dataset.split("test")} == {("u0", 5), ("u1", 2)}
    assert dataset.statistics["rejected_by_reason"] == {"also in test": 2, "duplicate": 1}
    assert [(reject["line"], reject["reason"], Path(reject["file"]).name) for reject in dataset.rejects] == [
        ("2", "also in test", "ratings.csv"),
        ("23", "also in test", "ratings.csv"),
        ("3", "duplicate", "test.csv"),
    ]


def test_samples_have_the_size_that_was_asked_for(tmp_path: Path) -> None:
    everything = ingest_text(tmp_path, netflix(full())).sides()
    dataset = ingest_text(tmp_path, netflix(full()), max_train_rows=100, max_test_rows=10)
    splits = dataset.statistics["splits"]
    assert (splits["train"], splits["test"]) == (100, 10)
    share = 100 / sum(side == "train" for side in everything.values())
    assert splits["validation"] == round(share * sum(side == "validation" for side in everything.values()))
    assert dataset.statistics["rows_left_out"] == 400 - sum(splits.values())
    assert dataset.statistics["rows_kept"] == dataset.statistics["rows_read"] == 400
    assert {pair: everything[pair] for pair in dataset.sides()} == dataset.sides()


def test_a_sample_is_uniform_over_the_file(tmp_path: Path) -> None:
    dataset = ingest_text(tmp_path, netflix(full(200)), max_train_rows=400)
    places = [int(row["user_id"][1:]) for row in dataset.split("train")]
    assert sum(places) / len(places) == pytest.approx(99.5, abs=4 * 57.7 / 20)


def timed(rows: list[tuple[str, str, int]]) -> str:
    return "User_ID,Rating,Movie_ID,time\n" + "".join(
        f"{user},3,{movie},{time}\n" for user, movie, time in rows
    )


def test_leave_last_out(tmp_path: Path) -> None:
    rows = [(f"u{user}", movie, 100 * place) for user in range(9) for place, movie in enumerate(MOVIE_IDS)]
    rows += [("short", "m1", 5), ("short", "m2", 6)]
    random.Random(0).shuffle(rows)
    dataset = ingest_text(tmp_path, timed(rows), split="leave-last-out")
    assert {(row["user_id"], row["movie_id"]) for row in dataset.split("test")} == {
        (f"u{u}", "m19") for u in range(9)
    }
    assert {row["movie_id"] for row in dataset.split("validation")} == {"m18"}
    assert dataset.sides()[("short", "m2")] == "train"
    assert dataset.split("test")[0]["time"] == 1900


def test_the_latest_ratings_are_for_testing(tmp_path: Path) -> None:
    rows = [
        (f"u{user}", movie, 20 * user + place) for user in range(20) for place, movie in enumerate(MOVIE_IDS)
    ]
    random.Random(0).shuffle(rows)
    dataset = ingest_text(tmp_path, timed(rows), split="time", test_fraction=0.25, validation_fraction=0.2)
    times = {
        name: sorted(row["time"] for row in dataset.split(name)) for name in ("train", "validation", "test")
    }
    assert times == {
        "train": list(range(240)),
        "validation": list(range(240, 300)),
        "test": list(range(300, 400)),
    }


def test_ratings_of_one_second_are_divided_by_their_hash(tmp_path: Path) -> None:
    rows = [(user, movie, 0) for user, _, movie in full()]
    dataset = ingest_text(tmp_path, timed(rows), split="time")
    assert dataset.statistics["splits"] == {"train": 324, "validation": 36, "test": 40}
    again = ingest_text(tmp_path, timed(rows[::-1]), split="time")
    assert again.sides() == dataset.sides()
    assert len({row["user_id"] for row in dataset.split("test")}) > 10


@pytest.mark.parametrize("split", ["leave-last-out", "time"])
def test_a_split_by_time_needs_times(tmp_path: Path, split: str) -> None:
    with pytest.raises(UserError, match=f"--split {split} needs a column with times"):
        ingest_text(tmp_path, netflix(full()), split=split)


def test_users_and_movies_with_few_ratings_are_left_out(tmp_path: Path) -> None:
    rare = [("u0", 3, "rare"), ("once", 4, "m1"), ("twice", 4, "m1"), ("twice", 4, "m2")]
    movies = "Movie_ID,Name\nrare,Rare\n" + "".join(f"{movie},T\n" for movie in MOVIE_IDS)
    dataset = ingest_text(tmp_path, netflix(full() + rare), movies, min_user_ratings=2, min_movie_ratings=2)
    assert set(dataset.ratings()) == {(u, m) for u, _, m in [*full(), *rare[2:]]}
    statistics = dataset.statistics
    assert (statistics["rows_read"], statistics["rows_kept"], statistics["rows_left_out"]) == (404, 404, 2)
    assert len(dataset.movies) == 21


IMPLICIT = {"ingest_settings": {"feedback": "implicit"}}


@pytest.mark.parametrize("flags", [{}, {"split": "time"}, IMPLICIT, {"max_train_rows": 50}])
def test_rows_that_are_sorted_some_at_a_time_give_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: dict[str, Any]
) -> None:
    rows = [
        (user, movie, 7919 * place % 5000) for place, (user, _, movie) in enumerate([*full(), *full()[:90]])
    ]
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole = ingest_text(tmp_path / "whole", timed(rows), **flags)
    monkeypatch.setattr("components.ingest.split._SORTED_AT_ONCE", 60)
    monkeypatch.setattr("components.ingest.split._NARROW_ROWS", 0)
    parts = ingest_text(tmp_path / "parts", timed(rows), **flags)
    for name in ("train", "validation", "test"):
        assert parts.split(name) == whole.split(name)
    own = {name: parts.statistics[name] for name in ("seconds", "fingerprint")}
    assert parts.statistics == {**whole.statistics, **own}
