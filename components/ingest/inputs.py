"""Input files: what the user named, found, opened and looked at before anything is read whole."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from components.errors import UserError

# The first bytes of a file -> how it is packed.
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_HEAD_BYTES = 1 << 20


@dataclass(frozen=True)
class InputFile:
    """One file to read.

    Attributes:
      name: as the user named it, for messages and rejects.csv.
      path: where it lies on this machine.
      flag: the flag that named it, for messages.
      compression: none, gzip or zstd.
      head: its first bytes, unpacked.
    """

    name: str
    path: Path
    flag: str
    compression: str
    head: bytes


def names(text: str, flag: str) -> list[str]:
    """The files that `text` names: paths or gs:// URIs, several by comma, local ones also by pattern.

    Raises:
      UserError: if a pattern matches nothing, or `text` is empty.
    """
    found: list[str] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        matches = sorted(glob.glob(word)) if _is_pattern(word) else [word]
        if not matches:
            raise UserError(f"{flag} {word} matches no file; name one that exists")
        found += matches
    if not found:
        raise UserError(f"{flag} names no file; pass a path or gs:// URI")
    return found


def _is_pattern(word: str) -> bool:
    return not word.startswith("gs://") and not Path(word).exists() and any(mark in word for mark in "*?[")


def open_all(text: str, flag: str) -> list[InputFile]:
    """Opens every file that `text` names and looks at its first bytes.

    Raises:
      UserError: if a file is absent, a directory, empty, unreadable or not text.
    """
    return [open_file(name, flag) for name in names(text, flag)]


def open_file(name: str, flag: str) -> InputFile:
    """Opens one local file and looks at its first bytes; raises as `open_all` does."""
    path = Path(name)
    if path.is_dir():
        raise UserError(
            f"{flag} {name} is a directory; name the file in it, or a pattern such as {name}/*.csv"
        )
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
    except FileNotFoundError as error:
        raise UserError(f"{flag} {name} does not exist; check the path") from error
    except OSError as error:
        raise UserError(f"{flag} {name} cannot be read: {error.strerror}; check its permissions") from error
    compression = next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), "none")
    head = _head(path, name, flag, compression)
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        raise UserError(f"{flag} {name} is empty; name a file that has a header and rows")
    if b"\0" in head or head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{flag} {name} is not UTF-8 text; convert it, e.g. with `iconv -t UTF-8`")
    return InputFile(name, path, flag, compression, head)


def _head(path: Path, name: str, flag: str, compression: str) -> bytes:
    import pyarrow as pa

    try:
        with pa.input_stream(str(path), compression=None if compression == "none" else compression) as stream:
            head: bytes = stream.read(_HEAD_BYTES)
            return head
    except (OSError, pa.ArrowException) as error:
        raise damaged(name, flag, compression) from error


def damaged(name: str, flag: str, compression: str) -> UserError:
    """The error for a file whose compressed stream is cut off or broken."""
    return UserError(
        f"{flag} {name} is a damaged {compression} file, perhaps cut off; copy or download it again"
    )


def first_lines(file: InputFile, count: int) -> Sequence[str]:
    """The first `count` non-blank lines of a text file."""
    lines = file.head.decode("utf-8-sig", errors="replace").splitlines()
    return [line for line in lines if line.strip()][:count]
