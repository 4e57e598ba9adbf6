"""The steps of `pipeline.py billion`, each in a process of its own that is watched from outside."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# Users, movies and ratings.
SIZE = (5_000_000, 100_000, 1_000_000_000)
PARTS = 16
_SECONDS_BETWEEN_LOOKS = 0.25


@dataclass
class Cost:
    """Figures of a step. Sizes in GB (10^9 bytes), disk without what lay there before the run."""

    step: str
    seconds: float
    processor_seconds: float
    memory: float  # most of all its processes, mapped files included
    held: float  # most without pages of files, which the system takes back when it needs them
    disk: float  # most while it ran, files without names included
    disk_after: float


def run(place: Path, scale: float, memory_gb: float, training_steps: int) -> list[Cost]:
    """Runs what has not run before in `place`, and prints a table of all steps."""
    place.mkdir(parents=True, exist_ok=True)
    done = place / "costs.json"
    costs = [Cost(**one) for one in json.loads(done.read_text("utf-8"))] if done.exists() else []
    for name, words in steps(place, scale, memory_gb, training_steps).items():
        if all(cost.step != name for cost in costs):
            print(f"{name}, load {os.getloadavg()[0]:.1f}", flush=True)
            costs.append(watch(name, [sys.executable, "-m", "pipelines.cli", *map(str, words)], place))
            written = done.with_suffix(".new")
            written.write_text(json.dumps([asdict(cost) for cost in costs]), "utf-8")
            written.replace(done)
    print_costs(costs, scale)
    return costs


def steps(place: Path, scale: float, memory_gb: float, training_steps: int) -> dict[str, list[Any]]:
    """The words of each subcommand, by the name of the step."""
    users, movies, ratings = (max(int(size * scale), 1) for size in SIZE)
    at = {name: place / name for name in ("files", "dataset", "vocabulary", "interactions", "model")}
    at |= {name: place / name for name in ("evaluation", "report.html", "index", "registry")}
    memory = ["--memory-gb", memory_gb]
    shorter = (
        ["--train-settings", json.dumps({"steps": training_steps, "validations": 1})]
        if training_steps
        else []
    )
    encoded = ["--vocabulary", at["vocabulary"], "--interactions", at["interactions"]]
    judged = ["--model", at["model"], "--evaluation", at["evaluation"]]
    return {
        "sample": ["sample", "--format", "parquet", "--parts", PARTS, "--output", at["files"],
                   "--users", users, "--movies", movies, "--ratings", ratings],
        "ingest": ["ingest", "--ratings", at["files"] / "ratings", "--movies", at["files"] / "movies.csv",
                   "--output", at["dataset"], *memory],
        "vocabulary": ["vocabulary", "--dataset", at["dataset"], "--vocabulary-output", at["vocabulary"],
                       "--output", at["interactions"], *memory],
        "train": ["train", *encoded, "--output", at["model"],
                  "--checkpoint-root", place / "checkpoints", *shorter],
        "evaluate": ["evaluate", "--model", at["model"], *encoded, "--output", at["evaluation"],
                     "--gate", "report"],
        "report": ["report", *judged, "--dataset", at["dataset"], "--output", at["report.html"]],
        "export": ["export", "--model", at["model"], *encoded, "--output", at["index"],
                   "--histories", "beside"],
        "publish": ["publish", "--index", at["index"], *judged, "--report", at["report.html"],
                    "--dataset", at["dataset"], "--registry", at["registry"], "--run-id", "billion",
                    "--output", place / "published"],
    }  # fmt: skip


def watch(name: str, command: list[str], place: Path) -> Cost:
    """Runs a command and looks at its processes and at the disk of `place`. Raises if it fails."""
    started, before = time.monotonic(), os.times()
    memory = held = disk = 0.0
    process = subprocess.Popen(command)
    try:
        while process.poll() is None:
            found = [*_processes(process.pid)]
            sizes = [_memory(one) for one in found]
            memory = max(memory, sum(both for both, _ in sizes))
            held = max(held, sum(own for _, own in sizes))
            disk = max(disk, used(place) + sum(map(_nameless, found)))
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        sys.exit(f"{name} ended with status {process.returncode}; the same command again goes on with it")
    after = os.times()
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(name, time.monotonic() - started, processor, memory, held, disk, used(place))


def _processes(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in children.read_text("utf-8").split():
                yield from _processes(int(child))
        except OSError:
            continue  # it has ended


def _memory(pid: int) -> tuple[float, float]:
    """Returns what a process holds, with and without pages of files."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    except OSError:
        return 0.0, 0.0
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    both, own = (int(values.get(name, "0 kB").split()[0]) * 1024 / 1e9 for name in ("VmRSS", "RssAnon"))
    return both, own


def used(place: Path) -> float:
    """The disk that the files below `place` take; of several names of one file only the first counts."""
    blocks = {}
    for parent, _, names in os.walk(place):
        for name in names:
            try:
                status = os.lstat(Path(parent, name))
            except OSError:
                continue
            blocks[status.st_ino] = status.st_blocks
    return sum(blocks.values()) * 512 / 1e9


def _nameless(pid: int) -> float:
    """The disk that the open or mapped files of a process take which have no name."""
    found = {}
    for kind in ("fd", "map_files"):
        for link in Path(f"/proc/{pid}/{kind}").glob("*"):
            try:
                status = link.stat()
                if status.st_nlink == 0 and str(link.readlink()).startswith("/"):
                    found[status.st_ino] = status.st_blocks
            except OSError:
                continue
    return sum(found.values()) * 512 / 1e9


def print_costs(costs: list[Cost], scale: float) -> None:
    """Prints what each step took."""
    print(f"\n{scale:g} of a billion ratings; sizes in GB")
    print("| step | seconds | processor | memory | held | disk at most | disk after |")
    print("|---|---|---|---|---|---|---|")
    for cost in costs:
        sizes = " | ".join(f"{size:.2f}" for size in (cost.memory, cost.held, cost.disk, cost.disk_after))
        print(f"| {cost.step} | {cost.seconds:.0f} | {cost.processor_seconds:.0f} | {sizes} |")
    run = [cost for cost in costs if cost.step != "sample"]
    seconds, most = sum(cost.seconds for cost in run), max(cost.memory for cost in run)
    disk = max(cost.disk for cost in run)
    print(f"whole run: {seconds:.0f} s, {most:.2f} GB of memory, {disk:.2f} GB of disk")


def print_slopes(costs: dict[float, list[Cost]]) -> None:
    """Prints bytes a rating that each step holds and writes, by the line through several scales."""
    import numpy as np

    ratings = np.array([*costs]) * SIZE[2]
    print("\nby the line through these sizes, users and movies in proportion; the last three at a billion")
    print("| step | held, bytes a rating | mapped and held | disk at most | held | mapped and held | disk |")
    print("|---|---|---|---|---|---|---|")
    for name in (cost.step for cost in next(iter(costs.values()))):
        of_step = [next(cost for cost in found if cost.step == name) for found in costs.values()]
        lines = [
            np.polyfit(ratings, [getattr(cost, size) * 1e9 for cost in of_step], 1)
            for size in ("held", "memory", "disk")
        ]
        slopes = " | ".join(f"{slope:.1f}" for slope, _ in lines)
        ends = " | ".join(f"{(slope * SIZE[2] + base) / 1e9:.1f} GB" for slope, base in lines)
        print(f"| {name} | {slopes} | {ends} |")
