"""Finds, opens and checks input files before any is read whole, and fingerprints them."""

import hashlib
import io
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from components.declaration import split_names
from components.errors import UserError
from components.ingest.containers import archives
from components.ingest.containers.partitions import Parts, find_parts, hive_columns
from components.progress import log
from components.storage import fetch, file_exists, identity, is_pattern, is_remote, matches

# Names the standard input in place of a file.
STDIN = "-"
_HEAD_BYTES = 1 << 20
_LONE_CR = re.compile(rb"\r(?!\n)")


@dataclass(frozen=True)
class InputFile:
    """An input file."""

    name: str  # as the user named it, for messages and rejects.csv
    path: Path
    flag: str  # that named it, for messages
    packing: str  # none, gzip, zstd or parquet
    scratch: Path  # the directory for copies of it
    parts: Parts | None = None  # of a table of several Parquet files, which lie nowhere together
    hive: Mapping[str, str | None] = field(default_factory=dict)  # columns in the path of a part -> value
    names_by_id: Mapping[int, str] = field(default_factory=dict)  # of an Iceberg table: field id -> column

    @property
    def is_parquet(self) -> bool:
        """True for a Parquet file."""
        return self.packing == "parquet"

    def open_parts(self) -> Generator["InputFile"]:
        """Yields the file or, one after the other, its parts; each may be gone afterwards.

        Raises `UserError` if a part cannot be read.
        """
        if self.parts is None:
            yield self
            return
        try:
            for key, path in self.parts.fetch(self.scratch):
                name = self.parts.name(key)
                if _packing(path) != "parquet":
                    raise UserError(f"{name} is no Parquet file; remove it, or write it again")
                one = replace(self, name=name, path=path, parts=None)
                yield replace(one, hive=hive_columns(key), names_by_id=self.parts.columns)
        except UserError as error:
            if str(error).startswith(self.flag):
                raise
            raise UserError(f"{self.flag} {error}") from error

    def parquet_columns(self) -> list[str]:
        """Lists the columns of a Parquet file, or of its first part, those in its path last.

        Raises `UserError` if it is damaged.
        """
        first, schema = self._first_schema()
        found = [
            first.names_by_id.get(int((column.metadata or {}).get(b"PARQUET:field_id", -1)), column.name)
            for column in schema
        ]
        return [*found, *(name for name in first.hive if name not in found)]

    def parquet_kinds(self) -> list[bool]:
        """Says of each column of a Parquet file whether it holds single values."""
        import pyarrow as pa

        first, schema = self._first_schema()
        return [*(not pa.types.is_nested(column.type) for column in schema), *(True for _ in first.hive)]

    def _first_schema(self) -> tuple["InputFile", Any]:
        import pyarrow.parquet as pq

        with closing(self.open_parts()) as parts:
            first = next(parts)
            with first.intact():
                return first, pq.read_schema(first.path)

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
        return "\n" if any(_LONE_CR.search(piece) for piece in self.pieces()) else "\r\n"

    def pieces(self) -> Iterator[bytes]:
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


def words(text: str) -> list[str]:
    """Lists the paths, URIs and patterns in `text`.

    A comma separates them, unless there is a file of that very name, or `text` is a JSON list.
    """
    parts = split_names(text)
    if len(parts) > 1 and not text.startswith("[") and file_exists(text):
        return [text]
    return parts


def _sources(text: str, flag: str) -> list[list[str] | Parts]:
    """Lists what each word of `text` names: files, or the parts of one table.

    Raises `UserError` if a pattern matches nothing, or `text` is empty.
    """
    found: list[list[str] | Parts] = []
    for word in words(text):
        try:
            parts = None if word == STDIN else find_parts(word)
        except UserError as error:
            raise UserError(f"{flag} {error}") from error
        files = matches(word) if not parts and is_pattern(word) else [word]
        if not files:
            raise UserError(f"{flag} {word} matches no file; name one that exists")
        found.append(parts or files)
    if not found:
        raise UserError(f"{flag} names no file; pass a path, gs:// or s3:// URI")
    return found


def open_all(
    text: str, flag: str, scratch: Path, fits: Callable[[InputFile], bool] = lambda _: True, user: str = ""
) -> list[InputFile]:
    """Opens every file that `text` names and reads its first bytes; objects are copied to `scratch`.

    Of a zip archive those members are opened whose first lines `fits`; "-" is the standard input. Each file
    gets a column with `user`, if that is not "". Raises `UserError` if a file is absent, a directory, empty,
    unreadable or not text.
    """

    def of_user(file: InputFile) -> InputFile:
        return with_user(file, user) if user else file

    def fits_with_user(file: InputFile) -> bool:
        return fits(of_user(file))

    opened: list[InputFile] = []
    for source in _sources(text, flag):
        if isinstance(source, Parts):
            opened.append(InputFile(source.label, Path(), flag, "parquet", scratch, source))
        else:
            files = (file for name in source for file in _open(name, flag, scratch, fits_with_user))
            opened += map(of_user, files)
    return opened


def _open(name: str, flag: str, scratch: Path, fits: Callable[[InputFile], bool]) -> list[InputFile]:
    if not is_remote(name) and Path(name).is_dir():
        raise UserError(
            f"{flag} {name} is a directory without Parquet files; name a file in it, or a pattern such as "
            f"{name}/*.csv"
        )
    whole, member = archives.split_member(name)
    file = _unpack(_fetch(whole, flag, scratch))
    if file.packing != "zip":
        return [_checked(file)]

    def fits_head(head: Path, inner: str) -> bool:
        return fits(_checked(_unpack(replace(file, name=inner, path=head, packing=_packing(head)))))

    members = archives.choose_members(file.path, member, fits_head, scratch, f"{flag} {whole}")
    log(f"{flag} {whole}: reading {', '.join(members)}")
    return [_checked(_unpack(_extract(file, inner))) for inner in members]


