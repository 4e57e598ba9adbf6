"""What the whole pipeline takes, from files to a published recommender, with default settings.

    python benchmarks/pipeline.py                           17.3M ratings, Netflix's shape as on Kaggle
    python benchmarks/pipeline.py netflix-prize             100.5M ratings, the Prize's shape
    python benchmarks/pipeline.py million-movies            20M ratings by 1M users of 1M movies
    python benchmarks/pipeline.py USERS:MOVIES:RATINGS …    worlds of these sizes, all movies rated
    python benchmarks/pipeline.py billion                   1 billion ratings by 5M users of 100,000 movies
    python benchmarks/pipeline.py billion --scale 0.02      as many of each, times this; several by comma

Generates the files, runs `twotower run`, then `twotower batch` for all users, and prints seconds and peak
memory of each step as the run record has them. With several worlds it also prints with which power of the
ratings, the movies and the users the seconds of each step grow, by the worlds that differ from the first in
one of them alone.
The billion is run step by step, from ingest to a published champion, without `batch`; memory and disk are
measured from outside. Its folder is kept: the same command goes on with the step that was killed. Of several
scales it prints how many bytes a rating takes more, in memory and on disk.
The load is printed, since wall time suffers from whatever else runs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import billion
import numpy as np

# Users, movies of the table, rated movies, ratings.
WORLDS = {
    "netflix": (143_458, 17_770, 1_350, 17_337_458),
    "netflix-prize": (480_189, 17_770, 17_770, 100_480_507),
    "million-movies": (1_000_000, 1_000_000, 1_000_000, 20_000_000),
}
# What worlds may differ in.
SIZES = ("ratings", "movies", "users")
BATCH_K = 100
# Seconds below which a step's time is mostly that of starting it.
MEASURABLE = 3.0


def shape(world: str) -> tuple[int, int, int, int]:
    """Users, movies of the table, rated movies and ratings of a world."""
    if world in WORLDS:
        return WORLDS[world]
    users, movies, ratings = map(int, world.split(":"))
    return users, movies, movies, ratings


def generate(world: str, folder: Path) -> dict[str, str]:
    """The files of a world, as flags of `twotower run`."""
    users, movies, rated, ratings = shape(world)
    twotower(
        "sample", "--output", folder, "--users", users, "--movies", movies,
        "--rated-movies", rated, "--ratings", ratings,
    )  # fmt: skip
    return {"--ratings": str(folder / "ratings.csv"), "--movies": str(folder / "movies.csv")}


def twotower(*words: Any) -> float:
    """Runs a subcommand in a process of its own; returns the seconds that it took."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "pipelines.cli", *map(str, words)], check=True)
    return time.monotonic() - started


def run(world: str, place: Path) -> dict[str, float]:
    """Seconds of each step, and of the whole, for one world."""
    files = generate(world, place / "files")
    load = os.getloadavg()[0]
    registry, work = place / "registry", place / "work"
    flags = [word for pair in files.items() for word in pair]
    whole = twotower("run", *flags, "--registry", registry, "--work-dir", work)
    record = json.loads(next((registry / "runs").glob("*/run.json")).read_text("utf-8"))
    parquet = place / "recommendations.parquet"
    batch = twotower("batch", "--users", "all", "--k", BATCH_K, "--registry", registry, "--output", parquet)
    print(f"\n{world}: {record['outcome']}, {record['rows']['kept']:,} ratings, load {load:.1f} at the start")
    print("| step | seconds | peak memory |\n|---|---|---|")
    for step in record["steps"]:
        print(f"| {step['step']} | {step['seconds']:.0f} | {step['peak_memory_bytes'] / 1e9:.2f} GB |")
    print(f"| whole run | {whole:.0f} | |")
    print(f"| batch, {BATCH_K} movies for all users | {batch:.0f} | |", flush=True)
    seconds = {step["step"]: step["seconds"] for step in record["steps"]}
    users, movies, _, ratings = shape(world)
    sizes = dict(zip(SIZES, (ratings, movies, users), strict=True))
    return {**seconds, "batch": batch, "whole run": whole, **sizes}


def print_growth(costs: list[dict[str, float]]) -> None:
    """Prints the slope of the logarithm of each step's seconds over that of each of the three sizes.

    A size's slope is fitted to the worlds that differ from the first one in this size alone.
    """
    for size in SIZES:
        others = [name for name in SIZES if name != size]
        line = [cost for cost in costs if all(cost[name] == costs[0][name] for name in others)]
        sizes = [cost[size] for cost in line]
        if len(set(sizes)) > 1:
            numbers = ", ".join(f"{one:,}" for one in sizes)
            print(f"\nseconds grow with the {size}, {numbers}, to the power of")
            _print_powers(line, sizes)


def _print_powers(costs: list[dict[str, float]], sizes: list[float]) -> None:
    for step in costs[0]:
        if step not in SIZES and min(cost[step] for cost in costs) >= MEASURABLE:
            power, _ = np.polyfit(np.log(sizes), np.log([cost[step] for cost in costs]), 1)
            print(f"  {step}: {power:.2f}")


def run_billion(arguments: argparse.Namespace) -> None:
    """Runs the billion, or the shares of it that are asked for."""
    scales = [float(scale) for scale in arguments.scale.split(",")]
    folder, rest = Path(arguments.folder).resolve(), (arguments.memory_gb, arguments.steps)
    costs = {scale: billion.run(folder / f"billion-{scale:g}", scale, *rest) for scale in scales}
    if len(costs) > 1:
        billion.print_slopes(costs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("worlds", nargs="*", default=["netflix"], metavar="world")
    parser.add_argument("--folder", default=".", help="where the files are made; tens of GB at full size")
    parser.add_argument("--scale", default="1", help="of the billion: shares of it, several by comma")
    parser.add_argument("--memory-gb", type=float, default=4.0, help="of the billion's ingest and vocabulary")
    parser.add_argument("--steps", type=int, default=0, help="of its training, to measure memory alone")
    arguments = parser.parse_args()
    if arguments.worlds == ["billion"]:
        run_billion(arguments)
        return
    costs = []
    for world in arguments.worlds:
        with tempfile.TemporaryDirectory(prefix="pipeline-benchmark-", dir=arguments.folder) as place:
            costs.append(run(world, Path(place).resolve()))
    print_growth(costs)


if __name__ == "__main__":
    main()
