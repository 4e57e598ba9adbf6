"""What a schedule is to be."""

from dataclasses import dataclass, field
from typing import Any

from pipelines.kubeflow.trigger import Trigger


@dataclass(frozen=True)
class Plan:
    """A schedule as it is asked for.

    Attributes:
      name: of the schedule.
      trigger: when it fires.
      experiment_id: the experiment that holds the runs.
      pipeline_id: the pipeline that runs.
      version_id: the version that runs; "" for the newest at each firing.
      arguments: of the pipeline, typed.
      max_concurrency: so many runs at a time at most.
      service_account: that the steps run as; "" for the namespace's own.
      pipeline_root: where the steps' outputs go; "" for the server's own place.
    """

    name: str
    trigger: Trigger
    experiment_id: str
    pipeline_id: str
    version_id: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    max_concurrency: int = 1
    service_account: str = ""
    pipeline_root: str = ""

    def to_api(self) -> Any:
        """The API's schedule, switched off."""
        from kfp_server_api import (
            RecurringRunMode,
            V2beta1PipelineVersionReference,
            V2beta1RecurringRun,
            V2beta1RuntimeConfig,
        )

        return V2beta1RecurringRun(
            display_name=self.name,
            trigger=self.trigger.to_api(),
            experiment_id=self.experiment_id,
            # KFP's own client insists on a version; the server takes the newest where there is none.
            pipeline_version_reference=V2beta1PipelineVersionReference(
                pipeline_id=self.pipeline_id, pipeline_version_id=self.version_id or None
            ),
            runtime_config=V2beta1RuntimeConfig(
                parameters=self.arguments, pipeline_root=self.pipeline_root or None
            ),
            service_account=self.service_account or None,
            max_concurrency=str(self.max_concurrency),
            # Otherwise a schedule that was off for a week would start every run that it missed.
            no_catchup=True,
            mode=RecurringRunMode.DISABLE,
        )

    def matches(self, schedule: Any) -> bool:
        """Whether a schedule on the server is this one, apart from being on or off.

        What the plan leaves to the server (the service account, the pipeline root) may be anything.
        """
        wanted, found = _plain(self.to_api()), _plain(schedule)
        del wanted["mode"]
        pinned_to = found.get("pipeline_version_reference", {}).get("pipeline_version_id", "")
        same_arguments = schedule.runtime_config is not None and (
            (schedule.runtime_config.parameters or {}) == self.arguments
        )
        return _within(wanted, found) and pinned_to == self.version_id and same_arguments


def _plain(value: Any) -> Any:
    """Models as nested dictionaries without what is empty, which a server may send or leave out."""
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    if isinstance(value, dict):
        return {key: plain for key, item in value.items() if (plain := _plain(item)) not in ("", {})}
    return "" if value is None else value


def _within(wanted: Any, found: Any) -> bool:
    """Whether all that `wanted` holds is in `found`."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(key in found and _within(item, found[key]) for key, item in wanted.items())
    return bool(wanted == found)
