"""What a worker does before it trains: it finds the others, and sees whether its step is there."""

import json
import os
import socket
import threading

import pytest

from components.errors import UserError
from components.train.pods import worker
from components.train.pods.worker import (
    Exchange,
    beating,
    end_without_step,
    exchange_of,
    join,
)
from components.train.settings import TrainRequest

ADDRESSES = ["j-0.j:2222", "j-1.j:2222"]


@pytest.fixture
def exchange(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "SECONDS_BETWEEN_BEATS", 0.01)
    return Exchange(str(tmp_path))


@pytest.fixture
def names(monkeypatch):
    """How many look-ups of each name fail before it has an address."""
    failures: dict[str, int] = {}

    def look_up(host, port):
        if failures.get(host, 0):
            failures[host] -= 1
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(worker.socket, "getaddrinfo", look_up)
    monkeypatch.setattr(worker, "_SECONDS_BETWEEN_LOOKS", 0.001)
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "1")
    monkeypatch.setenv("TF_CONFIG", "")
    return failures


def test_a_worker_waits_for_the_names_of_all_and_tells_tensorflow(names, capsys):
    names["j-0.j"] = 30
    join(ADDRESSES)
    assert json.loads(os.environ["TF_CONFIG"]) == {
        "cluster": {"worker": ADDRESSES},
        "task": {"type": "worker", "index": 1},
    }
    assert capsys.readouterr().err.count("waiting for the pod of j-0.j") == 1


def test_a_name_that_does_not_come_ends_the_waiting(names, monkeypatch):
    monkeypatch.setattr(worker, "_PATIENCE", 0.01)
    names["j-1.j"] = 1_000_000
    with pytest.raises(UserError, match=r"the pod of j-1\.j has not started in .*--request workers"):
        join(ADDRESSES)


@pytest.fixture
def ended(monkeypatch):
    """The status with which the process would have ended, once it has."""
    statuses: list[int] = []
    happened = threading.Event()

    def end(status):
        statuses.append(status)
        happened.set()

    monkeypatch.setattr(worker.os, "_exit", end)
    return lambda seconds: happened.wait(seconds) and statuses[0]


def test_a_worker_whose_step_is_silent_ends_with_a_status_that_ends_the_job(exchange, ended, monkeypatch):
    monkeypatch.setattr(worker, "SILENCE", 0.3)
    with beating(exchange):
        end_without_step(exchange)
        assert not ended(0.8)
    assert ended(5) == 2
    assert not worker.Path(exchange.root).exists()


def test_a_worker_whose_exchange_directory_was_deleted_ends_too(exchange, ended, monkeypatch):
    monkeypatch.setattr(worker, "SILENCE", 0.3)
    exchange.beat()
    end_without_step(exchange)
    (worker.Path(exchange.root) / "heartbeat").unlink()
    assert ended(5) == 2


def test_a_heartbeat_that_cannot_be_written_is_logged_and_tried_again(exchange, monkeypatch, capsys):
    beats = []

    def beat():
        beats.append(1)
        if len(beats) == 2:
            raise UserError("the disk is full")
        if len(beats) == 4:
            enough.set()

    enough = threading.Event()
    monkeypatch.setattr(exchange, "beat", beat)
    with beating(exchange):
        assert enough.wait(5)
    assert capsys.readouterr().err.count("the disk is full") == 1


def test_the_exchange_directory_may_be_a_bucket(bucket, world, tmp_path):
    exchange = exchange_of(f"{bucket}/checkpoints/", "run", "job")
    request = TrainRequest("default", {}, 0.0, 0.0, 42, f"{bucket}/checkpoints")
    exchange.stage(request, world.interactions, world.vocabulary)
    exchange.beat()
    exchange.fetch_inputs(tmp_path)
    assert exchange.request() == request
    assert exchange.heartbeat()
    assert (tmp_path / "vocabulary" / "vocabulary.json").is_file()
    other = exchange_of(f"{bucket}/checkpoints", "run-2", "job")
    other.beat()
    exchange_of(f"{bucket}/checkpoints", "run").delete()
    assert exchange.heartbeat() == b""
    assert other.heartbeat()
