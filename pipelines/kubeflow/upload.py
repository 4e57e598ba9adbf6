"""A pipeline and its versions on the server: each content is uploaded once."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components import __version__
from pipelines.kubeflow.client import Kubeflow, create_once


@dataclass(frozen=True)
class Version:
    """A version on the server; `name` begins with this project's and ends with a digest of the content."""

    pipeline_id: str
    version_id: str
    name: str


def upload(kubeflow: Kubeflow, package: Path, pipeline: str) -> Version:
    """Sees to it that the compiled `package` is a version of the pipeline called `pipeline`.

    Killed in between, it leaves a pipeline without that version, which the next call completes.

    Raises:
      UserError: if the server refuses it.
    """
    pipeline_id = _pipeline(kubeflow, pipeline).pipeline_id
    name = f"{__version__}-{digest(package)}"

    def find() -> Any | None:
        versions = kubeflow.versions(pipeline_id)
        return next((version for version in versions if version.display_name == name), None)

    def create() -> Any:
        return kubeflow.sdk.pipeline_uploads.upload_pipeline_version(
            str(package), name=name, pipelineid=pipeline_id, description=f"twotower {__version__}"
        )

    return Version(pipeline_id, create_once(find, create).pipeline_version_id, name)


def digest(package: Path) -> str:
    """Twelve digits that stand for the content of a compiled pipeline."""
    return hashlib.sha256(package.read_bytes()).hexdigest()[:12]


def _pipeline(kubeflow: Kubeflow, name: str) -> Any:
    from kfp_server_api import V2beta1Pipeline

    body = V2beta1Pipeline(
        display_name=name,
        description="Turns a file of ratings into a published two-tower movie recommender.",
        namespace=kubeflow.namespace or None,
    )
    return create_once(
        lambda: kubeflow.pipeline(name),
        lambda: kubeflow.sdk.pipelines.pipeline_service_create_pipeline(pipeline=body),
    )
