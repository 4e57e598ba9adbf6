"""Files below s3://bucket/prefix, in S3 or a store like it."""

import base64
import functools
import hashlib
import io
import mimetypes
import os
import random
import re
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from boto3.s3.transfer import TransferConfig
from boto3.session import Session
from botocore import exceptions as errors
from botocore.config import Config

from components.errors import UserError
from components.progress import log
from components.storage.s3_errors import CONFLICT, UNMET, one_line, status_of
from components.storage.storage import (
    STAGING_PREFIX,
    AlreadyExistsError,
    CorruptError,
    NotFoundError,
    RunningChecksum,
    Storage,
    StoredFile,
    staged,
    staging_name,
    stored_file,
)

# Tries of a request, after pauses that double up to 20 s, with jitter: some five minutes in all.
ATTEMPTS = 22
_CONNECT_SECONDS, _READ_SECONDS = 10.0, 60.0

# A transfer that arrives corrupt is repeated; a file that was stored corrupt arrives so every time.
_TRANSFERS = 3
# Where a transfer ends early, the transfers after it that bring nothing.
_FRUITLESS = 5
_BROKEN_OFF = (errors.IncompleteReadError, errors.ReadTimeoutError, errors.ResponseStreamingError)

_CHUNK_BYTES = 1 << 20
# Larger files go up in parts, of which one that fails is repeated. S3 takes 10,000 parts.
_PART_BYTES = 64 << 20
# Larger objects are copied in parts: one request copies 5 GiB at most.
_LARGEST_COPY = 4 << 30

# The key of the metadata that keeps an object's CRC32C, as not every store computes it.
_CHECKSUM = "crc32c"

# Requests at once that try to create one object, and how often, to see if exactly one succeeds.
_RACERS, _RACES = 8, 3
# What is known to succeed in that, by endpoint and bucket.
_PROVEN: set[tuple[str, str]] = set()
_PROVING = threading.Lock()
_STORES = "AWS, MinIO since 2024, or SeaweedFS since 4.18, as Kubeflow Pipelines has it since 2.17"

_ROOT = re.compile(r"s3://[a-z0-9][a-z0-9._-]+[a-z0-9](/.*)?")


