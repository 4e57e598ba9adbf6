"""Input files that have to be unpacked first: zip archives and their members, bzip2 and xz."""

import bz2
import lzma
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from components.errors import UserError
from components.outputs import FULL_DISK
from components.storage import is_remote

# The first bytes of a file -> its packing.
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PAR1": "parquet",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": "zip",
}
# Those that the engine does not read.
TO_UNPACK = ("bzip2", "xz", "zip")
# What a file unpacks to at most: so many times its size, or so many bytes if that is more. The tables of
# this project's users unpack to 3 to 15 times their size, a bomb to more than a thousand.
_MOST_TIMES, _MOST_BYTES = 200, 1 << 30
_CHUNK_BYTES = 1 << 20
# Enough of a member to tell its layout.
_HEAD_BYTES = 1 << 16
_MEMBERS_SHOWN = 5
# The names of data sets' main tables, where an archive holds several that would do.
_USUAL = frozenset({"ratings", "rating", "u.data", "movies", "movie", "u.item"})

# Tests if a file with the first bytes of a member is what the flag asks for.
Fits = Callable[[Path, str], bool]


def packing_of(start: bytes) -> str:
    """Returns the packing of a file by its first bytes: gzip, zstd, parquet, bzip2, xz, zip or none."""
    return next((packing for magic, packing in _MAGIC.items() if start.startswith(magic)), "none")


def foreign_kind(head: bytes) -> str:
    """Names the kind of archive that begins with `head`, if it is one that is not unpacked here; else ""."""
    if head[257:262] == b"ustar":
        return "a tar archive"
    kinds = {b"7z\xbc\xaf\x27\x1c": "a 7z archive", b"Rar!": "a rar archive"}
    return next((kind for magic, kind in kinds.items() if head.startswith(magic)), "")


def split_member(name: str) -> tuple[str, str]:
    """Separates `ARCHIVE.zip/MEMBER` into the archive and the member; "" where it names no member."""
    for found in re.finditer(r"\.zip/", name, re.IGNORECASE):
        archive, member = name[: found.end() - 1], name[found.end() :]
        if member and (is_remote(name) or Path(archive).is_file()):
            return archive, member
    return name, ""


def unpack(path: Path, packing: str, target: Path, label: str) -> None:
    """Unpacks a bzip2 or xz file. Raises `UserError`, which begins with `label`, if it cannot."""
    opened = bz2.open if packing == "bzip2" else lzma.open
    with _refused(label, packing), opened(path) as source:
        _copy(source, target, path.stat().st_size, label)


def choose_members(path: Path, member: str, fits: Fits, scratch: Path, label: str) -> list[str]:
    """Chooses the members of the zip archive at `path` that are what the flag asks for.

    That is the one `member`, by its path or its end, if it is named. Else, of those whose first lines fit:
    the only one, that with the usual name, or all if their names differ in numbers only. Raises `UserError`,
    which begins with `label`, if there are none or too many, or the archive is damaged or encrypted.
    """
    with _refused(label, "zip"), zipfile.ZipFile(path) as archive:
        members = [one for one in archive.infolist() if one.file_size and not _is_hidden(one.filename)]
        if any(one.flag_bits & 1 for one in members):
            raise UserError(f"{label} is encrypted; unpack it, and name the file in it")
        names = sorted(one.filename for one in members)
        if "xl/workbook.xml" in names:
            raise UserError(f"{label} is an Excel workbook; save its sheet as CSV in UTF-8, and name that")
        if member:
            chosen = [name for name in names if name == member or name.endswith(f"/{member}")]
            if len(chosen) != 1:
                raise UserError(f"{label} has no member {member}; {_members(names, path.name)}")
            return chosen
        if len(names) == 1:
            return names
        found = [name for name in names if _fits(archive, name, fits, scratch)]
        chosen = [*_preferred(found)]
        if not chosen and found:
            raise UserError(
                f"{label} holds {len(found)} files that could be meant; name one as {path.name}/MEMBER: "
                f"{', '.join(found[:_MEMBERS_SHOWN])}"
            )
        if not chosen:
            raise UserError(
                f"{label} holds no such file that is known by its content; {_members(names, path.name)}"
            )
        return chosen


def extract(path: Path, member: str, target: Path, label: str) -> None:
    """Unpacks one member of a zip archive. Raises `UserError`, which begins with `label`, if it cannot."""
    with _refused(label, "zip"), zipfile.ZipFile(path) as archive, archive.open(member) as source:
        _copy(source, target, archive.getinfo(member).compress_size, label)


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def _fits(archive: zipfile.ZipFile, name: str, fits: Fits, scratch: Path) -> bool:
    head = scratch / "head"
    with archive.open(name) as source:
        start = source.read(_HEAD_BYTES)
        # A part of a packed file would be taken for a damaged one; that of a text ends with a line.
        whole = len(start) < _HEAD_BYTES or packing_of(start) != "none"
        head.write_bytes(start if whole else start[: start.rfind(b"\n") + 1])
    if whole and len(start) == _HEAD_BYTES:
        extract(Path(str(archive.filename)), name, head, name)
    try:
        return fits(head, name)
    except UserError:
        return False
    finally:
        head.unlink()


def _preferred(names: Sequence[str]) -> Sequence[str]:
    paths = [PurePosixPath(name) for name in names]
    usual = [
        str(path)
        for path in paths
        if _USUAL.intersection((path.name.casefold(), path.name.partition(".")[0].casefold()))
    ]
    if len(usual) == 1:
        return usual
    same_but_for_numbers = len({re.sub(r"\d+", "", name) for name in names}) == 1
    return names if same_but_for_numbers else []


def _members(names: Sequence[str], archive: str) -> str:
    more = f" and {len(names) - _MEMBERS_SHOWN} more" if len(names) > _MEMBERS_SHOWN else ""
    return f"its members are {', '.join(names[:_MEMBERS_SHOWN])}{more}; name one as {archive}/MEMBER"


@contextmanager
def _refused(label: str, packing: str) -> Iterator[None]:
    """Turns the errors of damaged archives, and of a full disk, into `UserError`."""
    try:
        yield
    except NotImplementedError as error:
        raise UserError(
            f"{label}: its compression is not known here; unpack it, and name the file"
        ) from error
    except (OSError, EOFError, lzma.LZMAError, zipfile.BadZipFile, RuntimeError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in FULL_DISK:
            raise UserError(f"{label} does not fit on the disk when it is unpacked; make room") from error
        raise UserError(
            f"{label} is a damaged {packing} file, perhaps cut off; copy or download it again"
        ) from error


def _copy(source: Any, target: Path, packed_bytes: int, label: str) -> None:
    most = max(_MOST_BYTES, _MOST_TIMES * packed_bytes)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as stream:
        while piece := source.read(_CHUNK_BYTES):
            if stream.tell() + len(piece) > most:
                raise UserError(
                    f"{label} unpacks to more than {most / 1e9:,.1f} GB, {most / packed_bytes:,.0f} times "
                    "its size; if it is what it says, unpack it, and name the file"
                )
            stream.write(piece)
