"""Damaged files in every layout: no traceback, no partial output, no row lost in silence."""

import csv
import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damaged_files import (
    LAYOUTS,
    Line,
    TextLayout,
    damage,
    flip,
    layouts,
    pack,
    parquet,
    split_lines,
)
from damaged_times import times
from ratings_files import MOVIE_IDS, MOVIES, Dataset, full, ingest_text, netflix

from components.errors import UserError
from components.ingest.dataset import SPLITS
from components.ingest.layouts import FORMATS, PARQUET


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(200, 2200))
def test_nothing_is_lost_in_silence_at_length(tmp_path: Path, seed: int) -> None:
    kinds = [
        test_nothing_is_lost_in_silence,
        test_nothing_is_lost_in_silence,
        test_no_event_is_lost_in_silence,
        test_no_movie_is_lost_in_silence,
        test_no_time_is_changed_in_silence,
    ]
    kinds[seed % len(kinds)](tmp_path, seed)


@pytest.mark.parametrize("seed", range(200))
def test_nothing_is_lost_in_silence(tmp_path: Path, seed: int) -> None:
    random_ = random.Random(seed)
    name = LAYOUTS[seed % len(LAYOUTS)]
    users = random_.choice([3, 20])
    if name == PARQUET:
        flip(table := bytearray(parquet(users)), random_)
        try_ingest(tmp_path, bytes(table), {})
        return
    layout = layouts(users)[name]
    if random_.random() < 0.1:
        try_ingest(tmp_path, layout.text.encode(), layout.flags, damage(MOVIES.encode(), random_))
        return
    content = damage(layout.text.encode(), random_)
    packing = random_.choice(["none", "none", "gzip", "zstd"])
    flags = dict(layout.flags)
    if name in FORMATS and random_.random() < 0.3:
        flags["format"] = name
    dataset = try_ingest(tmp_path, pack(content, packing), flags)
    if dataset and reads_as(layout, content):
        check(layout, content, dataset)


@pytest.mark.parametrize("seed", range(60))
def test_no_event_is_lost_in_silence(tmp_path: Path, seed: int) -> None:
    """Repeated events of a user with a movie are one row, whose weight tells their number."""
    random_ = random.Random(seed)
    counted = seed % 2 == 0
    pairs = [(user, movie) for user, _, movie in full(10)]
    events = [(*random_.choice(pairs), random_.randint(1, 3)) for _ in range(600)]
    lines = [f"{user},{movie},{count}" if counted else f"{user},{movie}" for user, movie, count in events]
    header = "user,movie,plays" if counted else "user,movie"
    content = damage("\n".join([header, *lines, ""]).encode(), random_)
    dataset = try_ingest(tmp_path, content, {"ingest_settings": {"feedback": "implicit"}})
    there = split_lines(content)
    if not dataset or there[0] != header.encode():
        return
    assert dataset.statistics["rows_read"] == sum(bool(line.strip()) for line in there[1:])
    changed = [line for line in there[1:] if line.decode(errors="replace") not in set(lines)]
    sums = Counter[tuple[str, str]]()
    for line in there[1:]:
        if line not in changed:
            user, movie, *count = line.decode().split(",")
            sums[user, movie] += int(count[0]) if counted else 1
    weights = dataset.ratings()
    for (user, movie), number in sums.items():
        # A damaged line may be of the same user and movie.
        if not any(user.encode() in line or movie.encode() in line for line in changed):
            assert weights[user, movie] == pytest.approx(1 + math.log(1 + number), rel=1e-6)


