"""Files below gs://bucket/prefix, and the errors of Google Cloud Storage as one line with its cure."""

import mimetypes
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from google.api_core import exceptions as api_errors
from google.auth.exceptions import GoogleAuthError, TransportError
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY
from requests import RequestException

from components.errors import UserError
from components.storage.storage import (
    AlreadyExistsError,
    CorruptError,
    NotFoundError,
    RunningChecksum,
    Storage,
    StoredFile,
    staged,
    stored_file,
)

# Reasons of a refusal (403) that are not about permissions.
_QUOTA_REASONS = ("quotaExceeded", "rateLimitExceeded", "userRateLimitExceeded", "dailyLimitExceeded")
_TOO_MANY_REQUESTS = 429


@contextmanager
def _one_line(uri: str, bucket: str, deadline_seconds: float, needs_object: bool = True) -> Iterator[None]:
    """Turns errors that the user can cure into a `UserError`; a failed precondition is left to the caller.

    `uri` is the object or the prefix of the request, which is repeated for `deadline_seconds`. `needs_object`
    is true if "not found" means the object, else it means the bucket, named `bucket`.
    """
    try:
        yield
    except api_errors.NotFound as error:
        if needs_object:
            raise NotFoundError(f"{uri} does not exist; check the URI") from error
        raise UserError(
            f"there is no bucket {bucket} for {uri}; check the name, or create it by "
            f"`gcloud storage buckets create gs://{bucket}`"
        ) from error
    except (api_errors.Forbidden, api_errors.Unauthorized) as error:
        raise _refusal(uri, bucket, error) from error
    except api_errors.PreconditionFailed:
        raise
    except DataCorruption as error:
        raise CorruptError(f"{uri} is corrupt: its bytes do not have its checksum; store it again") from error
    except (api_errors.RetryError, TransportError, RequestException) as error:
        raise _gave_up(uri, deadline_seconds, error) from error
    except GoogleAuthError as error:
        raise UserError(
            f"no credentials for {uri}: run `gcloud auth application-default login`, or set "
            "GOOGLE_APPLICATION_CREDENTIALS to a service account's key file"
        ) from error
    except api_errors.GoogleAPIError as error:
        raise UserError(f"Google Cloud Storage refuses {uri}: {error}; check the URI") from error


def _refusal(uri: str, bucket: str, error: api_errors.GoogleAPICallError) -> UserError:
    detail = _detail(error)
    message = detail.get("message", "")
    if detail.get("reason") in _QUOTA_REASONS:
        return _quota(uri, message)
    return UserError(
        f"no permission for {uri} ({message or error.code}); grant this account roles/storage.objectAdmin on "
        f"the bucket {bucket}"
    )


def _gave_up(uri: str, deadline_seconds: float, error: Exception) -> UserError:
    last = getattr(error, "cause", None)
    if _status(last) == _TOO_MANY_REQUESTS:
        return _quota(uri, _detail(last).get("message", ""))
    return UserError(
        f"Google Cloud Storage did not serve {uri} within {deadline_seconds:g} s ({error}); "
        "check the network and run this step again"
    )


def _quota(uri: str, message: str) -> UserError:
    return UserError(
        f"the quota for {uri} is used up ({message}); have it raised, or free some space by "
        "`twotower prune`, and run this step again"
    )


def _status(error: Any) -> int | None:
    """Returns the HTTP status of an exception of any of the library's layers."""
    status = getattr(error, "code", None) or getattr(getattr(error, "response", None), "status_code", None)
    return int(status) if status else None


def _detail(error: Any) -> dict[str, str]:
    """Returns the service's own "reason" and "message"; empty if the answer has none."""
    try:
        body = error.response.json()["error"]
        return {"message": body["message"], **body["errors"][0]}
    except (AttributeError, ValueError, KeyError, IndexError, TypeError):
        return {}


# Transient errors are retried for so long, after pauses that double, with jitter.
DEADLINE_SECONDS = 300.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0

# A transfer that arrives corrupt is repeated; a file that was stored corrupt arrives so every time.
_TRANSFERS = 3

_REQUEST_SECONDS = 60.0

_ROOT = re.compile(r"gs://[a-z0-9][a-z0-9._-]+[a-z0-9](/.*)?")

T = TypeVar("T")


