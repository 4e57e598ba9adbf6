"""Processors, memory and accelerators of the steps' pods, where a site asks for others than the pipeline."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from components.errors import UserError
from components.train.settings import WORKER_RESOURCES
from pipelines.kubeflow.names import KUBEFLOW, VERTEX

# Requests that a name stands for.
PROFILES = {
    # One node, such as a laptop's kind, and data like MovieLens 1M, whose steps hold 2.0 GB at most.
    "small": ("all:cpu=100m,memory=512Mi,limit=3Gi",),
}

# Stand for every step, and for the pods that train for the step `train` where there are several workers.
_ALL, _WORKERS = "all", "workers"
_TRAIN = "train"

_CPU = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<unit>m?)")
_MEMORY = re.compile(r"(?P<number>\d+)(?P<unit>Ki|Mi|Gi|Ti|M|G|T)")
# The names of accelerators on each platform, and an example.
_ACCELERATORS = {
    KUBEFLOW: (r"[a-z0-9][a-z0-9.-]*/[a-z0-9][a-z0-9._-]*", "nvidia.com/gpu:1"),
    VERTEX: (r"[A-Z][A-Z0-9_]+", "NVIDIA_L4:1"),
}
_UNITS = {
    "": 1.0,
    "m": 1e-3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}

_KEYS = {"cpu": _CPU, "memory": _MEMORY, "limit": _MEMORY}

# The resources of a container in the compiled pipeline.
Resources = dict[str, Any]


class Sizes:
    """Requests of steps by their names; each value in the notation of Kubernetes.

    The last of several requests for a step holds, and one for a step holds over one for `all`. Raises
    `UserError` if a request cannot be read.
    """

    def __init__(
        self,
        requests: Iterable[str],
        accelerators: Iterable[str],
        profile: str = "",
        platform: str = KUBEFLOW,
    ) -> None:
        if profile and profile not in PROFILES:
            raise UserError(f"--profile {profile}: there is no such profile; choose {', '.join(PROFILES)}")
        self._requests: dict[str, dict[str, str]] = {}
        for text in (*PROFILES.get(profile, ()), *requests):
            step, wanted = _request(text)
            self._requests.setdefault(step, {}).update(wanted)
        self._accelerators = dict(_accelerator(text, platform) for text in accelerators)

    def __bool__(self) -> bool:
        return bool(self._requests or self._accelerators)

    def apply(self, executors: Mapping[str, Any]) -> None:
        """Changes the compiled executors by their labels. Raises `UserError` for a step that is not there."""
        steps = {label.removeprefix("exec-"): executor["container"] for label, executor in executors.items()}
        known = [*steps, *([_WORKERS] if _TRAIN in steps else [])]
        for flag, named in (("request", self._requests), ("accelerator", self._accelerators)):
            if unknown := [name for name in named if name not in [*known, _ALL]]:
                raise UserError(
                    f"--{flag} {unknown[0]}: the pipeline has no such step; it has {', '.join(known)}"
                )
        if any(_WORKERS in named for named in (self._requests, self._accelerators)):
            workers = self._sized(steps[_TRAIN].get("resources", {}), _WORKERS)
            variable = {"name": WORKER_RESOURCES, "value": json.dumps(_of_kubernetes(workers))}
            steps[_TRAIN].setdefault("env", []).append(variable)
        for step, container in steps.items():
            if sized := self._sized(container.get("resources", {}), step):
                container["resources"] = sized

    def _sized(self, resources: Resources, step: str) -> Resources:
        """Returns what a step asks for that asks for `resources` by itself."""
        sized = dict(resources)
        for wanted in (self._requests.get(_ALL, {}), self._requests.get(step, {})):
            if cpu := wanted.get("cpu"):
                sized |= {"resourceCpuRequest": cpu, "cpuRequest": _number(_CPU, cpu)}
            if memory := wanted.get("memory"):
                sized |= {"resourceMemoryRequest": memory, "memoryRequest": _gigabytes(memory)}
            if limit := wanted.get("limit"):
                sized |= {"resourceMemoryLimit": limit, "memoryLimit": _gigabytes(limit)}
        if sized.get("memoryLimit", 0) < sized.get("memoryRequest", 0):
            raise UserError(
                f"--request {step}: it asks for {sized['resourceMemoryRequest']} of memory and its limit is "
                f"{sized['resourceMemoryLimit']}; raise limit="
            )
        if accelerator := self._accelerators.get(step):
            sized["accelerator"] = accelerator
        return sized


def _request(text: str) -> tuple[str, dict[str, str]]:
    step, _, rest = text.partition(":")
    wanted: dict[str, str] = {}
    for part in rest.split(","):
        key, _, value = part.partition("=")
        if not step or key not in _KEYS:
            raise UserError(f"--request {text}: write it as STEP:cpu=2,memory=4Gi, or all:cpu=…")
        if not _KEYS[key].fullmatch(value) or not _number(_KEYS[key], value):
            example = "2 or 500m" if key == "cpu" else "512Mi or 4Gi"
            raise UserError(f"--request {text}: {key} is a number above 0 with its unit, such as {example}")
        wanted[key] = value
    # A step that holds more than it asks for is the first that is ended where memory runs out.
    return step, ({"limit": wanted["memory"]} if "memory" in wanted else {}) | wanted


def _accelerator(text: str, platform: str) -> tuple[str, dict[str, str]]:
    kind, example = _ACCELERATORS[platform]
    match = re.fullmatch(rf"((?P<step>[a-z_]+)=)?(?P<kind>{kind})(:(?P<count>[1-9]\d*))?", text)
    if match is None:
        raise UserError(
            f"--accelerator {text}: write it as RESOURCE, RESOURCE:COUNT or STEP=RESOURCE:COUNT, e.g. "
            f"{example}"
        )
    kind, count = match["kind"], match["count"] or "1"
    # The present names of the fields, and those that KFP had before 2.4 and Vertex AI still reads.
    return match["step"] or _TRAIN, {
        "resourceType": kind,
        "resourceCount": count,
        "type": kind,
        "count": count,
    }


def _number(pattern: re.Pattern[str], text: str) -> float:
    match = pattern.fullmatch(text)
    return float(match["number"]) * _UNITS[match["unit"]] if match else 0.0


def _gigabytes(memory: str) -> float:
    return _number(_MEMORY, memory) / 1e9


def _of_kubernetes(resources: Resources) -> dict[str, dict[str, str]]:
    """Returns the resources of a container as a pod has them."""
    found: dict[str, dict[str, str]] = {"requests": {}, "limits": {}}
    for kind in ("Cpu", "Memory"):
        for side in ("Request", "Limit"):
            if value := resources.get(f"resource{kind}{side}"):
                found[f"{side.lower()}s"][kind.lower()] = value
    if accelerator := resources.get("accelerator"):
        found["limits"][accelerator["resourceType"]] = accelerator["resourceCount"]
    return found