def _fetch(name: str, flag: str, scratch: Path) -> InputFile:
    try:
        if name == STDIN:
            name, path = "the standard input", _spool(flag, scratch)
        else:
            path = fetch(name, scratch)
        return InputFile(name, path, flag, _packing(path), scratch)
    except OSError as error:
        raise UserError(f"{flag} {name} cannot be read: {error.strerror}; check its permissions") from error
    except UserError as error:
        raise UserError(f"{flag} {error}") from error


def _packing(path: Path) -> str:
    with path.open("rb") as stream:
        return archives.packing_of(stream.read(8))


def spooled(scratch: Path, flag: str) -> Path:
    """Returns the copy of the standard input, if `flag` names it."""
    return scratch / f"stdin{flag}"


def _spool(flag: str, scratch: Path) -> Path:
    """Copies the standard input to a file."""
    if sys.stdin.isatty():
        raise UserError("- is the standard input, which is a terminal; pipe a file into this command")
    path = spooled(scratch, flag)
    with path.open("wb") as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
    return path


def _extract(file: InputFile, member: str) -> InputFile:
    """Unpacks one member of a zip archive."""
    target = Path(tempfile.mkdtemp(dir=file.scratch)) / Path(member).name
    name = f"{file.name}/{member}"
    archives.extract(file.path, member, target, f"{file.flag} {name}")
    return replace(file, name=name, path=target, packing=_packing(target))


def _unpack(file: InputFile) -> InputFile:
    """Unpacks a file whose packing the engine does not read."""
    if file.packing not in ("bzip2", "xz"):
        return file
    target = Path(tempfile.mkdtemp(dir=file.scratch)) / file.path.stem
    archives.unpack(file.path, file.packing, target, f"{file.flag} {file.name}")
    return replace(file, path=target, packing=_packing(target))


def _checked(file: InputFile) -> InputFile:
    """Returns `file`; raises `UserError` if it is empty, damaged or not text."""
    if file.is_parquet:
        return file
    label = f"{file.flag} {file.name}"
    if file.packing in archives.TO_UNPACK:
        raise UserError(f"{label} is packed more than once; unpack it, and name the file")
    if not file.head.strip(b"\xef\xbb\xbf \t\r\n"):
        raise UserError(f"{label} is empty; name a file that has a header and rows")
    if kind := archives.foreign_kind(file.head):
        raise UserError(f"{label} is {kind}; unpack it, and name the file")
    if b"\0" in file.head or file.head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{label} is not UTF-8 text: it holds NUL bytes; name a CSV file in UTF-8")
    if file.packing != "none":
        # The engine checks no checksums, and takes a cut zstd file as whole.
        with file.stream() as stream:
            while stream.read(_HEAD_BYTES):
                pass
    return file


# Between two fields of a text table.
DELIMITERS = ("::", "\t", ",", ";", "|")
# The name of the column that `with_user` adds.
ADDED_USER = "userId"


def with_user(file: InputFile, user: str) -> InputFile:
    """Returns a copy of a text table with a header, to which a last column with `user` is added.

    Raises `UserError` if it is no such table, or `user` cannot stand in it.
    """
    heads = [] if file.is_parquet else first_lines(file, 1)
    delimiter = max(DELIMITERS, key=heads[0].count) if heads else ""
    if not heads or delimiter not in heads[0]:
        raise UserError(f"--user goes with text tables that have a header; {file.name} is none: leave it out")
    if any(letter in user for letter in f'{delimiter}"\r\n'):
        raise UserError(f"--user {user}: it holds what divides the columns of {file.name}; give another name")
    target, inside, column = Path(tempfile.mkdtemp(dir=file.scratch)) / "one-user", False, ADDED_USER
    with file.stream() as stream, target.open("wb") as copy:
        for line in io.BufferedReader(stream):
            inside ^= line.count(b'"') % 2 == 1  # a quoted field may go on in the next line
            content = line.rstrip(b"\r\n")
            if not inside and content.strip(b"\xef\xbb\xbf "):
                line = b"".join((content, f"{delimiter}{column}".encode(), line[len(content) :] or b"\n"))
                column = user
            copy.write(line)
    return replace(file, path=target, packing="none")


def first_lines(file: InputFile, count: int) -> Sequence[str]:
    """Returns the first `count` non-blank lines of a text file."""
    # Not splitlines(): it also ends a line at characters that may stand in a field.
    lines = re.split("\r\n|\r|\n", file.head.decode("utf-8-sig", errors="replace"))
    return [line for line in lines if line.strip()][:count]


def fingerprint_of(ratings: str, movies: str, test_ratings: str, *, forgotten: str = "") -> str:
    """Returns a string that changes with the content of the files, and not with their names.

    `forgotten` is the fingerprint of the users to forget.

    Raises `UserError` if a file is absent or cannot be read.
    """
    lines = []
    for flag, text in (("--ratings", ratings), ("--movies", movies), ("--test-ratings", test_ratings)):
        if text:
            for source in _sources(text, flag):
                lines += [f"{flag} {line}" for line in _identities(source)]
    if forgotten:
        lines.append(f"--forget {forgotten}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def _identities(source: list[str] | Parts) -> Iterator[str]:
    """Yields for each file a string that changes with its content."""
    if isinstance(source, Parts):
        for key, stored in zip(source.keys, source.stat(), strict=True):
            of_path = " ".join(f"{column}={value}" for column, value in hive_columns(key).items())
            yield f"{stored.size}-{stored.crc32c} {of_path}".rstrip()
        return
    for name in source:
        whole, member = archives.split_member(name)
        yield f"{identity(whole)} {member}".rstrip()