class S3Storage(Storage):
    """Objects under a prefix of a bucket. The service guarantees that an object is whole or absent.

    Endpoint, region and credentials are found as the AWS command finds them, in AWS_ENDPOINT_URL,
    AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID and so on. Each object that is written here keeps its CRC32C as
    metadata; the store checks what arrives against its MD5.
    """

    def __init__(self, root: str, attempts: int = ATTEMPTS) -> None:
        super().__init__(root)
        if not _ROOT.fullmatch(root):
            raise UserError(f"{root} names no bucket; write s3://BUCKET/PREFIX")
        self._bucket, _, prefix = self.root.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._errors = functools.partial(one_line, bucket=self._bucket)
        with self._errors(self.root):
            self._client = _client(self.root, attempts)

    def read_bytes(self, key: str) -> bytes:
        memory = io.BytesIO()
        self._transfer(key, memory)
        return memory.getvalue()

    def write_bytes(self, key: str, data: bytes) -> None:
        self._put(key, data)

    def create_exclusive(self, key: str, data: bytes) -> None:
        self._require_exclusive()
        self._create(key, data)

    def check_writable(self, exclusively: bool = True) -> None:
        self.list(staging_name())  # finds an absent bucket: SeaweedFS makes it when an administrator writes
        super().check_writable(exclusively)

    def list(self, prefix: str = "") -> Sequence[str]:
        return sorted(one["Key"].removeprefix(self._prefix) for one in self._objects(prefix))

    def sizes(self, directory: str) -> Mapping[str, int]:
        return {one["Key"].removeprefix(self._prefix): one["Size"] for one in self._objects(f"{directory}/")}

    def exists(self, key: str) -> bool:
        with suppress(NotFoundError):
            return bool(self._head(key))
        return False

    def stat(self, key: str) -> StoredFile:
        head = self._head(key)
        checksum = _announced(head)
        # Somebody else has put it there.
        return StoredFile(head["ContentLength"], checksum) if checksum else self.read_back(key)

    def identity(self, key: str) -> str:
        """Returns the object's size and ETag, which stands for its content. Raises `NotFoundError`."""
        head = self._head(key)
        return f"{head['ContentLength']}-{head['ETag'].strip(chr(34))}"

    def read_back(self, key: str) -> StoredFile:
        return self._transfer(key, _Nowhere())

    def upload_file(self, source: Path, key: str) -> StoredFile:
        file = stored_file(source)
        if file.size <= _PART_BYTES:
            self._put(key, source.read_bytes())
        else:
            with self._errors(self.uri(key), needs_object=False):
                self._put_parts(key, source, file.crc32c)
        return file

    def download_file(self, key: str, target: Path) -> StoredFile:
        with staged(target) as staging:
            with staging.open("wb") as file:
                stored = self._transfer(key, file)
            staging.replace(target)
        return stored

    def copy_file(self, key: str, new_key: str) -> StoredFile:
        file = self.stat(key)
        source = {"Bucket": self._bucket, "Key": f"{self._prefix}{key}"}
        described = {**_description(new_key, file.crc32c), "MetadataDirective": "REPLACE"}
        settings = TransferConfig(multipart_threshold=_LARGEST_COPY, use_threads=False)
        with self._errors(self.uri(key)):
            self._client.copy(source, **self._at(new_key), ExtraArgs=described, Config=settings)
        return file

    def delete(self, key: str) -> None:
        with self._errors(self.uri(key), needs_object=False):
            self._client.delete_object(**self._at(key))

    def delete_prefix(self, directory: str) -> None:
        for key in self.list(f"{directory}/"):
            self.delete(key)

    def remove_unfinished(self, older_than_seconds: float) -> None:
        oldest = datetime.now(UTC) - timedelta(seconds=older_than_seconds)
        try:
            for one in self._objects(STAGING_PREFIX):
                if one["LastModified"] < oldest:
                    self.delete(one["Key"].removeprefix(self._prefix))
            with self._errors(self.root, needs_object=False):
                self._abort_uploads(oldest)
        except UserError as error:
            # What is left is paid for and not seen by anybody; nothing fails for it.
            log(f"unfinished uploads of killed writers may be left: {error}")

    def _abort_uploads(self, oldest: datetime) -> None:
        pages = self._client.get_paginator("list_multipart_uploads")
        for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix):
            for one in page.get("Uploads", []):
                upload = {"Bucket": self._bucket, "Key": one["Key"], "UploadId": one["UploadId"]}
                if "Initiated" in one:
                    began = one["Initiated"]
                else:  # SeaweedFS does not tell; an upload without parts takes no space
                    parts = self._client.list_parts(**upload).get("Parts", [])
                    began = min((part["LastModified"] for part in parts), default=oldest)
                if began < oldest:
                    self._client.abort_multipart_upload(**upload)

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": f"{self._prefix}{key}"}

    def _head(self, key: str) -> dict[str, Any]:
        with self._errors(self.uri(key)):
            return dict(self._client.head_object(**self._at(key)))

    def _objects(self, prefix: str) -> Sequence[dict[str, Any]]:
        with self._errors(self.uri(prefix), needs_object=False):
            pages = self._client.get_paginator("list_objects_v2")
            found = pages.paginate(Bucket=self._bucket, Prefix=f"{self._prefix}{prefix}")
            return [one for page in found for one in page.get("Contents", [])]

    def _put(self, key: str, data: bytes, **conditions: str) -> None:
        checksum = RunningChecksum()
        checksum.write(data)
        described = _description(key, checksum.stored.crc32c)
        with self._errors(self.uri(key), needs_object=False, left=(UNMET, CONFLICT) if conditions else ()):
            self._client.put_object(
                **self._at(key), **described, **conditions, Body=data, ContentMD5=_md5(data)
            )

    def _put_parts(self, key: str, source: Path, checksum: str) -> None:
        at = self._at(key)
        at["UploadId"] = self._client.create_multipart_upload(**at, **_description(key, checksum))["UploadId"]
        parts: list[dict[str, Any]] = []
        try:
            with source.open("rb") as file:
                while data := file.read(_PART_BYTES):
                    number = len(parts) + 1
                    part = self._client.upload_part(**at, PartNumber=number, Body=data, ContentMD5=_md5(data))
                    parts.append({"PartNumber": number, "ETag": part["ETag"]})
            self._client.complete_multipart_upload(**at, MultipartUpload={"Parts": parts})
        except BaseException:
            with suppress(errors.ClientError, errors.BotoCoreError):
                self._client.abort_multipart_upload(**at)
            raise

    def _transfer(self, key: str, sink: BinaryIO) -> StoredFile:
        """Writes the object to `sink`; repeats it while the data do not have the announced checksum."""
        for _ in range(_TRANSFERS):
            sink.seek(0)
            sink.truncate()
            running = RunningChecksum()
            try:
                with self._errors(self.uri(key), left=(UNMET,)):
                    announced = self._read(key, sink, running)
            except (errors.FlexibleChecksumError, errors.ClientError):
                continue  # it is corrupt, or was replaced meanwhile
            if announced in ("", running.stored.crc32c):
                return running.stored
        raise CorruptError(f"{self.uri(key)} is corrupt: its bytes do not have its checksum; store it again")

    def _read(self, key: str, sink: BinaryIO, running: RunningChecksum) -> str:
        """Reads the object, from where a broken-off transfer stopped; returns its checksum or ""."""
        rest: dict[str, str] = {}
        fruitless = 0
        while True:
            answer = self._client.get_object(**self._at(key), **rest)
            before = running.stored.size
            try:
                for data in answer["Body"].iter_chunks(_CHUNK_BYTES):
                    running.write(data)
                    sink.write(data)
                return _announced(answer)
            except _BROKEN_OFF:
                size = running.stored.size
                fruitless = 0 if size > before else fruitless + 1
                if fruitless == _FRUITLESS:
                    raise
                rest = {"Range": f"bytes={size}-", "IfMatch": answer["ETag"]}

    def _create(self, key: str, data: bytes) -> None:
        for _ in range(ATTEMPTS):
            try:
                self._put(key, data, IfNoneMatch="*")
            except errors.ClientError as error:
                if status_of(error) == CONFLICT:
                    time.sleep(random.random())
                    continue
                # The answer to an earlier attempt of this very call may have been lost on the way.
                if self.read_bytes(key) != data:
                    raise AlreadyExistsError(self.uri(key)) from error
            return
        raise UserError(f"{self.uri(key)} is written by others without end; run this step again")

    def _require_exclusive(self) -> None:
        """Raises `UserError` unless of several requests at once that create an object exactly one succeeds.

        Some stores ignore the condition; others check it, and then do not hold it.
        """
        place = (self._client.meta.endpoint_url, self._bucket)
        with _PROVING:
            if place in _PROVEN:
                return
            for _ in range(_RACES):
                if reason := self._race():
                    raise UserError(
                        f"no registry can lie in {self.root}: its store {reason}, so that two publishers "
                        f"could both win; name a bucket of another ({_STORES}), or a directory on a volume"
                    )
            _PROVEN.add(place)

    def _race(self) -> str:
        """Lets several requests at once create an object; returns what is wrong, or ""."""
        key = staging_name()

        def wins(number: int) -> bool:
            try:
                self._create(key, str(number).encode())
            except AlreadyExistsError:
                return False
            return True

        try:
            with ThreadPoolExecutor(_RACERS) as pool:
                won = sum(pool.map(wins, range(_RACERS)))
            if wins(_RACERS):
                return "ignores If-None-Match"
        finally:
            self.delete(key)
        return f"let {won} of {_RACERS} requests at once create one object" if won > 1 else ""


