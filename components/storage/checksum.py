"""CRC32C (Castagnoli, RFC 3720), in the notation of Google Cloud Storage."""

import base64
from pathlib import Path

from google_crc32c import Checksum

_CHUNK_BYTES = 1 << 20


def checksum_of(data: bytes) -> str:
    """The CRC32C of `data`: its four big-endian bytes in base64, as `gcloud storage hash` shows it."""
    return _text(Checksum(data))


def checksum_of_file(path: str | Path) -> str:
    """The CRC32C of the file's bytes, in the notation of `checksum_of`."""
    checksum = RunningChecksum()
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            checksum.write(chunk)
    return checksum.crc32c


class RunningChecksum:
    """A file to write to that keeps nothing but the size and the CRC32C of what was written."""

    def __init__(self) -> None:
        self._checksum = Checksum()
        self.size = 0

    def write(self, data: bytes) -> int:
        """Adds `data`; returns its size."""
        self._checksum.update(data)
        self.size += len(data)
        return len(data)

    @property
    def crc32c(self) -> str:
        """The CRC32C so far, in the notation of `checksum_of`."""
        return _text(self._checksum)


def _text(checksum: Checksum) -> str:
    return base64.b64encode(checksum.digest()).decode("ascii")
