"""How fast ingest and vocabulary are, and how much memory they take, beside pandas doing the same job.

    python benchmarks/ingest.py [--rows 17337458] [--memory-gb 1.5] [--folder DIR] [--layout netflix|prize]

Makes a sample of the Netflix data's shape at that size (or takes the one in DIR), then runs both in processes
of their own. The pandas implementation reads, validates, joins, deduplicates, divides and encodes as the
steps do, holds everything in memory and lists no rejects. Wall time suffers from what else the machine does;
processor time hardly. More memory than the default does not make the steps faster. `--layout prize` writes
the sample as the original Netflix Prize files.
"""

import argparse
import os
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
    cpu: float
    peak: int

    def __str__(self) -> str:
        return f"{self.wall:6.1f} s wall  {self.cpu:6.1f} s processor  {self.peak / 1e9:5.2f} GB peak"


def main() -> None:
    """Runs the benchmark, or one of its processes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=FULL["ratings"], help="ratings in the sample")
    parser.add_argument("--memory-gb", type=float, default=1.5, help="limit for the steps, GB")
    parser.add_argument("--folder", default="", help="a sample that is there already")
    parser.add_argument("--layout", choices=["netflix", "prize"], default="netflix")
    parser.add_argument("--process", choices=["steps", "pandas"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ingest-benchmark-", dir=".") as scratch:
        sample = Path(arguments.folder or make_sample(Path(scratch), arguments.rows, arguments.layout))
        if arguments.process == "steps":
            run_steps(sample, Path(scratch), arguments.memory_gb)
        elif arguments.process == "pandas":
            run_pandas(sample, Path(scratch))
        else:
            compare(sample, arguments.memory_gb)


def make_sample(scratch: Path, rows: int, layout: str) -> Path:
    """A world of the Netflix data's shape with that many ratings."""
    from components.sample.step import sample

    share = rows / FULL["ratings"]
    users = max(100, round(FULL["users"] * share))
    rated = FULL["rated_movies"] if layout == "netflix" else FULL["movies"]
    sample(
        output=str(scratch / "sample"), users=users, movies=FULL["movies"], rated_movies=rated, ratings=rows
    )
    if layout == "prize":
        write_as_prize(scratch / "sample" / "ratings.csv")
    return scratch / "sample"


def write_as_prize(ratings: Path) -> None:
    """Rewrites a ratings file, which is sorted by movie, as the Netflix Prize had it, with dates."""
    movie = None
    with ratings.open() as source, ratings.with_suffix(".txt").open("w") as target:
        next(source)
        for number, line in enumerate(source):
            user, stars, name = line.rstrip("\n").split(",")
            if name != movie:
                movie = name
                target.write(f"{movie}:\n")
            target.write(f"{user},{stars},200{number % 6}-0{number % 9 + 1}-1{number % 10}\n")
    ratings.unlink()


def compare(sample: Path, memory_gb: float) -> None:
    """Runs both, each in a process of its own, and prints what they took."""
    prize = (sample / "ratings.txt").exists()
    steps = measure(sample, "steps", memory_gb)
    print(f"ingest + vocabulary, --memory-gb {memory_gb:g}:  {steps}")
    if prize:
        return  # pandas has no reader for that layout
    pandas = measure(sample, "pandas", memory_gb)
    print(f"pandas:                             {pandas}")
    print(
        f"pandas / ours: {pandas.wall / steps.wall:.2f} wall, {pandas.cpu / steps.cpu:.2f} processor, "
        f"{pandas.peak / steps.peak:.2f} memory"
    )


def measure(sample: Path, process: str, memory_gb: float) -> Cost:
    """What one implementation takes."""
    command = [sys.executable, __file__, "--folder", str(sample), "--process", process]
    command += ["--memory-gb", str(memory_gb)]
    started = time.monotonic()
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{process} failed with status {child.returncode}")
    return Cost(time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def run_steps(sample: Path, scratch: Path, memory_gb: float) -> None:
    """This project's way."""
    from components.ingest.step import ingest
    from components.vocabulary.step import vocabulary

    ratings = next(sample.glob("ratings.*"))
    dataset = str(scratch / "dataset")
    ingest(ratings=str(ratings), movies=str(sample / "movies.csv"), output=dataset, memory_gb=memory_gb)
    vocabulary(
        dataset=dataset,
        vocabulary_output=str(scratch / "vocabulary"),
        output=str(scratch / "interactions"),
        memory_gb=memory_gb,
    )


def run_pandas(sample: Path, scratch: Path) -> None:
    """The same with pandas, string ids and all."""
    import numpy as np
    import pandas as pd

    columns = {"User_ID": str, "Rating": np.float32, "Movie_ID": str}
    ratings = pd.read_csv(sample / "ratings.csv", dtype=columns)
    movies = pd.read_csv(sample / "movies.csv", dtype={"Movie_ID": str, "Name": str})
    ratings = ratings[ratings["Rating"].between(1, 5) & ratings["Movie_ID"].isin(movies["Movie_ID"])]
    ratings = ratings.drop_duplicates(["User_ID", "Movie_ID"], keep="last")
    side = pd.util.hash_pandas_object(ratings[["User_ID", "Movie_ID"]], index=False).to_numpy() / 2.0**64
    parts = {
        "test": ratings[side < 0.1],
        "validation": ratings[(side >= 0.1) & (side < 0.19)],
        "train": ratings[side >= 0.19],
    }
    for name, part in parts.items():
        part.to_parquet(scratch / f"{name}.parquet")
    users = pd.Index(parts["train"]["User_ID"].unique()).sort_values()
    users = users.append(pd.Index(ratings["User_ID"].unique()).difference(users))
    catalogue = pd.Index(movies["Movie_ID"])
    for name, part in parts.items():
        user, movie = users.get_indexer(part["User_ID"]), catalogue.get_indexer(part["Movie_ID"])
        order = np.lexsort((movie, user))
        np.save(scratch / f"{name}.movies.npy", movie[order].astype(np.int32))
        np.save(scratch / f"{name}.ratings.npy", part["Rating"].to_numpy()[order])
        offsets = np.concatenate([[0], np.cumsum(np.bincount(user, minlength=len(users)))])
        np.save(scratch / f"{name}.offsets.npy", offsets)


if __name__ == "__main__":
    main()
