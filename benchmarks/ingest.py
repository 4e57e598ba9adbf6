"""How fast ingest and vocabulary are, and how much memory they take, beside pandas doing the same job.

    python benchmarks/ingest.py                        the Netflix files as on Kaggle, 17.3 million rows
    python benchmarks/ingest.py --layout netflix-prize --rows 1000000,3000000,10000000

Generates files of that shape and size, or takes those in --folder, and runs both in processes of their own.
Wall time suffers from what else the machine does, processor time hardly: the load is printed beside them.
pandas holds everything in memory; it is left out beyond --pandas-rows.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

FULL = {"users": 143_458, "movies": 17_770, "rated_movies": 1_350, "ratings": 17_337_458}


class Cost(NamedTuple):
    """What one process took: seconds, processor seconds, bytes at the peak."""

    wall: float
    processor: float
    peak: int

    def __str__(self) -> str:
        return f"{self.wall:7.1f} s wall {self.processor:7.1f} s processor {self.peak / 1e9:6.2f} GB peak"


def main() -> None:
    """Runs the benchmark, or one of its processes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layout", choices=["netflix", "netflix-prize"], default="netflix")
    parser.add_argument("--rows", default=str(FULL["ratings"]), help="ratings; several sizes by comma")
    parser.add_argument("--memory-gb", type=float, default=1.5, help="limit for the steps, GB")
    parser.add_argument("--pandas-rows", type=int, default=20_000_000, help="the most that pandas is given")
    parser.add_argument("--folder", type=Path, help="files that are there already")
    parser.add_argument("--process", choices=["steps", "pandas"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ingest-benchmark-", dir=".") as scratch:
        if arguments.process:
            run(arguments.process, arguments.folder, Path(scratch), arguments.memory_gb)
            return
        for rows in map(int, arguments.rows.split(",")):
            folder = arguments.folder or generate(Path(scratch, "files"), arguments.layout, rows)
            compare(folder, rows, arguments.memory_gb, with_pandas=rows <= arguments.pandas_rows)


def generate(folder: Path, layout: str, rows: int) -> Path:
    """Files of the shape of the original's with that many ratings, in place of those there."""
    shutil.rmtree(folder, ignore_errors=True)
    if layout == "netflix-prize":
        import prize_files

        prize_files.write(folder, rows)
        return folder
    from components.sample.step import sample

    users = max(100, round(FULL["users"] * rows / FULL["ratings"]))
    sample(
        output=str(folder),
        users=users,
        movies=FULL["movies"],
        rated_movies=FULL["rated_movies"],
        ratings=rows,
    )
    return folder


def files(folder: Path) -> tuple[list[Path], Path]:
    """The ratings files and the movie table in `folder`."""
    ratings = sorted([*folder.glob("ratings.csv"), *folder.glob("combined_data_*.txt")])
    return ratings, folder / ("movies.csv" if ratings[0].name == "ratings.csv" else "movie_titles.csv")


def compare(folder: Path, rows: int, memory_gb: float, with_pandas: bool) -> None:
    """Runs both, each in a process of its own, and prints what they took."""
    print(f"{rows:,} rows, load {os.getloadavg()[0]:.1f}", flush=True)
    steps = measure(folder, "steps", memory_gb)
    print(f"  ingest + vocabulary, --memory-gb {memory_gb:g}: {steps}", flush=True)
    if not with_pandas:
        return
    pandas = measure(folder, "pandas", memory_gb)
    print(f"  pandas:                             {pandas}")
    print(
        f"  pandas / ours: {pandas.wall / steps.wall:.2f} wall, "
        f"{pandas.processor / steps.processor:.2f} processor, {pandas.peak / steps.peak:.2f} memory",
        flush=True,
    )


def measure(folder: Path, process: str, memory_gb: float) -> Cost:
    """What one implementation takes."""
    command = [sys.executable, __file__, "--folder", str(folder), "--process", process]
    command += ["--memory-gb", str(memory_gb)]
    started = time.monotonic()
    child = subprocess.Popen(command, stderr=subprocess.PIPE)
    log = child.stderr.read() if child.stderr else b""
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{process} failed with status {child.returncode}: {log.decode()[-500:]}")
    return Cost(time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def run(process: str, folder: Path, scratch: Path, memory_gb: float) -> None:
    """One implementation's way, in this process."""
    ratings, movies = files(folder)
    if process == "pandas":
        import ingest_with_pandas

        ingest_with_pandas.run(ratings, movies, scratch)
        return
    from components.ingest.step import ingest
    from components.vocabulary.step import vocabulary

    ingest(
        ratings=",".join(map(str, ratings)),
        movies=str(movies),
        output=str(scratch / "dataset"),
        memory_gb=memory_gb,
    )
    vocabulary(
        dataset=str(scratch / "dataset"),
        vocabulary_output=str(scratch / "vocabulary"),
        output=str(scratch / "interactions"),
        memory_gb=memory_gb,
    )


if __name__ == "__main__":
    main()
