"""Starts a run on Kubeflow once: checks its arguments, uploads the pipeline, creates the run."""

import contextlib
import difflib
import hashlib
import io
import json
import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components import __version__
from components.declaration import REQUIRED, Input, say_renamed
from components.errors import UserError
from components.progress import log
from components.train.settings import check_shared_place, check_workers
from pipelines.compiled import RENAMED, check_pipeline_inputs, compile_pipeline, pipeline_inputs
from pipelines.kubeflow.client import FINISHED, Kubeflow, create_once, where
from pipelines.kubeflow.pods import PodSettings


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


def parse_arguments(texts: Sequence[str], inputs: Mapping[str, Input]) -> dict[str, Any]:
    """The values that `name=value` texts give, each of its parameter's type.

    Raises:
      UserError: if a text is not of that form, names no parameter or one twice, if a value is not of the
        parameter's type, or if a parameter without default is missing.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not separator:
            raise UserError(f"--param {text}: write it as name=value")
        if name in RENAMED:
            say_renamed(f"--param {name}", name := RENAMED[name])
        if name not in inputs:
            raise UserError(f"--param {text}: the pipeline has no input {name}{_nearest(name, inputs)}")
        if name in values:
            raise UserError(f"--param {name}: given twice; keep one")
        values[name] = inputs[name].parse(value, f"--param {name}=")
    missing = [one.name for one in inputs.values() if one.default is REQUIRED and not values.get(one.name)]
    if missing:
        raise UserError(f"the pipeline needs a value for {missing[0]}; add --param {missing[0]}=…")
    return values


def _nearest(name: str, inputs: Mapping[str, Input]) -> str:
    near = difflib.get_close_matches(name, inputs, n=1)
    return f"; did you mean {near[0]}?" if near else f"; it has {', '.join(sorted(inputs))}"


def check_image(name: str) -> None:
    """Remarks on an image that no cluster can pull.

    Raises:
      UserError: if the image's tag can move: KFP takes a step's earlier result for the same image name.
    """
    tag = name.rpartition("/")[2].partition("@")[0].partition(":")[2]
    if "@sha256:" not in name and tag in ("", "latest"):
        raise UserError(
            f"--image {name}: its tag can move, and the cluster would take results of an older image for its "
            "own; name a tag of a version, or a digest"
        )
    if "/" not in name:
        log(f"the image {name} names no registry: every node must have it; else push it and give --image")


def pipeline_arguments(texts: Sequence[str], pods: PodSettings) -> dict[str, Any]:
    """The pipeline's inputs that flags give, typed. Raises `UserError`."""
    inputs = pipeline_inputs()
    arguments = parse_arguments(texts, inputs)
    check_pipeline_inputs(arguments)
    workers = arguments.get("workers", 1)
    check_workers(workers, arguments.get("preset", ""))
    check_shared_place(workers, arguments.get("checkpoint_root", ""))
    check_image(arguments.get("image") or pods.image or str(inputs["image"].default))
    return arguments


@contextmanager
def package(pods: PodSettings) -> Iterator[Path]:
    """Yields the compiled pipeline, a file that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="twotower-") as directory:
        yield compile_pipeline(Path(directory) / "pipeline.yaml", pods)
