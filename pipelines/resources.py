"""Resources of each step on the cluster: processors, memory, time, retries, and caching."""

from dataclasses import dataclass

from kfp import dsl, kubernetes


@dataclass(frozen=True)
class Request:
    """Resource request of a step."""

    display_name: str  # name of the step on the pages of Kubeflow
    cpu: str = "1"  # processors, in the notation of Kubernetes
    # Memory limit, in the notation of Kubernetes. A constant, since KFP does not pass a parameter that is
    # used only here into the sub-graph of the exit handler.
    memory: str = "2Gi"
    hours: float = 1  # time limit
    # Times that a failed step is started again. 0 where the step itself retries the failures that a new pod
    # could cure, and the usual failure is bad input.
    retries: int = 0
    # Reuse an earlier result for the same inputs; not for steps that read or write outside the pipeline.
    cached: bool = True


REQUESTS = {
    "prepare": Request("Prepare the run", cached=False),
    "ingest": Request("Ingest the ratings", cpu="2", memory="5Gi", hours=3),
    "vocabulary": Request("Build the vocabularies", cpu="2", memory="5Gi", retries=2),
    "train": Request("Train the two-tower model", cpu="4", memory="12Gi", hours=12, retries=3),
    "evaluate": Request("Evaluate and decide", cpu="4", memory="8Gi", hours=3, retries=2),
    "report": Request("Write the report", retries=2),
    "export": Request("Export the index", cpu="2", memory="8Gi", retries=2),
    "publish": Request("Publish", cpu="2", memory="4Gi", retries=3, cached=False),
    "batch": Request("Recommend to all users", cpu="2", memory="4Gi", hours=6, retries=2),
    "refuse": Request("Refuse", cached=False),
    "notify": Request("Notify", retries=2, cached=False),
}


_FIRST_PAUSE = 30  # seconds; each further pause is twice as long

# Seconds that all attempts together may wait for a node.
_WAITING = 3600


def retry_window(request: Request) -> int:
    """Returns the seconds, from the start of the first attempt, within which a further attempt may end.

    Argo gives up beyond `backoff.maxDuration`, and kills an attempt that is still running: so it must hold
    all attempts at their time limits, and the pauses between them.
    """
    pauses = _FIRST_PAUSE * (2**request.retries - 1)
    return int(request.hours * 3600) * (request.retries + 1) + int(pauses) + _WAITING


def place(task: dsl.PipelineTask, image: str) -> dsl.PipelineTask:
    """Sets the image, the display name and the resources of `task`."""
    request = REQUESTS[task.component_spec.name]
    task.set_display_name(request.display_name)
    task.set_container_image(image)
    task.set_caching_options(request.cached)
    task.set_cpu_request(request.cpu).set_memory_request(request.memory).set_memory_limit(request.memory)
    # All that the level `restricted` of Kubernetes' pod security asks for, beside what Kubeflow sets itself.
    kubernetes.set_security_context(task, run_as_non_root=True)
    kubernetes.set_timeout(task, int(request.hours * 3600))
    if request.retries:
        task.set_retry(
            request.retries,
            backoff_duration=f"{_FIRST_PAUSE}s",
            backoff_factor=2,
            backoff_max_duration=f"{retry_window(request)}s",
        )
    return task
