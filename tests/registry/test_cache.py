"""The local copies of indexes do not pile up."""

import os
import time
from pathlib import Path

import pytest

from components.registry.registry import Registry, keep_recent, published_index, touch

AN_HOUR = 3600


def copies(cache: Path, *ages: int) -> list[Path]:
    """Copies of several registries that were used so many seconds ago."""
    homes = [cache / f"registry-{number % 2}" / f"version-{number}" for number in range(len(ages))]
    for home, age in zip(homes, ages, strict=True):
        (home / "index").mkdir(parents=True)
        (home / "index" / "saved_model.pb").write_text("graph")
        os.utime(home, (time.time() - age,) * 2)
    return homes


def left(cache: Path) -> set[Path]:
    return {path.parents[1] for path in cache.rglob("saved_model.pb")}


def test_the_four_used_last_are_kept(tmp_path: Path) -> None:
    homes = copies(tmp_path, 7 * AN_HOUR, AN_HOUR, 6 * AN_HOUR, 2 * AN_HOUR, 3 * AN_HOUR, 4 * AN_HOUR)
    keep_recent(tmp_path)
    assert left(tmp_path) == {homes[1], *homes[3:]}


def test_what_was_asked_for_a_moment_ago_is_kept(tmp_path: Path) -> None:
    homes = copies(tmp_path, *[60] * 7)
    keep_recent(tmp_path)
    assert left(tmp_path) == set(homes)


def test_use_counts(tmp_path: Path) -> None:
    homes = copies(tmp_path, *[number * AN_HOUR for number in range(1, 7)])
    touch(homes[5])
    touch(tmp_path / "absent")
    keep_recent(tmp_path)
    assert left(tmp_path) == {homes[5], *homes[:3]}


def test_fetching_an_index_lets_old_ones_go(
    bucket: str, tmp_path: Path, promote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWOTOWER_CACHE", str(tmp_path / "cache"))
    homes = copies(tmp_path / "cache", *[number * AN_HOUR for number in range(1, 7)])
    version = promote(Registry(bucket), "run").version
    index = published_index(bucket)
    assert (index / "saved_model.pb").is_file()
    assert left(tmp_path / "cache") == {index.parent, *homes[:3]}
    assert index.parent.name == version
