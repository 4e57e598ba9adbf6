"""The largest rate of requests that `twotower serve` keeps up with, beside the notebook's index in its place.

    python benchmarks/http_server.py --index DIR [--rates 200 500 1000 1500 2000] [--seconds 20] [--k 10]
        [--within-ms 5] [--no-notebook]

Each request asks for the best k movies of one known user, of 2,000 in turn, on one of 16 connections of this
machine's loopback. Requests are due at fixed moments, whether or not the ones before have been answered, and
a latency counts from the moment at which its request was due. A rate holds if no request fails and the 99th
percentile is within the bound. In the row "most" each connection sends its next request when it has its
answer. The load comes from a process of its own (http_load.py), whose share of the processors is shown.

The notebook's index is TFRS's `factorized_top_k.BruteForce` over a Keras model of `StringLookup` and
`Embedding`, with as many users, movies and dimensions, behind the same server. It knows no titles, ratings
or what users have rated. At the end the index is served from a registry, and a champion is swapped.

`benchmarks/serving.py --world DIR` makes an index, DIR/index, of as many movies and users as it is told. For
a million movies, which ScaNN searches, ask with `--rates 200 --within-ms 10`.
"""

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import http_load
import msgspec
import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from components.export.manifest import BRUTE_FORCE, MANIFEST_FILE, SCANN, Signature, read_manifest
from components.recommend.index import PublishedIndex
from components.registry.registry import Registry
from components.registry.versions import GateDecision, Provenance

_CONNECTIONS = 16
_USERS = 2_000
_PREDICT = "/v1/models/twotower:predict"
# Before the first measured request: connections, caches and the processor's clock.
_WARM_UP_SECONDS = 2.0


class Server:
    """A server in processes of its own."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self._process, self._port = process, port

    def get(self, path: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())

    def load(self, bodies: list[str], rate: float, seconds: float) -> http_load.Result:
        command = [
            sys.executable,
            "-S",
            http_load.__file__,
            str(self._port),
            _PREDICT,
            str(rate),
            str(seconds),
        ]
        text = "\n".join(bodies)
        done = subprocess.run([*command, str(_CONNECTIONS)], input=text, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"the load generator failed: {done.stderr.strip()}")
        return msgspec.json.decode(done.stdout, type=http_load.Result)

    def processor_seconds(self) -> float:
        """Seconds of processor time that its processes have taken."""
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        stats = [
            Path(f"/proc/{one}/stat").read_text().rpartition(") ")[2].split() for one in (pid, *children)
        ]
        return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(*source: str) -> Iterator[Server]:
    """Serves a registry or an index until the end of the block."""
    words = ["--port", "0", "--poll-seconds", "1", "--grace-seconds", "0"]
    command = [sys.executable, "-m", "pipelines.cli", "serve", *source, *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)/ ", line):
                yield Server(process, int(found[1]))
                return
            print(line, end="")
        raise SystemExit("the server has ended")
    finally:
        process.terminate()
        process.wait(timeout=30)


def measure(name: str, server: Server, bodies: list[str], options: argparse.Namespace) -> float:
    """Prints a row of the table for each rate and for the most; returns the largest rate that holds."""
    server.load(bodies, 0, _WARM_UP_SECONDS)
    largest = 0.0
    for rate in [*options.rates, 0]:
        before = server.processor_seconds()
        result = server.load(bodies, rate, options.seconds)
        p99 = print_row(name, rate, result, server.processor_seconds() - before)
        if rate and p99 <= options.within_ms and not result.failures:
            largest = max(largest, rate)
    return largest


def print_row(name: str, rate: float, result: http_load.Result, processor_seconds: float) -> float:
    """Prints a row of the table; returns the 99th percentile of the latencies, in ms."""
    latencies = [ms for _, ms in result.latencies]
    p50, p90, p99 = np.percentile(latencies, [50, 90, 99])
    shown = f"{rate:,g}" if rate else f"most: {len(latencies) / result.seconds:,.0f}"
    shares = (seconds / result.seconds for seconds in (processor_seconds, result.processor_seconds))
    processors = " | ".join(f"{share:.2f}" if share else "" for share in shares)
    print(f"| {name} | {shown} | {p50:.1f} | {p90:.1f} | {p99:.1f} | {max(latencies):.1f} ", end="")
    print(f"| {len(result.failures)} | {processors} |", flush=True)
    for failure in result.failures[:3]:
        print(failure)
    return float(p99)


def question(user: str, k: int) -> str:
    return json.dumps(
        {"signature_name": "recommend", "inputs": {"user_id": [user], "k": k, "ratings": "all"}}
    )


def write_notebook_index(directory: Path, index: PublishedIndex, k: int) -> None:
    """Writes the notebook's index for the users and movies of `index`, with k movies an answer."""
    users, movies, width = index.user_ids, index.movie_ids, index.manifest.dimension
    embedding = tf.keras.layers.Embedding(len(users) + 1, width)
    lookup = tf.keras.layers.StringLookup(vocabulary=users, mask_token=None)
    layer = tfrs.layers.factorized_top_k.BruteForce(tf.keras.Sequential([lookup, embedding]))
    layer.index(tf.random.stateless_normal([len(movies), width], [1, 2]), tf.constant(movies))
    layer(tf.constant(users[:1]), k=k)
    ids, module = tf.constant(users), tf.Module()
    names = {name: tf.constant(values) for name, values in index.catalogue.items()}
    module.layer = layer

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "user_id")])  # type: ignore[untyped-decorator]
    def serving_default(user_id: tf.Tensor) -> dict[str, tf.Tensor]:
        score, movie_id = layer(user_id, k=k)
        return {"score": score, "movie_id": movie_id}

    functions = {
        "serving_default": serving_default,
        "users": tf.function(lambda: {"user_id": ids}, input_signature=[]),
        "catalogue": tf.function(lambda: names, input_signature=[]),
    }
    signatures = {name: function.get_concrete_function() for name, function in functions.items()}
    tf.saved_model.save(module, str(directory), signatures=signatures)
    described = {name: Signature.of(function) for name, function in signatures.items()}
    manifest = msgspec.structs.replace(index.manifest, search=BRUTE_FORCE, signatures=described, arrays={})
    (directory / MANIFEST_FILE).write_bytes(msgspec.json.encode(manifest))
    read_manifest(directory)


