"""The champion that is served, and when another one is: with processes that only say what becomes of them."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from running_server import add_version, promote

from components.errors import UserError
from components.registry.registry import Registry
from components.serve import live as live_module
from components.serve.answerer import Answerer
from components.serve.live import Live
from components.serve.messages import Source


class Processes:
    """Processes without an index: `events` says what became of them; versions in `broken` do not load."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.broken: set[str] = set()

    async def start(self, source: Source, seconds: float) -> Any:
        if source.version in self.broken:
            self.events.append(f"fail {source.number}")
            raise UserError(f"/var/lib/{source.version}/index is damaged")
        self.events.append(f"start {source.number}")
        return Process(source, self.events)


class Process:
    def __init__(self, source: Source, events: list[str]) -> None:
        self.source, self.retired, self._events = source, False, events
        self._end = asyncio.get_running_loop().create_future()

    @property
    def alive(self) -> bool:
        return not self.retired and not self._end.done()

    def memory(self) -> int:
        return 1_000

    def kill(self) -> None:
        self._end.set_result("was ended by SIGKILL")

    async def end(self) -> str:
        return await asyncio.shield(self._end)

    async def retire(self) -> None:
        self.retired = True
        await self.close()

    async def close(self) -> None:
        if not self._end.done():
            self._events.append(f"stop {self.source.number}")
            self._end.set_result("")


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    processes = Processes()
    monkeypatch.setattr(Answerer, "start", processes.start)
    return processes


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(str(tmp_path / "registry"))


@pytest.fixture
def publish(registry: Registry, tmp_path: Path) -> Callable[[], str]:
    """Makes a new version the champion."""
    index = tmp_path / "index"
    index.mkdir()
    (index / "saved_model.pb").write_text("an index")

    def publish() -> str:
        version = add_version(registry, index, f"run-{len(registry.champion_log.sequences())}").version
        promote(registry, version)
        return version

    return publish


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def serve(registry: Registry, use: Callable[[Live], Awaitable[None]]) -> None:
    """Starts, watches, lets `use` do its part, and closes."""

    async def run() -> None:
        live = await Live.start("films", "", registry.root, 1.0)
        watching = asyncio.create_task(live.watch(0.01))
        try:
            await use(live)
        finally:
            watching.cancel()
            await live.close()

    asyncio.run(run())


def test_the_newest_champion_that_can_be_loaded_is_served(
    registry: Registry, publish: Callable[[], str], processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    publish()
    processes.broken |= {publish(), publish()}

    async def use(live: Live) -> None:
        assert live.current.source.number == 1
        assert live.failure
        assert live.failure[0] == 3
        assert live.failure[1] == "index is damaged"
        processes.broken.clear()
        await until(lambda: live.current.source.number == 3)
        assert live.failure is None

    serve(registry, use)
    assert processes.events[:3] == ["fail 3", "fail 2", "start 1"]
    assert "number 3 is not served: /var/lib/" in capsys.readouterr().err


def test_nothing_that_can_be_loaded_is_a_line(
    registry: Registry, publish: Callable[[], str], processes: Processes
) -> None:
    processes.broken |= {publish(), publish()}
    with pytest.raises(UserError, match="is damaged"):
        asyncio.run(Live.start("films", "", registry.root, 1.0))
    assert processes.events == ["fail 2", "fail 1"]


def test_an_entry_that_cannot_be_read_is_passed_over(
    registry: Registry, publish: Callable[[], str], processes: Processes
) -> None:
    publish()
    publish()
    registry.storage.write_bytes("champion/000002.json", b"{")

    async def use(live: Live) -> None:
        assert live.current.source.number == 1
        await until(lambda: live.reload_failures > 1)
        assert live.failure
        assert live.failure[0] == 2

    serve(registry, use)


def test_a_champion_that_fails_is_tried_again_less_and_less_often(
    registry: Registry, publish: Callable[[], str], processes: Processes
) -> None:
    publish()

    async def use(live: Live) -> None:
        processes.broken.add(publish())
        await asyncio.sleep(1.0)
        tries = processes.events.count("fail 2")
        assert 2 <= tries <= 8  # after 0.02 s, 0.04 s, 0.08 s, …; of a hundred polls
        assert live.failure == (2, "index is damaged")
        publish()  # the next one is tried at once
        await until(lambda: live.current.source.number == 3)

    serve(registry, use)


def test_what_dies_is_started_again_with_what_it_served(
    registry: Registry, publish: Callable[[], str], processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    first = publish()

    async def use(live: Live) -> None:
        processes.broken.add(publish())
        await until(lambda: live.failure is not None)
        live.current.kill()  # type: ignore[attr-defined]
        await until(lambda: live.current.alive)
        assert live.current.source.version == first
        assert live.restarts == 1

    serve(registry, use)
    assert "the process that answers was ended by SIGKILL; it is started again" in capsys.readouterr().err


def test_what_dies_and_is_damaged_gives_way_to_what_can_be_loaded(
    registry: Registry, publish: Callable[[], str], processes: Processes
) -> None:
    publish()
    second = publish()

    async def use(live: Live) -> None:
        processes.broken.add(second)
        live.current.kill()  # type: ignore[attr-defined]
        await until(lambda: live.current.alive)
        assert live.current.source.number == 1

    serve(registry, use)


def test_any_fault_of_a_restart_passes(
    registry: Registry,
    publish: Callable[[], str],
    processes: Processes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish()

    async def use(live: Live) -> None:
        async def no_processes(*_: Any) -> Any:
            monkeypatch.setattr(Answerer, "start", processes.start)
            raise OSError("fork: Resource temporarily unavailable")

        monkeypatch.setattr(Answerer, "start", no_processes)
        live.current.kill()  # type: ignore[attr-defined]
        await until(lambda: live.restarts == 1)

    serve(registry, use)


def test_where_memory_is_for_one_index_only_the_old_one_is_stopped_first(
    registry: Registry,
    publish: Callable[[], str],
    processes: Processes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    publish()
    free = 1_000

    async def use(live: Live) -> None:
        nonlocal free
        publish()
        await until(lambda: live.current.source.number == 2)
        free = 999
        third = publish()
        await until(lambda: live.current.source.number == 3)
        assert third in capsys.readouterr().err.split("is stopped before ")[1]
        processes.broken.add(publish())
        await until(lambda: processes.events[-2:] == ["fail 4", "start 3"] and live.reload_failures > 2)
        corrupt = publish()
        registry.storage.write_bytes(f"versions/{corrupt}/index/saved_model.pb", b"flipped")
        await until(lambda: "is corrupt" in str(live.failure))
        assert live.current.alive

    monkeypatch.setattr(live_module, "available_memory", lambda: free)
    serve(registry, use)
    assert processes.events == [
        *("start 1", "start 2", "stop 1"),
        *("stop 2", "start 3"),
        *("stop 3", "fail 4", "start 3"),
        "stop 3",
    ]


def test_a_reason_names_no_directory_of_this_machine(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "my registry"))
    for reason, shown in {
        f"{registry.root}/versions/v/index/a.pb is corrupt": "versions/v/index/a.pb is corrupt",
        f"cannot write {Path.home()}/x y/z: full; set A": "cannot write x y/z: full; set A",
        "at /opt/models/v-1/index; export": "at index; export",
        "gs://bucket/a/b is missing": "gs://bucket/a/b is missing",
        "1/2 and/or 3": "1/2 and/or 3",
    }.items():
        assert live_module._public(reason, registry) == shown