class _Nowhere(io.BytesIO):
    """Writable file that keeps nothing."""

    def write(self, data: Any) -> int:
        return len(data)


# A session is not made for threads, and takes a tenth of a second.
_MAKING = threading.Lock()


@functools.lru_cache
def _session(*environment: tuple[str, str]) -> Session:
    """Makes a session that has read the variables `environment`."""
    return Session()


def _client(uri: str, attempts: int) -> Any:
    settings = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": attempts},
        # Not every store knows the newer checksums; MD5 they all check.
        request_checksum_calculation="when_required",
    )
    try:
        with _MAKING:
            environment = sorted(one for one in os.environ.items() if one[0].startswith("AWS_"))
            return _session(*environment).client("s3", config=settings)
    except ValueError as error:
        raise UserError(
            f"{error}, which {uri} is asked of; set AWS_ENDPOINT_URL to http(s)://HOST:PORT"
        ) from error


def _announced(answer: dict[str, Any]) -> str:
    """Returns the CRC32C in an object's metadata, whose names some stores capitalise, or ""."""
    return next((value for name, value in answer["Metadata"].items() if name.lower() == _CHECKSUM), "")


def _description(key: str, checksum: str) -> dict[str, Any]:
    kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
    return {"ContentType": kind, "Metadata": {_CHECKSUM: checksum}}


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode("ascii")