def promote(registry: Registry, index: str, run_id: str) -> None:
    provenance = Provenance(run_id=run_id, fingerprint="", settings={}, metrics={}, verdict=GateDecision())
    version = registry.versions.add(provenance, {"index": Path(index)}).version
    registry.champion_log.append(len(registry.champion_log.sequences()), version, "published", run_id)


def swap(index: str, bodies: list[str], rate: float, seconds: float) -> bool:
    """Prints the row of a run with a new champion in its middle; returns whether no request noticed."""
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(folder)
        promote(registry, index, "first")
        with serving("--registry", folder) as server:
            publish = threading.Timer(seconds / 2, promote, (registry, index, "second"))
            publish.start()
            result = server.load(bodies, rate, seconds)
            publish.join()
            print_row("a champion swapped", rate, result, 0.0)
            deadline = time.monotonic() + 60
            while (number := server.get("/healthz")["number"]) < 2 and time.monotonic() < deadline:
                time.sleep(0.5)
    return number == 2 and not result.failures


def main() -> None:
    options = _options()
    index = PublishedIndex.load(options.index)
    users = index.user_ids[:_USERS]
    bodies = [question(user, options.k) for user in users]
    facts, found = index.manifest, index.manifest.search_measured.recall_at_100
    search = f"{facts.search}, recall@100 {found:.4f}" if facts.search == SCANN else facts.search
    print(f"{facts.movies:,} movies, {facts.users:,} users, {search}, k = {options.k}; ", end="")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors\n")
    print("| index | requests/s | p50 ms | p90 ms | p99 ms | longest ms | failed | server | generator |")
    print("|---|---|---|---|---|---|---|---|---|")
    largest = {}
    with serving("--index", options.index) as server:
        largest["this project's"] = measure("this project's", server, bodies, options)
    if options.notebook:
        with tempfile.TemporaryDirectory() as folder:
            write_notebook_index(Path(folder), index, options.k)
            with serving("--index", folder) as server:
                asked = [json.dumps({"inputs": [user]}) for user in users]
                largest["the notebook's"] = measure("the notebook's", server, asked, options)
    unnoticed = swap(options.index, bodies, min(options.rates), 2 * options.seconds)
    for name, rate in largest.items():
        print(f"\n{name} index: the largest rate with a p99 within {options.within_ms:g} ms is {rate:g}/s")
    sys.exit(not unnoticed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--index", required=True, help="an index directory")
    rates = [200.0, 500.0, 1000.0, 1500.0, 2000.0]
    parser.add_argument("--rates", type=float, nargs="+", default=rates, help="requests a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each rate lasts")
    parser.add_argument("--k", type=int, default=10, help="movies an answer")
    parser.add_argument("--within-ms", type=float, default=5.0, help="bound on the 99th percentile")
    parser.add_argument(
        "--no-notebook", dest="notebook", action="store_false", help="leave the notebook's out"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
