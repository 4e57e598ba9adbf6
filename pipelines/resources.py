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
    "fingerprint": Request("Fingerprint the input", cached=False),
    "ingest": Request("Ingest the ratings", cpu="2", memory="5Gi", hours=3),
    "vocabulary": Request("Build the vocabularies", cpu="2", memory="5Gi", retries=2),
    "train": Request("Train the two-tower model", cpu="4", memory="12Gi", hours=12, retries=3),
    "champion": Request("Fetch the champion", cached=False),
    "evaluate": Request("Evaluate and decide", cpu="4", memory="8Gi", hours=3, retries=2),
    "report": Request("Write the report", retries=2),
    "export": Request("Export the index", cpu="2", memory="8Gi", retries=2),
    "publish": Request("Publish", memory="4Gi", retries=3, cached=False),
    "batch": Request("Recommend to all users", cpu="2", memory="4Gi", hours=6, retries=2),
    "refuse": Request("Refuse", cached=False),
    "skip": Request("Skip", cached=False),
    "notify": Request("Notify", retries=2, cached=False),
}


def place(task: dsl.PipelineTask, image: str) -> dsl.PipelineTask:
    """Sets the image, the display name and the resources of `task`."""
    request = REQUESTS[task.component_spec.name]
    task.set_display_name(request.display_name)
    task.set_container_image(image)
    task.set_caching_options(request.cached)
    task.set_cpu_request(request.cpu).set_memory_request(request.memory).set_memory_limit(request.memory)
    kubernetes.set_timeout(task, int(request.hours * 3600))
    if request.retries:
        task.set_retry(request.retries, backoff_duration="30s", backoff_factor=2, backoff_max_duration="600s")
    return task
