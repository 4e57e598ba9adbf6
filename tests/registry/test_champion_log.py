"""The log of champions: append-only, one winner, and the way back."""

import re
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.documents import encode
from components.errors import UserError
from components.registry.champion_log import (
    PUBLISHED,
    ROLLBACK,
    ChampionEntry,
    ChampionLog,
    SupersededError,
)
from components.storage import NotFoundError, open_storage


def log_of(root: Path | str) -> ChampionLog:
    return ChampionLog(open_storage(str(root)))


def fill(log: ChampionLog, changes: str) -> None:
    """Appends a change for each word: a version's name, with `<` before it for a rollback to it."""
    for sequence, change in enumerate(changes.split()):
        why = ROLLBACK if change.startswith("<") else PUBLISHED
        log.append(sequence, change.removeprefix("<"), why, run_id=f"run-{sequence + 1}")


def test_an_empty_log_has_no_champion(place: str) -> None:
    log = log_of(place)
    assert log.latest() is None
    assert log.end() == 0
    assert log.entries() == []
    assert log.before_present() == ""
    assert log.of_run("run") is None


def test_the_highest_entry_is_the_champion(place: str) -> None:
    log = log_of(place)
    entries = [log.append(sequence, f"v{sequence}", PUBLISHED, f"run-{sequence}") for sequence in range(11)]
    assert log_of(place).entries() == entries
    assert log_of(place).latest() == entries[-1]
    assert [entry.sequence for entry in entries] == list(range(1, 12))
    assert log.end() == 11
    assert [entry.previous for entry in entries] == ["", *(f"v{sequence}" for sequence in range(10))]
    assert {entry.reason for entry in entries} == {""}
    assert log.of_run("run-3") == entries[3]
    assert open_storage(place).list() == [f"champion/{sequence:06d}.json" for sequence in range(1, 12)]


@pytest.mark.parametrize("expected", [0, 1, 3, -1])
def test_who_has_not_seen_the_end_is_superseded(tmp_path: Path, expected: int) -> None:
    log = log_of(tmp_path)
    fill(log, "a b")
    with pytest.raises(SupersededError):
        log.append(expected, "c", PUBLISHED, "run")
    assert [entry.version for entry in log.entries()] == ["a", "b"]


def test_who_loses_the_race_is_superseded(place: str) -> None:
    start, winners, losers = threading.Barrier(8), [], []

    def race(name: str) -> None:
        log = log_of(place)
        start.wait()
        try:
            winners.append(log.append(0, name, PUBLISHED, f"run of {name}"))
        except SupersededError:
            losers.append(name)

    racers = [threading.Thread(target=race, args=(f"v{number}",)) for number in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(winners) == 1
    assert len(losers) == 7
    assert log_of(place).entries() == winners


@pytest.mark.parametrize(
    ("changes", "before"),
    [
        ("a", ""),
        ("a b", "a"),
        ("a b c", "b"),
        ("a b c <b", "a"),
        ("a b c <b <a", ""),
        ("a b c <b d", "b"),
        ("a b c <a", ""),
        ("a b <a <b", "a"),
        ("a b c <a <c <b", "c"),
    ],
)
def test_the_way_back_skips_what_was_rolled_back(tmp_path: Path, changes: str, before: str) -> None:
    log = log_of(tmp_path)
    fill(log, changes)
    assert log.before_present() == before


@settings(deadline=None, max_examples=40)
@given(attempts=st.lists(st.tuples(st.integers(-1, 12), st.sampled_from("abc")), max_size=15))
def test_the_log_is_the_attempts_that_saw_its_end(
    tmp_path_factory: pytest.TempPathFactory, attempts: list[tuple[int, str]]
) -> None:
    root = tmp_path_factory.mktemp("log")
    accepted: list[str] = []
    for expected, version in attempts:
        before = {path: path.read_bytes() for path in root.rglob("*.json")}
        try:
            log_of(root).append(expected, version, PUBLISHED, "run")
        except SupersededError:
            assert expected != len(accepted)
        else:
            assert expected == len(accepted)
            accepted.append(version)
        assert all(path.read_bytes() == content for path, content in before.items()), "an entry changed"
    entries = log_of(root).entries()
    assert [entry.version for entry in entries] == accepted
    assert [entry.sequence for entry in entries] == list(range(1, len(accepted) + 1))
    assert [entry.previous for entry in entries] == ["", *accepted][: len(accepted)]


@settings(deadline=None, max_examples=30)
@given(published=st.integers(1, 6), data=st.data())
def test_rollbacks_in_a_row_go_back_to_the_first(
    tmp_path_factory: pytest.TempPathFactory, published: int, data: st.DataObject
) -> None:
    """However the present champion came about, going back ends, and never meets a version twice."""
    log = log_of(tmp_path_factory.mktemp("log"))
    fill(log, " ".join(f"v{number}" for number in range(published)))
    for target in data.draw(st.lists(st.integers(0, published - 1), max_size=4)):
        log.append(len(log.sequences()), f"v{target}", ROLLBACK, "")
    seen = [log.entries()[-1].version]
    while before := log.before_present():
        assert before not in seen
        seen.append(before)
        log.append(len(log.sequences()), before, ROLLBACK, "")
    assert seen[-1] == log.entries()[-1].version


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is not JSON"),
        (b'{"format": 1, "sequence": 1', "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[]", "expected object, got array"),
        (b'{"format": 2}', "field `format`: expected 1, got 2"),
        (
            b'{"format": 1, "sequence": "1", "version": "a"}',
            "field `sequence`: expected int, got str",
        ),
    ],
)
def test_a_broken_entry_is_named_with_the_cure(tmp_path: Path, content: bytes, complaint: str) -> None:
    log = log_of(tmp_path)
    fill(log, "a b")
    (tmp_path / "champion" / "000002.json").write_bytes(content)
    with pytest.raises(UserError, match=rf"champion/000002\.json:? {complaint}.*; restore it from a backup"):
        log.latest()


