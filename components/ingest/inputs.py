"""Finds, opens and checks input files before any is read whole, and fingerprints them."""

import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from components.errors import UserError
from components.storage import fetch, identity, is_pattern, is_remote, matches

# The first bytes of a file -> its packing.
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"PAR1": "parquet"}
_HEAD_BYTES = 1 << 20
_LONE_CR = re.compile(rb"\r(?!\n)")


@dataclass(frozen=True)
class InputFile:
    """An input file."""

    name: str  # as the user named it, for messages and rejects.csv
    path: Path
    flag: str  # that named it, for messages
    packing: str  # none, gzip, zstd or parquet

    @property
    def is_parquet(self) -> bool:
        """True for a Parquet file."""
        return self.packing == "parquet"

    def parquet_columns(self) -> list[str]:
        """Lists the columns of a Parquet file. Raises `UserError` if it is damaged."""
        import pyarrow.parquet as pq

        with self.intact():
            return list(pq.read_schema(self.path).names)

    @cached_property
    def head(self) -> bytes:
        """The first bytes of a text file, unpacked. Raises `UserError` if it is damaged."""
        with self.stream() as stream:
            content: bytes = stream.read(_HEAD_BYTES)
        return content

    @cached_property
    def line_end(self) -> str:
        """Line end: CRLF if every line ends so, else LF, for which lines may end in CR, LF or both."""
        found = re.search(rb"\r\n|\r|\n", self.head)
        if not found or found[0] != b"\r\n":
            return "\n"
        return "\n" if any(_LONE_CR.search(piece) for piece in self._pieces()) else "\r\n"

    def _pieces(self) -> Iterator[bytes]:
        """Yields the content of a text file, in pieces that never separate a CR from its LF."""
        kept = b""
        with self.stream() as stream:
            while read := stream.read(_HEAD_BYTES):
                piece = kept + read
                kept = b"\r" if piece.endswith(b"\r") else b""
                yield piece[: len(piece) - len(kept)]
        yield kept

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yields the lines of a text file that are not blank, each with its number from 1."""
        with (
            self.stream() as stream,
            io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline=None) as text,
        ):
            for number, line in enumerate(text, start=1):
                content = line.rstrip("\n")
                if content.strip(" "):
                    yield number, content

    @contextmanager
    def stream(self) -> Iterator[Any]:
        """Yields the content of a text file, unpacked. Raises `UserError` if it is damaged."""
        import pyarrow as pa

        codec = None if self.packing == "none" else self.packing
        with self.intact(), pa.input_stream(str(self.path), compression=codec) as stream:
            yield stream

    @contextmanager
    def intact(self) -> Iterator[None]:
        """Turns the errors of Arrow at a damaged file into `damaged`."""
        import pyarrow as pa

        try:
            yield
        except (OSError, ValueError, pa.ArrowException) as error:
            raise self.damaged() from error

    def damaged(self) -> UserError:
        """Returns the error for a file that is cut off or broken."""
        kind = "" if self.packing == "none" else f"{self.packing} "
        return UserError(
            f"{self.flag} {self.name} is a damaged {kind}file, perhaps cut off; copy or download it again"
        )


def names(text: str, flag: str) -> list[str]:
    """Lists the files that `text` names: paths or gs:// URIs, several by comma or pattern.

    Raises `UserError` if a pattern matches nothing, or `text` is empty.
    """
    found: list[str] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        files = matches(word) if is_pattern(word) else [word]
        if not files:
            raise UserError(f"{flag} {word} matches no file; name one that exists")
        found += files
    if not found:
        raise UserError(f"{flag} names no file; pass a path or gs:// URI")
    return found


def open_all(text: str, flag: str, scratch: Path) -> list[InputFile]:
    """Opens every file that `text` names and reads its first bytes; gs:// objects are copied to `scratch`.

    Raises `UserError` if a file is absent, a directory, empty, unreadable or not text.
    """
    return [_open(name, flag, scratch) for name in names(text, flag)]


def _open(name: str, flag: str, scratch: Path) -> InputFile:
    if not is_remote(name) and Path(name).is_dir():
        raise UserError(f"{flag} {name} is a directory; name a file in it, or a pattern such as {name}/*.csv")
    try:
        path = fetch(name, scratch)
        with path.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        raise UserError(f"{flag} {name} cannot be read: {error.strerror}; check its permissions") from error
    except UserError as error:
        raise UserError(f"{flag} {error}") from error
    packing = next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), "none")
    file = InputFile(name, path, flag, packing)
    if file.is_parquet:
        return file
    if not file.head.strip(b"\xef\xbb\xbf \t\r\n"):
        raise UserError(f"{flag} {name} is empty; name a file that has a header and rows")
    if b"\0" in file.head or file.head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{flag} {name} is not UTF-8 text: it holds NUL bytes; name a CSV file in UTF-8")
    if packing != "none":
        # The engine checks no checksums, and takes a cut zstd file as whole.
        with file.stream() as stream:
            while stream.read(_HEAD_BYTES):
                pass
    return file


def first_lines(file: InputFile, count: int) -> Sequence[str]:
    """Returns the first `count` non-blank lines of a text file."""
    # Not splitlines(): it also ends a line at characters that may stand in a field.
    lines = re.split("\r\n|\r|\n", file.head.decode("utf-8-sig", errors="replace"))
    return [line for line in lines if line.strip()][:count]


def fingerprint_of(ratings: str, movies: str, test_ratings: str) -> str:
    """Returns a string that changes with the files or their names. Raises `UserError` if one is absent."""
    lines = []
    for flag, text in (("--ratings", ratings), ("--movies", movies), ("--test-ratings", test_ratings)):
        if text:
            lines += [f"{flag} {name} {identity(name)}" for name in names(text, flag)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]
