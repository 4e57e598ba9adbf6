"""A run of a schedule out of turn."""

import secrets
from datetime import UTC, datetime
from typing import Any

from components.errors import UserError
from pipelines.kubeflow.client import Kubeflow, create_once, where
from pipelines.kubeflow.schedule import existing


def run_now(kubeflow: Kubeflow, name: str) -> str:
    """Starts a run with the version, the inputs and the experiment of the schedule called `name`.

    Returns:
      The page of the run.

    Raises:
      UserError: if there is no such schedule, or its pipeline has no version any more.
    """
    from kfp_server_api import V2beta1PipelineVersionReference, V2beta1Run

    schedule = existing(kubeflow, name)[0]
    reference = schedule.pipeline_version_reference
    if reference is not None and not reference.pipeline_version_id:
        reference = V2beta1PipelineVersionReference(
            pipeline_id=reference.pipeline_id,
            pipeline_version_id=_newest(kubeflow, reference.pipeline_id, name),
        )
    run_name = f"{name} out of turn {datetime.now(UTC):%Y-%m-%d %H:%M:%S} {secrets.token_hex(4)}"
    body = V2beta1Run(
        experiment_id=schedule.experiment_id,
        display_name=run_name,
        pipeline_version_reference=reference,
        pipeline_spec=schedule.pipeline_spec if reference is None else None,
        runtime_config=schedule.runtime_config,
        service_account=schedule.service_account,
    )

    def find() -> Any | None:
        runs = kubeflow.runs(
            experiment_id=schedule.experiment_id, filter=where("display_name", "EQUALS", run_name)
        )
        return next(runs, None)

    run = create_once(find, lambda: kubeflow.sdk.runs.run_service_create_run(run=body))
    return kubeflow.run_url(run.run_id)


def _newest(kubeflow: Kubeflow, pipeline_id: str, name: str) -> str:
    version = next(kubeflow.versions(pipeline_id), None)
    if version is None:
        raise UserError(
            f"the pipeline of schedule {name} has no version any more; repeat its `twotower schedule create`"
        )
    return str(version.pipeline_version_id)