def test_other_files_are_no_entries(tmp_path: Path) -> None:
    log = log_of(tmp_path)
    fill(log, "a")
    for name in ("readme.txt", "000009.json.bak", "x000009.json", "9.json"):
        (tmp_path / "champion" / name).write_text("{}")
    latest = log.latest()
    assert isinstance(latest, ChampionEntry)
    assert latest.sequence == 1


def test_a_version_is_found_where_it_was_published(tmp_path: Path) -> None:
    log = log_of(tmp_path)
    fill(log, "a b <a c")
    entry = log.of_version("a")
    assert entry is not None
    assert entry.sequence == 1
    assert log.of_version("d") is None


CURE = "restore it from a backup, or write it again by hand: docs/registry.md shows its few lines"


def path_of(root: Path, sequence: int) -> Path:
    return root / "champion" / f"{sequence:06d}.json"


@pytest.mark.parametrize("found", [1, -1, 0, 3])
def test_an_entry_is_the_one_that_its_name_says(tmp_path: Path, found: int) -> None:
    log, path = log_of(tmp_path), path_of(tmp_path, 2)
    fill(log, "a b")
    path.write_bytes(encode(msgspec.structs.replace(log.entry(2), sequence=found)))
    said = f"{path} says that it is number {found}; delete it, or {CURE}"
    for action in (
        lambda: log.entry(2),
        log.latest,
        log.entries,
        lambda: log.append(2, "c", "published", "r"),
    ):
        with pytest.raises(UserError, match=f"^{re.escape(said)}$"):
            action()
    entries, faults = log.readable()
    assert [entry.version for entry in entries] == ["a"]
    assert faults == [said]


def test_an_edited_entry_is_refused(tmp_path: Path) -> None:
    log, path = log_of(tmp_path), path_of(tmp_path, 1)
    fill(log, "a")
    path.write_bytes(path.read_bytes().replace(b'"version": "a"', b'"version": "b"'))
    said = f"{path}: it is damaged: its content does not have its checksum; {CURE}"
    with pytest.raises(UserError, match=f"^{re.escape(said)}$"):
        log.latest()


@pytest.mark.parametrize(
    "name", ["0000002.json", "000000.json", "00001.json", "1.json", "٠٠٠٠٠٣.json", "9" * 19 + ".json"]
)
def test_a_number_written_otherwise_is_no_entry(tmp_path: Path, name: str) -> None:
    log = log_of(tmp_path)
    fill(log, "a b")
    stray = tmp_path / "champion" / name
    stray.write_bytes(path_of(tmp_path, 2).read_bytes())
    assert log.sequences() == [1, 2]
    assert log.strays() == [f"champion/{name}"]
    assert [entry.sequence for entry in log.entries()] == [1, 2]
    assert log.append(2, "c", PUBLISHED, "run").sequence == 3


def test_the_log_goes_on_after_six_digits(tmp_path: Path) -> None:
    log = log_of(tmp_path)
    fill(log, "a")
    entry = msgspec.structs.replace(log.entry(1), sequence=999_999)
    path_of(tmp_path, 999_999).write_bytes(encode(entry))
    assert log.append(999_999, "b", PUBLISHED, "run").sequence == 1_000_000
    assert log.sequences() == [1, 999_999, 1_000_000]
    assert log.end() == 1_000_000
    assert log.strays() == []
    assert log.uri(1_000_000) == str(path_of(tmp_path, 1_000_000))


def test_lost_entries_are_named_and_the_others_read(tmp_path: Path) -> None:
    log = log_of(tmp_path)
    fill(log, "a b c d e")
    for sequence in (1, 3, 4):
        path_of(tmp_path, sequence).unlink()
    said = [f"{path_of(tmp_path, sequence)} is missing; {CURE}" for sequence in (1, 3)]
    entries, faults = log.readable()
    assert [entry.version for entry in entries] == ["b", "e"]
    assert faults == said
    with pytest.raises(UserError, match=f"^{re.escape(said[0])}$"):
        log.entries()
    with pytest.raises(NotFoundError, match=f"^{re.escape(said[1])}$"):
        log.entry(3)
    assert log.latest() == entries[-1], "it is the champion all the same"


def test_an_entry_follows_the_one_before_it(tmp_path: Path) -> None:
    """In entries of earlier releases, which have no checksum, only this shows that a version was changed."""
    log, path = log_of(tmp_path), path_of(tmp_path, 2)
    fill(log, "a b c")
    entry = msgspec.structs.replace(log.entry(2), version="x", previous="")
    path.write_bytes(encode(entry))
    entries, faults = log.readable()
    assert [entry.version for entry in entries] == ["a", "x", "c"]
    assert faults == [
        f"{path} says that it came after none, and the champion before it was a; {CURE}",
        f"{path_of(tmp_path, 3)} says that it came after b, and the champion before it was x; {CURE}",
    ]


def test_an_entry_after_a_broken_one_is_read(tmp_path: Path) -> None:
    log, path = log_of(tmp_path), path_of(tmp_path, 2)
    fill(log, "a b c d")
    path.write_bytes(b"{")
    entries, faults = log.readable()
    assert [entry.version for entry in entries] == ["a", "c", "d"]
    assert len(faults) == 1
    assert faults[0].startswith(f"{path} is not JSON")
