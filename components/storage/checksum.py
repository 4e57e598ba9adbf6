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
    checksum = Checksum()
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            checksum.update(chunk)
    return _text(checksum)


def _text(checksum: Checksum) -> str:
    return base64.b64encode(checksum.digest()).decode("ascii")
