"""Damaged files: no traceback, no partial output, no row lost in silence."""

import csv
import random
import re
from pathlib import Path

import pytest
from ratings_files import MOVIE_IDS, Dataset, full, ingest_text, netflix

from components.errors import UserError

PIECES = [
    b"", b"\n", b"\r\n", b"\r", b",", b",,", b'"', b'""', b'"a,b"', b" ", b"\t", b"::", b"\\", b"'",
    b"NULL", b"nan", b"-1", b"5e0", b"0x5", b"1_0", b"9" * 20, b"\xff", b"\xc3\x28", "é".encode(), b"\x0b",
    b"\x01", b"$1", "\u2028".encode(), b"User_ID,Rating,Movie_ID\n", b"x" * 5000, b"'; DROP TABLE rows; --",
]  # fmt: skip


def damaged(random_: random.Random) -> bytes:
    """A good file with a few faults put in, bytes flipped, or its end cut off."""
    data = bytearray(netflix(full(random_.choice([3, 20]))).encode())
    kind = random_.choice(["pieces", "flips", "cut", "lines", "all"])
    if kind in ("pieces", "all"):
        for _ in range(random_.randint(1, 8)):
            place = random_.randrange(len(data))
            data[place : place + random_.choice([0, 0, 3])] = random_.choice(PIECES)
    if kind in ("flips", "all"):
        for _ in range(random_.randint(1, 8)):
            data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)
    if kind == "lines":
        lines = data.split(b"\n")
        random_.shuffle(lines)
        data = bytearray(b"\n".join(lines + lines[:5]))
    if kind in ("cut", "all"):
        del data[random_.randrange(len(data)) :]
    return bytes(data)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(200, 2000))
def test_nothing_is_lost_in_silence_at_length(tmp_path: Path, seed: int) -> None:
    test_nothing_is_lost_in_silence(tmp_path, seed)


@pytest.mark.parametrize("seed", range(200))
def test_nothing_is_lost_in_silence(tmp_path: Path, seed: int) -> None:
    content = damaged(random.Random(seed))
    try:
        dataset = ingest_text(tmp_path, content, max_reject_rate=1.0)
    except UserError:
        assert {path.name for path in tmp_path.iterdir()} == {"ratings.csv", "movies.csv"}
        return
    assert {path.name for path in tmp_path.iterdir()} == {"ratings.csv", "movies.csv", "dataset"}
    check(content, dataset)


def check(content: bytes, dataset: Dataset) -> None:
    statistics = dataset.statistics
    assert statistics["rows_read"] == statistics["rows_kept"] + statistics["rows_rejected"]
    assert sum(statistics["splits"].values()) == len(dataset.ratings()) == statistics["rows_kept"]
    assert (
        sum(statistics["rejected_by_reason"].values()) == len(dataset.rejects) == statistics["rows_rejected"]
    )
    lines = re.split(rb"\r\n|\r|\n", content)
    assert statistics["rows_read"] == sum(bool(line.strip(b" ")) for line in lines[1:])
    for reject in dataset.rejects:
        line = lines[int(reject["line"]) - 1]
        assert reject["text"] == line.decode(errors="replace")[:1000]
    rejected = {int(reject["line"]) for reject in dataset.rejects}
    kept = [line for number, line in enumerate(lines, start=1) if number > 1 and number not in rejected]
    for user, rating, movie in csv.reader(line.decode() for line in kept if line.strip(b" ")):
        assert movie.strip(" \t") in MOVIE_IDS
        assert dataset.ratings()[(user.strip(" \t"), movie.strip(" \t"))] == float(rating)
