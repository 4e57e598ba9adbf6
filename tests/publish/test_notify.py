"""The exit handler: a record for every run, and a word to the webhook."""

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from kfp import dsl
from pytest_httpserver import HTTPServer

from components.publish import notify as notify_module
from components.publish.component import notify as notify_component
from components.publish.notify import WEBHOOK
from components.publish.step import notify, publish
from components.registry.registry import Registry
from components.step import OUTCOMES, StepOutcome, report_outcome


def ended(registry: str, error: str = "") -> None:
    notify(status_error=error, registry=registry, run_id="run-1")


@pytest.fixture(autouse=True)
def _no_webhook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WEBHOOK, raising=False)


def texts(httpserver: HTTPServer) -> list[str]:
    calls = [request for request, _ in httpserver.log if request.path == "/hooks/secret"]
    return [request.get_json()["text"] for request in calls]


@pytest.fixture
def webhook(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> HTTPServer:
    monkeypatch.setenv(WEBHOOK, httpserver.url_for("/hooks/secret"))
    httpserver.expect_request("/hooks/secret", method="POST").respond_with_data("ok")
    return httpserver


@pytest.mark.parametrize(
    ("error", "reason"),
    [("train failed", "train failed"), ("", "did not reach its verdict (failed or cancelled)")],
)
def test_a_run_that_failed_early_gets_its_record(
    place: str, webhook: HTTPServer, error: str, reason: str
) -> None:
    ended(place, error=error)
    record = Registry(place).runs.read("run-1")
    assert record is not None
    assert record.outcome == "failed"
    assert reason in record.reason
    [text] = texts(webhook)
    assert text.startswith("run run-1 failed: ")
    assert reason in text


def test_the_error_of_the_step_is_recorded_where_steps_leave_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(OUTCOMES, str(tmp_path / "outcomes"))
    (tmp_path / "outcomes").mkdir()
    succeeded = StepOutcome(step="prepare", seconds=1, peak_memory_bytes=1, status="succeeded")
    mistake = StepOutcome(
        step="ingest", seconds=1, peak_memory_bytes=1, status="mistake", error="too little data"
    )
    report_outcome(succeeded)
    report_outcome(mistake)
    ended(str(tmp_path / "registry"), error="Task exit-handler-1 failed.")
    record = Registry(str(tmp_path / "registry")).runs.read("run-1")
    assert record is not None
    assert record.reason == "ingest: too little data"


def test_the_state_that_kubeflow_gives_an_exit_handler_is_not_believed(tmp_path: Path) -> None:
    # So in every run that was watched: of a cancelled one, of one that failed, of one that ended well.
    told = dsl.PipelineTaskFinalStatus(
        state="RUNNING", pipeline_job_resource_name="", pipeline_task_name="", error_code=0, error_message=""
    )
    notify_component.python_func(registry=str(tmp_path), run_id="run-1", status=told)
    record = Registry(str(tmp_path)).runs.read("run-1")
    assert record is not None
    assert record.reason.startswith("the run did not reach its verdict (failed or cancelled)")
    assert "RUNNING" not in record.reason


def test_a_record_that_is_there_is_told_and_left(place: str, artifacts, webhook: HTTPServer) -> None:
    summary = publish(**artifacts("run-1"), registry=place)
    before = Registry(place).storage.read_bytes("runs/run-1/run.json")
    ended(place)
    assert Registry(place).storage.read_bytes("runs/run-1/run.json") == before
    assert texts(webhook) == [
        f"run run-1 published {summary.version} (top_100_accuracy_unseen 0.5000, rmse 0.8750): "
        "Good enough: it finds more than popularity does."
    ]


def test_a_publisher_that_died_before_its_record_is_not_forgotten(place: str, artifacts) -> None:
    summary = publish(**artifacts("run-1"), registry=place)
    Registry(place).storage.delete("runs/run-1/run.json")
    ended(place)
    record = Registry(place).runs.read("run-1")
    assert record is not None
    assert (record.outcome, record.version, record.sequence) == ("failed", summary.version, 1)
    assert "its version is the champion" in record.reason


def test_a_registry_that_cannot_be_written_is_told(tmp_path: Path, webhook: HTTPServer) -> None:
    (tmp_path / "file").write_text("")
    ended(str(tmp_path / "file" / "registry"))
    [text] = texts(webhook)
    assert "run run-1 has ended, and its record cannot be kept" in text
    assert "file/registry/champion: Not a directory" in text


def test_without_a_webhook_the_log_says_it(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    ended(place, error="train failed")
    assert "twotower: run run-1 failed: train failed\n" in capsys.readouterr().err


def unreachable() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/secret"


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("500", "it answered 500 Internal Server Error"),
        ("404", "it answered 404 Not Found"),
        ("nobody there", "ConnectionRefusedError"),
        ("no url", "its URL must begin with https://"),
        ("file", "its URL must begin with https://"),
        ("nonsense", "InvalidURL"),
    ],
)
def test_a_webhook_that_fails_is_logged_without_its_address(
    tmp_path: Path,
    httpserver: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    trouble: str,
    said: str,
) -> None:
    if trouble in ("500", "404"):
        httpserver.expect_request("/secret").respond_with_data("secret", status=int(trouble))
    url = {
        "nobody there": unreachable(),
        "no url": "secret",
        "file": "file:///secret",
        "nonsense": "http://secret:port/",
    }.get(trouble, httpserver.url_for("/secret"))
    monkeypatch.setenv(WEBHOOK, url)
    ended(str(tmp_path / "registry"))
    logged = capsys.readouterr().err
    assert said in logged
    assert "secret" not in logged
    assert Registry(str(tmp_path / "registry")).runs.read("run-1") is not None


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(
    place: str, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch, capsys, status: int
) -> None:
    elsewhere = {"Location": httpserver.url_for("/elsewhere")}
    httpserver.expect_request("/hooks/secret").respond_with_data("", status=status, headers=elsewhere)
    httpserver.expect_request("/elsewhere").respond_with_data("ok")
    monkeypatch.setenv(WEBHOOK, httpserver.url_for("/hooks/secret"))
    ended(place)
    assert f"it answered {status} " in (said := capsys.readouterr().err)
    assert "redirects are not followed" in said
    asked = [request.path for request, _ in httpserver.log]
    assert [path for path in asked if path in ("/hooks/secret", "/elsewhere")] == ["/hooks/secret"]


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[int]]]:
    """A function that makes the webhook a server which sends `parts` with pauses, until nobody reads them.

    It returns a list to which the number of bytes sent is added once that is so.
    """
    with ExitStack() as stack:

        def serve(parts: Iterable[bytes], pause: float = 0) -> list[int]:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            sent: list[int] = []

            def send() -> None:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.recv(1 << 16)
                    for part in parts:
                        connection.sendall(part)
                        sent.append(len(part))
                        time.sleep(pause)

            thread = threading.Thread(target=send, daemon=True)
            thread.start()
            monkeypatch.setenv(WEBHOOK, f"http://127.0.0.1:{listener.getsockname()[1]}/secret")
            stack.callback(thread.join, timeout=30)
            return sent

        yield serve


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nA: "])
def test_one_deadline_holds_for_the_whole_answer(
    place: str, monkeypatch: pytest.MonkeyPatch, capsys, answering, start: bytes
) -> None:
    """Each part comes long before a timeout of its own."""
    monkeypatch.setattr(notify_module, "_DEADLINE_SECONDS", 0.5)
    answering(itertools.chain([start], itertools.repeat(b"a", 40)), pause=0.1)
    started = time.monotonic()
    notify_module.call_webhook("text")
    assert time.monotonic() - started < 2
    assert "it did not answer within 0.5 s" in capsys.readouterr().err


def test_a_body_without_an_end_is_not_read(place: str, capsys, answering) -> None:
    endless = itertools.chain([b"HTTP/1.1 200 OK\r\n\r\n"], itertools.repeat(bytes(1 << 20), 200))
    sent = answering(endless)
    started = time.monotonic()
    notify_module.call_webhook("text")
    assert time.monotonic() - started < 5
    assert capsys.readouterr().err == ""
    # The rest of what was sent is in the buffers of the kernel.
    assert sum(sent) < 100 << 20


@pytest.mark.parametrize("answer", [b"", b"nonsense", b"HTTP/1.1 9999 x\r\n\r\n", b"\0" * 100_000])
def test_an_answer_that_is_none_is_said(place: str, capsys, answering, answer: bytes) -> None:
    answering([answer])
    notify_module.call_webhook("text")
    assert "twotower: the webhook has not taken the message: " in capsys.readouterr().err