class GcsStorage(Storage):
    """Objects under a prefix of a bucket. The service guarantees that an object is whole or absent.

    Credentials are the application default ones; with STORAGE_EMULATOR_HOST set, none are needed.
    """

    def __init__(self, root: str, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        super().__init__(root)
        if not _ROOT.fullmatch(root):
            raise UserError(f"{root} names no bucket; write gs://BUCKET/PREFIX")
        self._bucket_name, _, prefix = self.root.removeprefix("gs://").partition("/")
        self._errors = partial(_one_line, bucket=self._bucket_name, deadline_seconds=deadline_seconds)
        self._prefix = f"{prefix}/" if prefix else ""
        retry = DEFAULT_RETRY.with_delay(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS, 2.0)
        self._request = {"retry": retry.with_timeout(deadline_seconds), "timeout": _REQUEST_SECONDS}
        with self._errors(self.root):
            # The project matters only to what creates buckets.
            self._bucket = storage.Client(project=None).bucket(self._bucket_name)

    def read_bytes(self, key: str) -> bytes:
        data: bytes = self._transfer(key, lambda: self._blob(key).download_as_bytes(**self._request))
        return data

    def write_bytes(self, key: str, data: bytes) -> None:
        self._upload(key, data)

    def create_exclusive(self, key: str, data: bytes) -> None:
        try:
            # A small object goes up in one request, on which the service enforces the condition.
            self._upload(key, data, if_generation_match=0)
        except api_errors.PreconditionFailed as error:
            # The answer to an earlier attempt of this very call may have been lost on the way.
            if self.read_bytes(key) != data:
                raise AlreadyExistsError(self.uri(key)) from error

    def list(self, prefix: str = "") -> Sequence[str]:
        return sorted(blob.name.removeprefix(self._prefix) for blob in self._blobs(prefix))

    def sizes(self, directory: str) -> Mapping[str, int]:
        return {blob.name.removeprefix(self._prefix): blob.size for blob in self._blobs(f"{directory}/")}

    def exists(self, key: str) -> bool:
        with self._errors(self.uri(key)):
            return bool(self._blob(key).exists(**self._request))

    def stat(self, key: str) -> StoredFile:
        blob = self._described(key)
        return StoredFile(blob.size, blob.crc32c)

    def read_back(self, key: str) -> StoredFile:
        def download() -> StoredFile:
            sink = RunningChecksum()
            self._blob(key).download_to_file(sink, checksum="crc32c", **self._request)
            return sink.stored

        return self._transfer(key, download)

    def upload_file(self, source: Path, key: str) -> StoredFile:
        blob = self._blob(key)
        with self._errors(self.uri(key), needs_object=False):
            blob.upload_from_filename(str(source), checksum="crc32c", **self._request)
        return StoredFile(blob.size, blob.crc32c)

    def download_file(self, key: str, target: Path) -> StoredFile:
        with staged(target) as staging:
            download = self._blob(key).download_to_filename
            self._transfer(key, lambda: download(str(staging), checksum="crc32c", **self._request))
            staging.replace(target)
        return stored_file(target)

    def copy_file(self, key: str, new_key: str) -> StoredFile:
        source, copy = self._blob(key), self._blob(new_key)
        with self._errors(self.uri(key)):
            # The service copies a large object piece by piece, a request a piece.
            token, _, _ = copy.rewrite(source, **self._request)
            while token is not None:
                token, _, _ = copy.rewrite(source, token=token, **self._request)
        return StoredFile(copy.size, copy.crc32c)

    def delete(self, key: str) -> None:
        self._delete(self._blob(key))

    def delete_prefix(self, directory: str) -> None:
        for blob in self._blobs(f"{directory}/"):
            self._delete(blob)

    def remove_unfinished(self, older_than_seconds: float) -> None:
        """Does nothing: an upload that was broken off leaves no object."""

    def _blob(self, key: str) -> Any:
        return self._bucket.blob(f"{self._prefix}{key}")

    def _described(self, key: str) -> Any:
        blob = self._blob(key)
        with self._errors(self.uri(key)):
            blob.reload(**self._request)
        return blob

    def _blobs(self, prefix: str) -> Sequence[Any]:
        with self._errors(self.uri(prefix), needs_object=False):
            return [*self._bucket.list_blobs(prefix=f"{self._prefix}{prefix}", **self._request)]

    def _upload(self, key: str, data: bytes, **conditions: int) -> None:
        kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
        options = {"content_type": kind, "checksum": "crc32c", **conditions, **self._request}
        with self._errors(self.uri(key), needs_object=False):
            self._blob(key).upload_from_string(data, **options)

    def _delete(self, blob: Any) -> None:
        with self._errors(f"gs://{self._bucket_name}/{blob.name}"), suppress(api_errors.NotFound):
            blob.delete(**self._request)

    def _transfer(self, key: str, download: Callable[[], T]) -> T:
        """Calls `download`, and repeats it while the data do not have the announced checksum."""
        with self._errors(self.uri(key)):
            for _ in range(_TRANSFERS - 1):
                try:
                    return download()
                except DataCorruption:
                    continue
            return download()
