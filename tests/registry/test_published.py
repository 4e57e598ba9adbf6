"""The published index as a local directory."""

from pathlib import Path

import pytest

from components.errors import UserError
from components.registry.registry import PublishedFiles, Registry, published_index


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TWOTOWER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_champions_index_or_a_named_versions(place: str, promote) -> None:
    registry = Registry(place)
    first = promote(registry, "run-1").version
    promote(registry, "run-2")
    assert (published_index(place) / "saved_model.pb").read_text() == "the index of run-2"
    assert (published_index(place, first) / "saved_model.pb").read_text() == "the index of run-1"
    assert (published_index(place) / "variables" / "variables.index").is_file()


def test_a_local_index_is_read_where_it_lies(tmp_path: Path, promote, cache: Path) -> None:
    registry = Registry(str(tmp_path / "registry"))
    version = promote(registry, "run").version
    assert published_index(registry.root) == tmp_path / "registry" / "versions" / version / "index"
    assert not cache.exists()


def test_a_remote_index_is_fetched_once(bucket: str, promote, capsys: pytest.CaptureFixture[str]) -> None:
    version = promote(Registry(bucket), "run").version
    first = published_index(bucket)
    assert f"fetching version {version}" in capsys.readouterr().err
    assert published_index(bucket) == first
    assert "fetching" not in capsys.readouterr().err


def test_only_what_is_asked_for_is_fetched(bucket: str, promote, cache: Path) -> None:
    promote(Registry(bucket), "run")
    files = PublishedFiles(bucket)
    assert files.fetch("saved_model.pb").read_text() == "the index of run"
    assert [file.name for file in cache.rglob("*") if file.is_file()] == ["saved_model.pb"]
    assert (files.whole() / "variables" / "variables.index").is_file()


def test_a_file_that_no_index_has_is_named(place: str, promote) -> None:
    version = promote(Registry(place), "run").version
    with pytest.raises(UserError, match=rf"{version} lists no .*/index/absent"):
        PublishedFiles(place).fetch("absent")


@pytest.mark.parametrize("damage", [b"flipped", None])
def test_a_broken_copy_is_fetched_again(bucket: str, promote, damage: bytes | None) -> None:
    promote(Registry(bucket), "run")
    graph = published_index(bucket) / "saved_model.pb"
    if damage is None:
        graph.unlink()
    else:
        graph.write_bytes(damage)
    assert published_index(bucket) == graph.parent
    assert graph.read_text() == "the index of run"


def test_a_broken_index_is_refused_by_name(place: str, promote, cache: Path) -> None:
    registry = Registry(place)
    version = promote(registry, "run").version
    registry.storage.write_bytes(f"versions/{version}/index/saved_model.pb", b"the index of ruin")
    with pytest.raises(UserError, match=rf"{version}/index/saved_model\.pb is corrupt"):
        published_index(place)
    assert not list(cache.rglob("*.pb")), "broken bytes stay in the cache"


def test_without_a_champion_it_says_so(place: str) -> None:
    with pytest.raises(UserError, match="has no champion; name another registry, or publish"):
        published_index(place)
    with pytest.raises(UserError, match="has no version x"):
        published_index(place, "x")


def test_a_cache_that_cannot_be_written_names_the_variable(
    bucket: str, promote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(Registry(bucket), "run")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TWOTOWER_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match=r"cannot write .*; set TWOTOWER_CACHE to a directory"):
        published_index(bucket)


def test_the_cache_is_in_the_home_directory_by_default(
    bucket: str, promote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(Registry(bucket), "run")
    monkeypatch.delenv("TWOTOWER_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert published_index(bucket).is_relative_to(tmp_path / "home" / ".cache" / "twotower")
