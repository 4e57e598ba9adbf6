"""What `submit` and `schedule create` have in common before anything is sent."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.train.request import check_shared_place, check_workers
from pipelines.compiled import compile_pipeline
from pipelines.kubeflow.arguments import check_image, parse_arguments
from pipelines.kubeflow.pods import PodSettings
from pipelines.parameters import pipeline_parameters


def pipeline_arguments(texts: Sequence[str], pods: PodSettings) -> dict[str, Any]:
    """The pipeline's inputs that flags give, typed. Raises `UserError`."""
    parameters = pipeline_parameters()
    arguments = parse_arguments(texts, parameters)
    workers = arguments.get("workers", 1)
    check_workers(workers, arguments.get("preset", ""))
    check_shared_place(workers, arguments.get("checkpoint_root", ""))
    check_image(arguments.get("image") or pods.image or str(parameters["image"].default))
    return arguments


@contextmanager
def package(pods: PodSettings) -> Iterator[Path]:
    """Yields the compiled pipeline, a file that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="twotower-") as directory:
        yield compile_pipeline(Path(directory) / "pipeline.yaml", pods)
