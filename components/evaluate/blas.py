"""How many threads numpy's matrix products take."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_MAPS = Path("/proc/self/maps")
_PREFIXES, _SUFFIXES = ("scipy_openblas", "openblas"), ("64_", "")


@contextmanager
def one_thread() -> Iterator[None]:
    """Lets every matrix product take one thread, for work that is itself done in threads.

    OpenBLAS's threads wait for each other by spinning: beside threads of ours, or other processes, they
    tripled the processor time of an evaluation. Where numpy uses another library nothing changes.
    """
    functions = _openblas()
    if functions is None:
        yield
        return
    get, put = functions
    before = get()
    put(1)
    try:
        yield
    finally:
        put(before)


def _openblas() -> tuple[Any, Any] | None:
    """The functions of the OpenBLAS that numpy has loaded: how many threads it takes, and to set that."""
    try:
        lines = _MAPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for path in sorted({line.split(maxsplit=5)[-1] for line in lines if "openblas" in line}):
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for prefix in _PREFIXES:
            for suffix in _SUFFIXES:
                names = (f"{prefix}_{verb}_num_threads{suffix}" for verb in ("get", "set"))
                found = [getattr(library, name, None) for name in names]
                if all(found):
                    return found[0], found[1]
    return None
