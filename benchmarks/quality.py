"""How good the default model is, beside the strongest single-purpose methods, on data nobody tuned it for.

    python benchmarks/quality.py FOLDER [movielens-1m] [tenth] [latest-small] [sample] [--preset notebook]

FOLDER holds `movielens-1m` and `movielens-latest-small` (the project ships no research data). Each data
set goes through the steps ingest, vocabulary, train and evaluate with their defaults, in this order, and
gives one row a method; the baselines are `evaluate`'s (docs/metrics.md) on the same split. `tenth` is a
tenth of MovieLens 1M's users, `sample` the generated world with 20,000 ratings. Settings were chosen on
validation rows (docs/model.md); test rows are read by `evaluate` alone.
"""

import argparse
import gzip
import json
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.evaluate.step import evaluate
from components.ingest.step import ingest
from components.sample.step import sample
from components.train.step import train
from components.vocabulary.step import vocabulary

METRICS = ("top_100_accuracy_unseen", "top_100_accuracy", "rmse")


def movielens_1m(folder: Path, place: Path) -> dict[str, Any]:
    """The published split."""
    data = folder / "movielens-1m"
    names = {"ratings": "train.csv.gz", "test_ratings": "test.csv.gz", "movies": "movies.csv"}
    return {argument: str(data / name) for argument, name in names.items()}


def tenth(folder: Path, place: Path) -> dict[str, Any]:
    """The users of MovieLens 1M whose id has a CRC in the lowest tenth, split at random."""
    data = folder / "movielens-1m"
    with (place / "tenth.csv").open("w") as target:
        for number, name in enumerate(("train.csv.gz", "test.csv.gz")):
            with gzip.open(data / name, "rt") as source:
                header = next(source)
                user = header.strip().split(",").index("User_ID")
                target.write("" if number else header)
                target.writelines(
                    line for line in source if zlib.crc32(line.split(",")[user].encode()) % 10 == 0
                )
    return {"ratings": str(place / "tenth.csv"), "movies": str(data / "movies.csv")}


def latest_small(folder: Path, place: Path) -> dict[str, Any]:
    """Half stars, split at random."""
    data = folder / "movielens-latest-small"
    return {"ratings": str(data / "ratings.csv.gz"), "movies": str(data / "movies.csv")}


def generated(folder: Path, place: Path) -> dict[str, Any]:
    """`twotower sample`, split at random."""
    sample(output=str(place / "sample"), users=500, movies=400, ratings=20_000)
    return {name: str(place / "sample" / f"{name}.csv") for name in ("ratings", "movies")}


DATA: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "movielens-1m": movielens_1m,
    "tenth": tenth,
    "latest-small": latest_small,
    "sample": generated,
}


def run(name: str, folder: Path, place: Path, preset: str) -> tuple[dict[str, dict[str, float]], float]:
    """The metrics of every method on one data set, and the seconds that training took."""
    files = DATA[name](folder, place)
    dataset, words, numbers, model, verdict = (
        str(place / part) for part in ("dataset", "vocabulary", "interactions", "model", "evaluation")
    )
    ingest(output=dataset, **files)
    vocabulary(dataset=dataset, vocabulary_output=words, output=numbers)
    started = time.perf_counter()
    train(interactions=numbers, vocabulary=words, preset=preset, output=model)
    seconds = time.perf_counter() - started
    evaluate(model=model, interactions=numbers, vocabulary=words, output=verdict, gate="report")
    metrics = json.loads((Path(verdict) / "verdict.json").read_text())["metrics"]
    return {preset: metrics["challenger"], **metrics["baselines"]}, seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=list(DATA), metavar="data set")
    parser.add_argument("--preset", default="default")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.names:
        with tempfile.TemporaryDirectory() as place:
            methods, seconds = run(name, arguments.folder, Path(place), arguments.preset)
        for method, metrics in methods.items():
            figures = [f"{metrics[key]:.4f}" if metrics.get(key) is not None else "" for key in METRICS]
            took = f"{seconds:.0f} s" if method == arguments.preset else ""
            rows.append(f"| {name} | {method} | {' | '.join(figures)} | {took} |")
    print(f"| data | method | {' | '.join(METRICS)} | training |\n|{'---|' * 6}")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