@pytest.mark.parametrize("seed", range(60))
def test_no_movie_is_lost_in_silence(tmp_path: Path, seed: int) -> None:
    random_ = random.Random(seed)
    text, titles = movie_tables()[seed % len(movie_tables())]
    content = damage(text.encode(), random_)
    rows = [(user, rating, movie.removeprefix("m")) for user, rating, movie in full(3)]
    dataset = try_ingest(tmp_path, netflix(rows).encode(), {}, content)
    lines = split_lines(content)
    if not dataset or lines[0] != text.encode().splitlines()[0]:
        return
    found = {movie["movie_id"]: movie["title"] for movie in dataset.movies}
    intact = [titles[line.decode()] for line in lines if line.decode(errors="replace") in titles]
    for movie_id, title in intact:
        # A damaged line may have taken the id.
        others = [
            line
            for line in lines
            if movie_id.encode() in line and line.decode(errors="replace") not in titles
        ]
        assert found[movie_id] == title or others


def movie_tables() -> list[tuple[str, dict[str, tuple[str, str]]]]:
    """Movie tables in every layout, each with the id and the title of each of its lines."""
    numbers = range(len(MOVIE_IDS))
    found = []
    for header, line, title in (
        ("Movie_ID,Year,Name", "{m},1999,Film {m}", "Film {m}"),
        ("Movie_ID,Year,Name", "{m},1999,Good, Bad and {m}", "Good, Bad and {m}"),
        ("movieId,title,genres", '{m},"Film, The {m} (1999)",Drama|War', "Film, The {m}"),
        ("id;title;year", '{m};"The ""{m}""";1999', 'The "{m}"'),
        ("id\ttitle\tyear", "{m}\tFilm {m}\t1999", "Film {m}"),
        ("", "{m},1999,Film {m}", "Film {m}"),
        ("", "{m}::Film {m} (1999)::Drama", "Film {m}"),
    ):
        lines = [line.format(m=number) for number in numbers]
        text = "\n".join([*([header] if header else []), *lines, ""])
        found.append(
            (text, {line: (str(m), title.format(m=m)) for m, line in zip(numbers, lines, strict=True)})
        )
    return found


@pytest.mark.parametrize("seed", range(60))
def test_no_time_is_changed_in_silence(tmp_path: Path, seed: int) -> None:
    random_ = random.Random(seed)
    rows = full(10)
    written = times(len(rows), random_)
    lines = [
        f"{user}|{movie}|{rating}|{time.text}"
        for (user, rating, movie), time in zip(rows, written, strict=True)
    ]
    content = "\n".join(["user|movie|rating|time", *lines, ""]).encode()
    dataset = try_ingest(tmp_path, content, {})
    assert dataset
    seconds = {
        (row["user_id"], row["movie_id"]): row["time"] for name in SPLITS for row in dataset.split(name)
    }
    expected = {
        (user, movie): time.second
        for (user, _, movie), time in zip(rows, written, strict=True)
        if time.second is not None
    }
    assert seconds == expected
    unread = len(rows) - len(expected)
    assert dataset.statistics["rejected_by_reason"] == ({"time not understood": unread} if unread else {})


@pytest.mark.parametrize("seed", range(60))
def test_line_breaks_in_quotes_lose_nothing(tmp_path: Path, seed: int) -> None:
    random_ = random.Random(seed)
    layout = layouts(20)["csv"]
    content = bytearray(layout.text.encode())
    header = content.index(b"\n") + 1
    for _ in range(random_.randint(1, 20)):
        place = random_.randrange(header, len(content))
        content[place:place] = random_.choice(
            [b"\n", b"\r\n", b'"', b'""', b'\n"', b'"\n', b'x"\n"y', b"\n\n"]
        )
    dataset = try_ingest(tmp_path, bytes(content), {})
    assert dataset
    check(layout, bytes(content), dataset)


def test_a_packed_file_is_whole_or_refused(tmp_path: Path) -> None:
    text = layouts(20)["netflix"].text.encode()
    for seed in range(40):
        random_ = random.Random(seed)
        content = bytearray(pack(text, "gzip"))
        if seed % 2:
            flip(content, random_)
        else:
            del content[random_.randrange(len(content)) :]
        folder = tmp_path / str(seed)
        folder.mkdir()
        dataset = try_ingest(folder, bytes(content), {})
        # A flip in the header of the archive, such as its time, changes nothing.
        assert dataset is None or len(dataset.ratings()) == dataset.statistics["rows_read"] == 400


