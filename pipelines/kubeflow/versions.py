"""Versions of the pipeline on the server: upload, which one schedules run, and the content of one."""

import functools
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components import __version__
from components.errors import UserError
from components.progress import log
from pipelines.compiled import CHECKED_IN
from pipelines.kubeflow import names
from pipelines.kubeflow.client import Kubeflow, get_or_create, where

_BESIDE = "-submit"


@dataclass(frozen=True)
class Version:
    """A version on the server; `name` is the version of this project and a digest of the content."""

    pipeline: str  # name of the pipeline
    pipeline_id: str
    version_id: str
    name: str


def upload(kubeflow: Kubeflow, package: Path, pipeline: str, *, newest: bool = False) -> Version:
    """Uploads the compiled `package` as a version of the pipeline called `pipeline`, unless it is there.

    With `newest` it is uploaded again if another version came after it. Interrupted, it leaves a pipeline
    without that version, which the next call completes. Raises `UserError` if the server is too old, or
    refuses it.
    """
    kubeflow.check_release()
    pipeline_id, name = _pipeline_id(kubeflow, pipeline), f"{__version__}-{digest(package)}"

    def find() -> Any | None:
        if not newest:
            return kubeflow.version_named(pipeline_id, name)
        last = kubeflow.newest_version(pipeline_id)
        return last if _holds(last, name) else None

    def create() -> Any:
        # The name of a version is unique in its pipeline.
        earlier = len(
            list(kubeflow.versions(pipeline_id, filter=where("display_name", "IS_SUBSTRING", name)))
        )
        return kubeflow.sdk.pipeline_uploads.upload_pipeline_version(
            str(package),
            name=f"{name}-{earlier + 1}" if earlier else name,
            pipelineid=pipeline_id,
            description=f"twotower {__version__}",
        )

    found = get_or_create(find, create)
    return Version(pipeline, pipeline_id, found.pipeline_version_id, found.display_name)


def upload_beside(kubeflow: Kubeflow, package: Path, pipeline: str, replaced: str = "") -> Version:
    """Does `upload`, but brings no new version to a pipeline whose newest version a schedule always runs.

    A package that is not that version goes to a pipeline of the name with "-submit" behind it. The schedule
    called `replaced` does not count. Raises `UserError` if a schedule always runs that one's newest, too.
    """
    found = _readers_of_another(kubeflow, package, pipeline, replaced)
    if not found:
        return upload(kubeflow, package, pipeline)
    beside = names.server_name("--pipeline", f"{pipeline}{_BESIDE}")
    if others := _readers_of_another(kubeflow, package, beside, replaced):
        raise UserError(
            f"--pipeline {pipeline}: schedule {found[0]} always runs its newest version, and schedule "
            f"{others[0]} that of {beside}; give a --pipeline of its own to this package"
        )
    log(
        f"schedule {found[0]} always runs the newest version of {pipeline}: this package is another, and "
        f"goes to the pipeline {beside}; `twotower upload` brings it to the schedule"
    )
    return upload(kubeflow, package, beside)


def upload_for_latest(kubeflow: Kubeflow, package: Path, pipeline: str, schedule: str) -> Version:
    """Does `upload` with `newest`, for `schedule` alone.

    Raises `UserError` if another schedule always runs the newest version of that pipeline, and the package is
    not that.
    """
    if others := _readers_of_another(kubeflow, package, pipeline, schedule):
        raise UserError(
            f"--pipeline {pipeline}: schedule {others[0]} always runs its newest version, and this package "
            "is another; give this schedule a --pipeline of its own, or bring the package to both by "
            "`twotower upload`"
        )
    return upload(kubeflow, package, pipeline, newest=True)


def readers(kubeflow: Kubeflow, pipeline_id: str) -> list[str]:
    """Lists the names of the schedules that always run the newest version of a pipeline."""
    references = ((one.display_name, one.pipeline_version_reference) for one in kubeflow.recurring_runs())
    latest = ((name, one) for name, one in references if one is not None and not one.pipeline_version_id)
    return sorted({name for name, one in latest if one.pipeline_id == pipeline_id})


def _readers_of_another(kubeflow: Kubeflow, package: Path, pipeline: str, without: str) -> list[str]:
    """Lists the `readers` of a pipeline whose newest version is not the package, but for one name."""
    kubeflow.check_release()
    found = kubeflow.pipeline(pipeline)
    name = f"{__version__}-{digest(package)}"
    if found is None or _holds(kubeflow.newest_version(found.pipeline_id), name):
        return []
    return [reader for reader in readers(kubeflow, found.pipeline_id) if reader != without]


def _pipeline_id(kubeflow: Kubeflow, name: str) -> str:
    """Finds or creates the pipeline called `name`; returns its id."""
    from kfp_server_api import V2beta1Pipeline

    body = V2beta1Pipeline(
        display_name=name,
        description="Turns a file of ratings into a published two-tower movie recommender.",
        namespace=kubeflow.namespace or None,
    )
    calls = kubeflow.sdk.pipelines
    found = get_or_create(
        lambda: kubeflow.pipeline(name), lambda: calls.pipeline_service_create_pipeline(pipeline=body)
    )
    return str(found.pipeline_id)


def _holds(version: Any | None, name: str) -> bool:
    """Returns true if a version has the content that `name` has a digest of."""
    return (
        version is not None and re.fullmatch(rf"{re.escape(name)}(-\d+)?", version.display_name) is not None
    )


def digest(package: Path) -> str:
    """Computes a digest, of twelve digits, of a compiled pipeline."""
    return hashlib.sha256(package.read_bytes()).hexdigest()[:12]


class Content:
    """Content of a version: what the server gives back of its package."""

    def __init__(self, spec: dict[str, Any] | None) -> None:
        """Takes the specification; a package of two documents comes as one, under their names."""
        whole = spec or {}
        self._pipeline = whole.get("pipeline_spec", whole)
        self._platform = whole.get("platform_spec", {})

    @property
    def image(self) -> str:
        """Default image of the steps."""
        inputs = self._pipeline.get("root", {}).get("inputDefinitions", {}).get("parameters", {})
        return str(inputs.get("image", {}).get("defaultValue", "unknown"))

    @property
    def volumes(self) -> list[str]:
        """Claims that steps mount, as CLAIM:PATH."""
        kubernetes = self._platform.get("platforms", {}).get("kubernetes", {})
        found = {
            f"{mount.get('constant') or '?'}:{mount['mountPath']}"
            for executor in kubernetes.get("deploymentSpec", {}).get("executors", {}).values()
            for mount in executor.get("pvcMount", [])
        }
        return sorted(found)

    @property
    def graph(self) -> dict[str, Any]:
        """Tasks of the pipeline and of each part of it, without what flags change."""
        parts = {"root": self._pipeline.get("root", {}), **self._pipeline.get("components", {})}
        return {name: part["dag"] for name, part in parts.items() if "dag" in part}


@functools.cache
def present_graph() -> dict[str, Any]:
    """Returns the graph of the pipeline that this project compiles."""
    with CHECKED_IN.open(encoding="utf-8") as package:
        return Content(next(yaml.load_all(package, Loader=yaml.CSafeLoader))).graph
