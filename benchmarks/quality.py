"""How good the default model is, beside the strongest single-purpose methods, on data nobody tuned it for.

    python benchmarks/quality.py FOLDER [data set …] [--seeds 42 43 44] [--preset notebook]

Each data set (benchmarks/data_sets.py) goes through the steps ingest, vocabulary, train and evaluate with
their defaults, in this order, and gives one row a method: the mean over the seeds of `train`, with the
standard deviation. The time, in seconds, is of the whole step, from the start of its process. The baselines
are `evaluate`'s (docs/metrics.md) on the same split; the references come from references.json, where they are
of the same rows. Settings were chosen on validation rows (docs/model.md); only `evaluate` reads test rows.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from data_sets import DATA, Encoded, checksum, encode
from references import METRICS, stored

from components.evaluate.step import evaluate
from components.metrics import METRICS as REGISTRY
from components.vocabulary.interactions import Interactions

Figures = Mapping[str, float | None]


class Seconds(NamedTuple):
    """A time by the clock, and the processor time of finished child processes, in seconds."""

    clock: float
    processor: float

    @classmethod
    def now(cls) -> Self:
        """Reads both, each from a start of its own."""
        spent = os.times()
        return cls(spent.elapsed, spent.children_user + spent.children_system)


def trained(data: Encoded, preset: str, seed: int, place: Path) -> tuple[dict[str, Figures], Seconds]:
    """The metrics of the model and of the baselines, and the time that the whole step `train` took."""
    model, verdict = str(place / "model"), str(place / "evaluation")
    inputs = ["--interactions", data.interactions, "--vocabulary", data.vocabulary]
    command = [*inputs, "--preset", preset, "--seed", str(seed), "--output", model]
    started = Seconds.now()
    subprocess.run([sys.executable, "-m", "pipelines.cli", "train", *command], check=True, stdout=sys.stderr)
    seconds = Seconds(*np.subtract(Seconds.now(), started))
    evaluate(model=model, output=verdict, gate="report", **data._asdict())
    metrics = json.loads((Path(verdict) / "verdict.json").read_text("utf-8"))["metrics"]
    return {preset: metrics["challenger"], **metrics["baselines"]}, seconds


def spread(values: Sequence[float | None], digits: int = 4) -> str:
    """The mean, and with several values their standard deviation; "" where one is missing."""
    found = [value for value in values if value is not None]
    if not found or len(found) < len(values):
        return ""
    mean = f"{np.mean(found):.{digits}f}"
    return mean if len(found) == 1 else f"{mean} ± {np.std(found, ddof=1):.{digits}f}"


def best(methods: Mapping[str, Figures]) -> dict[str, float | None]:
    """The best value of each metric among `methods`."""
    return {
        name: REGISTRY[name].best(value for one in methods.values() if (value := one.get(name)) is not None)
        for name in METRICS
    }


def table(name: str, folder: Path, place: Path, preset: str, seeds: Sequence[int]) -> list[str]:
    """The rows of one data set."""
    data = encode(name, folder, place)
    rows = checksum(Interactions.load(data.interactions))
    runs = [trained(data, preset, seed, place) for seed in seeds]
    references = stored(name, rows)
    others = {method: figures for method, figures in runs[0][0].items() if method != preset}
    others |= {method: one["metrics"] for method, one in references.items()}
    ours = [figures[preset] for figures, _ in runs]
    cells = [spread([figures.get(metric) for figures in ours]) for metric in METRICS]
    clock, processor = (spread(values, 0) for values in zip(*(seconds for _, seconds in runs), strict=True))
    took = f"{clock}; {processor} of processor"
    lines = [f"| {name} | **{preset}** | {' | '.join(cells)} | {took} | {_seeds(seeds)} |"]
    for method, figures in {**others, "best of the others": best(others)}.items():
        cells = [spread([figures.get(metric)]) for metric in METRICS]
        one = references.get(method, {})
        took = f"{one['processor_seconds']} of processor" if one else ""
        chosen = f"{one['chosen']}; {one['version']}" if one else ""
        lines.append(f"| {name} | {method} | {' | '.join(cells)} | {took} | {chosen} |")
    return lines


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}; defaults"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=list(DATA), metavar="data set")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42], help="of the step `train`")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.names:
        with tempfile.TemporaryDirectory() as place:
            rows += table(name, arguments.folder, Path(place), arguments.preset, arguments.seeds)
    print(f"| data | method | {' | '.join(METRICS)} | seconds to train | how chosen |")
    print(f"|{'---|' * (len(METRICS) + 4)}")
    print("\n".join(rows))
    print("\n" + "\n".join(f"- {name}: {DATA[name].rows}" for name in arguments.names))


if __name__ == "__main__":
    main()
