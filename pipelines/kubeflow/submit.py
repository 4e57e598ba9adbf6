"""Starts a run of the pipeline on Kubeflow, once however often it is asked for."""

import contextlib
import hashlib
import io
import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipelines.kubeflow.client import FINISHED, Kubeflow, create_once, where
from pipelines.kubeflow.upload import Version, digest, upload


@dataclass(frozen=True)
class Place:
    """Where runs go.

    Attributes:
      pipeline: the name that the pipeline is uploaded under.
      experiment: the name of the experiment that holds the runs.
      service_account: the Kubernetes service account that the steps run as; "" for the namespace's own.
      pipeline_root: where the steps' outputs go; "" for the server's own place.
    """

    pipeline: str
    experiment: str
    service_account: str = ""
    pipeline_root: str = ""


@dataclass(frozen=True)
class Started:
    """A run that was started, or found."""

    run_id: str
    url: str
    found: bool


def submit(
    kubeflow: Kubeflow,
    package: Path,
    arguments: dict[str, Any],
    place: Place,
    *,
    keep_version: bool = True,
    again: bool = False,
) -> Started:
    """Starts a run of the compiled `package`, or finds the one that an earlier call started.

    A run is found if it has not ended yet and comes from the same package with the same arguments. So a
    call that was killed can be repeated, at any moment.

    Args:
      kubeflow: where.
      package: the compiled pipeline.
      arguments: of the pipeline, typed.
      place: names on the server.
      keep_version: whether the package becomes a version of the pipeline there; else it is sent with the run.
      again: whether to start a run beside one that is found.

    Raises:
      UserError: if the server refuses it, or does not answer.
    """
    mark = _mark(package, arguments)
    # The word before the mark is this call's own, so that it knows its run again if the answer is lost.
    name = f"{place.pipeline} {datetime.now(UTC):%Y-%m-%d %H:%M:%S} {secrets.token_hex(4)} {mark}"
    version = upload(kubeflow, package, place.pipeline) if keep_version else None
    experiment_id = experiment(kubeflow, place.experiment).experiment_id
    earlier = None if again else _unfinished(kubeflow, experiment_id, mark)
    if earlier is not None:
        return Started(earlier.run_id, kubeflow.run_url(earlier.run_id), found=True)
    run = create_once(
        lambda: _named(kubeflow, experiment_id, name),
        lambda: _create(kubeflow, experiment_id, name, version or package, arguments, place),
    )
    return Started(run.run_id, kubeflow.run_url(run.run_id), found=False)


def experiment(kubeflow: Kubeflow, name: str) -> Any:
    """The experiment called `name`, which is created if there is none."""
    from kfp_server_api import V2beta1Experiment

    body = V2beta1Experiment(display_name=name, namespace=kubeflow.namespace or None)
    return create_once(
        lambda: kubeflow.experiment(name),
        lambda: kubeflow.sdk.experiments.experiment_service_create_experiment(experiment=body),
    )


def _mark(package: Path, arguments: dict[str, Any]) -> str:
    """Eight digits that stand for what a run does; they end its name, by which it is found again."""
    text = f"{digest(package)} {json.dumps(arguments, sort_keys=True)}"
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _unfinished(kubeflow: Kubeflow, experiment_id: str, mark: str) -> Any | None:
    runs = kubeflow.runs(experiment_id=experiment_id, filter=where("display_name", "IS_SUBSTRING", mark))
    return next((run for run in runs if run.display_name.endswith(mark) and run.state not in FINISHED), None)


def _named(kubeflow: Kubeflow, experiment_id: str, name: str) -> Any | None:
    return next(
        kubeflow.runs(experiment_id=experiment_id, filter=where("display_name", "EQUALS", name)), None
    )


def _create(
    kubeflow: Kubeflow,
    experiment_id: str,
    name: str,
    what: Version | Path,
    arguments: dict[str, Any],
    place: Place,
) -> Any:
    if isinstance(what, Version):
        source = {"pipeline_id": what.pipeline_id, "version_id": what.version_id}
    else:
        source = {"pipeline_package_path": str(what)}
    with contextlib.redirect_stdout(io.StringIO()):  # KFP's client prints a link of its own
        return kubeflow.sdk.run_pipeline(
            experiment_id=experiment_id,
            job_name=name,
            params=arguments,
            pipeline_root=place.pipeline_root or None,
            service_account=place.service_account or None,
            **source,
        )
