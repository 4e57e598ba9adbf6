"""Lines of the access log, and streams that are slow, closed or full."""

import json
import os
import tempfile
import threading
import time

import pytest

from components.serve import access_log
from components.serve.access_log import AccessLog, Entry

ENTRY = Entry(1_800_000_000.25, b"abc-1", "10.0.0.7", "GET", b"/v1/models/twotower", 200, 0.0019349)


def lines(form: str, *entries: Entry) -> list[str]:
    with tempfile.TemporaryFile("w+") as file:
        with AccessLog(form, file.fileno()) as log:
            for entry in entries:
                log.add(entry)
        file.seek(0)
        return file.read().splitlines()


def test_a_line_of_json_has_the_fields_and_no_others() -> None:
    [line] = lines("json", ENTRY)
    assert json.loads(line) == {
        "time": "2027-01-15T08:00:00.250+00:00",
        "request_id": "abc-1",
        "client": "10.0.0.7",
        "method": "GET",
        "path": "/v1/models/twotower",
        "status": 200,
        "ms": 1.93,
    }


def test_a_line_of_text_has_them_too() -> None:
    assert lines("text", ENTRY, ENTRY._replace(client="", status=404)) == [
        "2027-01-15T08:00:00.250+00:00 10.0.0.7 GET /v1/models/twotower 200 1.93 ms abc-1",
        "2027-01-15T08:00:00.250+00:00 - GET /v1/models/twotower 404 1.93 ms abc-1",
    ]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_path_or_client_cannot_forge_a_line_or_flood_the_log(form: str) -> None:
    forged = ENTRY._replace(path=b'/\n\x1b[31m"x\xff' + b"y" * 9_000, client='1" \r\n2')
    [line] = lines(form, forged)
    assert line.isascii()
    assert line.isprintable()
    assert "/%0A%1B[31m%22x%FFyyy" in line
    assert "1%22%20%0D%0A2" in line
    assert len(line) < 500


def test_a_reader_that_stalls_delays_nobody_and_loses_only_the_overflow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(access_log, "_WAITING", 3_000)
    read_end, write_end = os.pipe()
    entries = 20_000
    with os.fdopen(read_end, "rb") as reader:
        with AccessLog("json", write_end) as log:
            start = time.perf_counter()
            for _ in range(entries // 1_000):
                for _ in range(1_000):
                    log.add(ENTRY)
                time.sleep(0.05)
            assert time.perf_counter() - start < 5
            received: list[bytes] = []
            thread = threading.Thread(target=lambda: received.extend(reader))
            thread.start()
        os.close(write_end)
        thread.join()
    [said] = [line for line in capsys.readouterr().err.splitlines() if "lacks" in line]
    dropped = int(said.split("lacks ")[1].split()[0].replace(",", ""))
    assert dropped > 10_000
    assert len(received) == entries - dropped


def test_a_reader_that_has_left_ends_the_log_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with AccessLog("text", write_end) as log:
        for _ in range(3):
            log.add(ENTRY)
            time.sleep(0.3)
    os.close(write_end)
    assert capsys.readouterr().err.count("the access log ends: [Errno 32] Broken pipe") == 1


def test_lines_are_written_whole_in_pieces_that_nothing_comes_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = list[bytes]()

    def write(_: int, piece: bytes) -> int:
        written.append(piece)
        return len(piece)

    monkeypatch.setattr(os, "write", write)
    with AccessLog("json", 1) as log:
        for _ in range(100):
            log.add(ENTRY)
    assert all(piece.endswith(b"\n") and len(piece) <= 4096 for piece in written)
    assert b"".join(written).count(b"\n") == 100
    assert len(written) < 10