def try_ingest(
    folder: Path, content: bytes, flags: Mapping[str, Any], movies: str | bytes = MOVIES
) -> Dataset | None:
    """The dataset, which adds up; None if the files were refused, and nothing was written."""
    try:
        dataset = ingest_text(folder, content, movies, max_reject_rate=1.0, **flags)
    except UserError:
        assert {path.name for path in folder.iterdir()} == {"ratings.csv", "movies.csv"}
        return None
    assert {path.name for path in folder.iterdir()} == {"ratings.csv", "movies.csv", "dataset"}
    statistics = dataset.statistics
    assert statistics["rows_read"] == statistics["rows_kept"] + statistics["rows_rejected"]
    assert sum(statistics["splits"].values()) == len(dataset.ratings()) == statistics["rows_kept"]
    rejected = statistics["rejected_by_reason"]
    assert sum(rejected.values()) == statistics["rows_rejected"]
    # Repeated events, and counts of 0, are no faults, so they are counted and not listed.
    harmless = ("duplicate", "not rated") if "ingest_settings" in flags else ()
    listed = [count for reason, count in rejected.items() if reason not in harmless]
    assert len(dataset.rejects) == sum(listed)
    return dataset


def reads_as(layout: TextLayout, content: bytes) -> bool:
    """Whether the first line, which decides about the layout, has come through."""
    return split_lines(content)[0] == split_lines(layout.text.encode())[0]


def check(layout: TextLayout, content: bytes, dataset: Dataset) -> None:
    """Compares the dataset with what another reader makes of `content`."""
    lines = [*join_rows(layout, split_lines(content))]
    rows = {
        number: line
        for number, line in enumerate(lines, start=1)
        if number >= layout.first_rating() and line.strip(b" ") and not layout.is_movie_line(line)
    }
    assert dataset.statistics["rows_read"] == len(rows)
    for reject in dataset.rejects:
        assert reject["text"] == rows.pop(int(reject["line"])).decode(errors="replace")[:1000]
    ratings = dataset.ratings()
    assert len(rows) == len(ratings)
    for number, line in read(layout, lines):
        if number in rows:
            assert line.movie in MOVIE_IDS
            assert ratings[(line.user, line.movie)] == np.float32(line.rating)


def join_rows(layout: TextLayout, lines: list[bytes]) -> Iterator[bytes]:
    """The lines, of which a row over several is the first; the others are blank."""
    place = 0
    while place < len(lines):
        below = [line.decode("latin-1") + "\n" for line in lines[place : place + 200]]
        reader = csv.reader(below, delimiter=layout.delimiter[0], strict=True, skipinitialspace=True)
        count = 1
        if layout.unused is not None and below[0].count('"') % 2:
            with suppress(csv.Error):
                fields = next(reader)
                used = [field for number, field in enumerate(fields) if number != layout.unused]
                whole = len(fields) == layout.text.partition("\n")[0].count(layout.delimiter) + 1
                if whole and not any("\n" in field for field in used):
                    count = reader.line_num
        yield b" ".join(lines[place : place + count])
        yield from [b""] * (count - 1)
        place += count


def read(layout: TextLayout, lines: list[bytes]) -> Iterator[tuple[int, Line]]:
    """The ratings in `lines`, each with its line's number, as far as they can be read at all."""
    movie_above = ""
    user, movie, rating = layout.order
    for number, line in enumerate(lines, start=1):
        if layout.is_movie_line(line):
            movie_above = line.decode(errors="replace").rstrip(":").strip(" ")
        try:
            fields = [field.strip(" \t") for field in layout.fields(line.decode())]
            found = Line(fields[user], movie_above if movie is None else fields[movie], float(fields[rating]))
        except (ValueError, IndexError, StopIteration, csv.Error):
            continue
        yield number, found
