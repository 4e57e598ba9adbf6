"""A namespace of a real Kubeflow, and ways to run commands against it."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# So little is trained that a step is over in seconds; a run that is to be met in the middle takes `LONG`.
_SETTINGS = {"steps": 60, "validations": 3, "ensemble_size": 1}
LONG = {"steps": 20_000, "validations": 400, "ensemble_size": 1, "patience": 100_000, "final_refit": 0}

_SECONDS = 900


@dataclass
class Site:
    """A namespace of the cluster, with a claim of the tests' own that holds a sample of ratings."""

    namespace: str
    claim: str
    files: str  # pod that has the claim at /data
    mark: str  # unique to these tests
    registry: str = "/data/registry"

    def kubectl(self, *words: str, check: bool = True, text: str | None = None) -> str:
        """Calls kubectl in the namespace; returns what it printed."""
        done = subprocess.run(
            ["kubectl", "--namespace", self.namespace, *words],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def on_the_volume(self, command: str) -> str:
        """Runs a line of shell in the pod that has the claim."""
        return self.kubectl("exec", self.files, "--", "sh", "-c", command)

    def twotower(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        return subprocess.run(
            [*_TWOTOWER, *words], capture_output=True, text=True, check=False, timeout=_SECONDS
        )

    def start(self, log: Path, *words: str) -> "subprocess.Popen[bytes]":
        """Starts a command whose output goes to `log`."""
        with log.open("wb") as output:
            return subprocess.Popen([*_TWOTOWER, *words], stdout=output, stderr=subprocess.STDOUT)

    def flags(self, settings: dict[str, Any] | None = None, **params: Any) -> list[str]:
        """Flags of `submit` and `schedule create`: the volume, small requests, and inputs of the pipeline."""
        inputs = {
            "ratings": "/data/sample/ratings.csv",
            "movies": "/data/sample/movies.csv",
            "registry": self.registry,
            "checkpoint_root": "/data/checkpoints",
            "gate": "report",
            "train_settings": json.dumps(settings or _SETTINGS),
            **params,
        }
        words = [word for name, value in inputs.items() for word in ("--param", f"{name}={value}")]
        return ["--volume", f"{self.claim}:/data", "--profile", "small", *self.names(), *words]

    def names(self) -> list[str]:
        """Names on the server, which no other user has."""
        return ["--pipeline", f"twotower-test-{self.mark}", "--experiment", f"twotower-test-{self.mark}"]

    def run_of(self, text: str) -> str:
        """Returns the id of the run whose page a command printed."""
        (address,) = {word for word in text.split() if "/runs/details/" in word}
        return address.rpartition("/")[2].rstrip(";,:")

    def pods(self, run_id: str, step: str) -> list[dict[str, Any]]:
        """Lists the pods of a step of a run that execute it, newest first."""
        found = self.kubectl("get", "pods", "--selector", f"pipeline/runid={run_id}", "--output", "json")
        pods = [pod for pod in json.loads(found)["items"] if _step_of(pod) == step]
        return sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True)

    def record(self, run_id: str) -> dict[str, Any]:
        """Reads the run record from the volume."""
        return dict(json.loads(self.on_the_volume(f"cat {self.registry}/runs/{run_id}/run.json")))


_TWOTOWER = [sys.executable, "-m", "pipelines.cli"]


def _step_of(pod: dict[str, Any]) -> str:
    """Returns the step that a pod executes; "" for a driver."""
    node = pod["metadata"].get("annotations", {}).get("workflows.argoproj.io/node-name", "")
    match = re.search(r"\.([a-z-]+)(?:\(\d+\))?\.executor(?:\(\d+\))?$", node)
    return match[1] if match else ""


def until(happened: Callable[[], Any], seconds: float = 300, what: str = "") -> Any:
    """Waits until `happened` returns something true, and returns that."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if found := happened():
            return found
        time.sleep(2)
    raise AssertionError(f"after {seconds} s not yet: {what or happened}")
