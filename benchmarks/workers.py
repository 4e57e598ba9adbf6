"""What two workers that train together come to, beside one process: metrics, wall and processor time.

    python benchmarks/workers.py INTERACTIONS VOCABULARY [--settings '{"steps": 600}'] [--seeds 1 2]

Both are directories that `twotower vocabulary` wrote. The workers talk over the loopback interface, as the
pods of a Job do over the network. Each process computes with one thread, so that two have the two cores
that one has one of. Metrics are of the validation rows, at the step whose weights were kept; there is no
final refit, and no training ends early, so that all take the same number of steps.
"""

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from components.train.pods.worker import Exchange, beating
from components.train.settings import TrainRequest

_ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "2", "OMP_NUM_THREADS": "1"}
_ALL_STEPS = {"patience": 1_000_000, "final_refit": 0.0}
METRICS = ("validation_rmse", "validation_top_100_accuracy_unseen")


def trained(place: Exchange, workers: int, directory: Path) -> dict[str, Any]:
    """The record of the model that so many processes make of what was staged, with what they took."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(workers)]
    addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    processes = [start(place, addresses, number) for number in range(workers)]
    statuses = [process.wait() for process in processes]
    if any(statuses):
        sys.exit("a worker failed; its words are above")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    model = directory / f"model-{workers}"
    place.fetch_model(str(model))
    record: dict[str, Any] = json.loads((model / "model.json").read_text("utf-8"))
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**record, "wall": time.monotonic() - started, "processor": processor}


def start(place: Exchange, addresses: list[str], number: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "components.train.pods.worker", place.root, *addresses],
        env={**os.environ, **_ONE_THREAD, "JOB_COMPLETION_INDEX": str(number)},
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("interactions", type=Path)
    parser.add_argument("vocabulary", type=Path)
    parser.add_argument("--settings", type=json.loads, default={}, help="overrides of the preset's, as JSON")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    arguments = parser.parse_args()
    lines = ["| seed | workers | RMSE | top-100 unseen | steps | wall | processor |", "|---" * 7 + "|"]
    for seed in arguments.seeds:
        request = TrainRequest("default", {**_ALL_STEPS, **arguments.settings}, 0.0, 0.0, seed, "")
        with tempfile.TemporaryDirectory(prefix="workers-benchmark-") as name:
            place = Exchange(str(Path(name) / "place"))
            place.stage(request, arguments.interactions, arguments.vocabulary)
            with beating(place):
                one, two = (trained(place, workers, Path(name)) for workers in (1, 2))
        for workers, record in ((1, one), (2, two)):
            metrics = " | ".join(f"{record[metric]:.4f}" for metric in METRICS)
            took = f"{record['wall']:.0f} s | {record['processor']:.0f} s"
            lines.append(f"| {seed} | {workers} | {metrics} | {record['steps']:,} | {took} |")
        ratios = " | ".join(f"{two[metric] / one[metric] - 1:+.2%}" for metric in METRICS)
        lines.append(f"| {seed} | 2 to 1 | {ratios} | | | {two['processor'] / one['processor']:.2f} |")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
