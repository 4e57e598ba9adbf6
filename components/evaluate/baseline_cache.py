"""What the baselines answered, kept beside the data: it is the same for every model measured on them."""

import os
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from components.evaluate.held_out import HeldOut
from components.evaluate.scoring import Scored
from components.progress import log

CACHE_FILE = "baselines.npz"
# To be raised with every change in what a baseline answers.
_VERSION = 2

Answer = Callable[[], Scored]


def answers(directory: Path | None, held_out: HeldOut, baselines: Mapping[str, Answer]) -> dict[str, Scored]:
    """The answers of all `baselines` for `held_out`, from the file in `directory` or computed and put there.

    Args:
      directory: where the data lie; None keeps nothing. One that cannot be written is no failure.
      baselines: name -> what computes its answers.
    """
    if directory is None:
        return {name: answer() for name, answer in baselines.items()}
    file, key = directory / CACHE_FILE, _key(held_out)
    found = _read(file, key)
    if found.keys() == baselines.keys():
        log(f"baselines as computed before, from {file}")
        return found
    computed = {name: answer() for name, answer in baselines.items()}
    with suppress(OSError):
        _write(file, key, computed)
    return computed


def _key(held_out: HeldOut) -> str:
    """Other data or another version of the baselines, another key."""
    known = held_out.known
    checksum = 0
    for array in (
        held_out.users, held_out.row_splits, held_out.movies, held_out.ratings,
        known.offsets, known.movies, known.ratings,
    ):  # fmt: skip
        checksum = zlib.crc32(np.ascontiguousarray(array).data, checksum)
    return f"{_VERSION} {len(held_out.movie_ids)} {held_out.rating_scale} {len(known.movies)} {checksum:08x}"


def _read(file: Path, key: str) -> dict[str, Scored]:
    """What the file holds for `key`; empty if it holds nothing, or for another one."""
    try:
        # A file that numpy opens itself stays open when it is no archive.
        with file.open("rb") as source, np.load(source) as arrays:
            if str(arrays["key"]) != key:
                return {}
            parts: dict[str, dict[str, Any]] = {}
            for name in arrays.files:
                scorer, separator, part = name.partition(".")
                if separator:
                    parts.setdefault(scorer, {})[part] = arrays[name]
    except (OSError, ValueError, KeyError, BadZipFile):
        return {}
    empty = dict.fromkeys(("ranks", "unseen_ranks", "ratings", "lists"))
    return {
        scorer: Scored(**{**empty, **of_scorer, "non_finite_users": int(of_scorer["non_finite_users"])})
        for scorer, of_scorer in parts.items()
    }


def _write(file: Path, key: str, computed: Mapping[str, Scored]) -> None:
    arrays: dict[str, Any] = {
        f"{scorer}.{part}": np.asarray(value)
        for scorer, scored in computed.items()
        for part, value in vars(scored).items()
        if value is not None
    }
    staging = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with staging.open("wb") as target:
            np.savez(target, key=np.asarray(key), **arrays)
        staging.replace(file)
    finally:
        staging.unlink(missing_ok=True)
