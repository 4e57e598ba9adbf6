"""API keys: the file that holds them, and the check of a request."""

import hmac
import re
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from components.errors import UserError
from components.progress import log
from components.serve.rest import encode_error

# The characters of a Bearer token (RFC 6750), and a length that cannot be guessed.
_KEY = re.compile(rb"[A-Za-z0-9._~+/-]{16,}=*")

_SECONDS_BETWEEN_LOOKS = 1.0

_CHALLENGE = {"WWW-Authenticate": "Bearer"}


class ApiKeys:
    """The keys of a file, read again after each change.

    The file has one key a line; "#" begins a comment. A change for the worse, such as a file without keys,
    is logged, and the keys before stay.
    """

    def __init__(self, path: str) -> None:
        """Reads the file. Raises `UserError` if it cannot be read, has no key, or a faulty one."""
        self._path = Path(path)
        # A digest under a secret of this process has one length, and its comparison says nothing about keys.
        self._secret = secrets.token_bytes(32)
        self._version = self._look()
        self._digests = self._read()
        self._looked = time.monotonic()
        self._fault = ""  # of the file as it was seen last
        if stat.S_IMODE(self._path.stat().st_mode) & 0o027:
            log(f"--api-keys {path}: others can read or change this file; `chmod 600` (or 640) ends that")

    def accepts(self, key: bytes) -> bool:
        """Compares `key` with every key, in a time that depends on none."""
        if time.monotonic() - self._looked >= _SECONDS_BETWEEN_LOOKS:
            self._reread()
        given, found = self._digest(key), False
        for digest in self._digests:
            found |= hmac.compare_digest(digest, given)
        return found

    def _reread(self) -> None:
        self._looked = time.monotonic()
        try:
            version = self._look()
            if version == self._version:
                return
            digests = self._read()
        except UserError as error:
            if str(error) != self._fault:
                log(f"{error}; the keys before stay")
            self._fault = str(error)
            return
        self._version, self._digests, self._fault = version, digests, ""
        log(f"--api-keys {self._path}: read again; keys: {len(digests)}")

    def _look(self) -> tuple[int, int, int]:
        """Returns what changes with the content of the file."""
        try:
            status = self._path.stat()
        except OSError as error:
            raise self._unreadable(error) from error
        return status.st_mtime_ns, status.st_ino, status.st_size

    def _read(self) -> list[bytes]:
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError as error:
            raise self._unreadable(error) from error
        digests = []
        for number, line in enumerate(lines, 1):
            key = line.partition(b"#")[0].strip()
            if key and not _KEY.fullmatch(key):
                raise UserError(
                    f"--api-keys {self._path}, line {number}: a key has 16 or more letters, digits "
                    "and ._~+/-; `openssl rand -hex 32` makes one"
                )
            if key:
                digests.append(self._digest(key))
        if not digests:
            raise UserError(f"--api-keys {self._path} has no key; write one a line")
        return digests

    def _unreadable(self, error: OSError) -> UserError:
        return UserError(f"--api-keys {self._path}: {error.strerror}; name a file with one key a line")

    def _digest(self, key: bytes) -> bytes:
        return hmac.digest(self._secret, key, "sha256")


class KeyCheck:
    """ASGI middleware that answers 401 to requests without a valid key, except those of `open_paths`."""

    def __init__(self, app: ASGIApp, keys: ApiKeys, open_paths: frozenset[str]) -> None:
        self._app, self._keys, self._open_paths = app, keys, open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] == "http" and scope["path"] not in self._open_paths
        if asked and not any(map(self._keys.accepts, _keys(scope["headers"]))):
            message = encode_error("no valid API key; send Authorization: Bearer KEY, or X-API-Key: KEY")
            await Response(message, 401, _CHALLENGE, "application/json")(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _keys(headers: list[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """Yields the keys that a request gives; one valid key suffices."""
    for name, value in headers:
        if name == b"x-api-key":
            yield value.strip()
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            yield value[7:].strip()
