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

from components.declaration import REQUIRED, Input, say_renamed
from components.errors import UserError
from components.ingest.inputs import STDIN
from components.progress import log
from pipelines.compiled import RENAMED, check_pipeline_inputs, compile_pipeline, pipeline_inputs
from pipelines.kubeflow import names
from pipelines.kubeflow.client import CANCELING, FINISHED, Kubeflow, get_or_create, where
from pipelines.kubeflow.pods import PodSettings
from pipelines.kubeflow.schedule import existing
from pipelines.kubeflow.versions import digest, upload_beside


@dataclass(frozen=True)
class Place:
    """Names on the server under which runs are started. Raises `UserError` if one cannot be such a name."""

    pipeline: str  # name that the pipeline is uploaded under
    experiment: str  # name of the experiment that holds the runs
    service_account: str = ""  # of the pods, in Kubernetes; "" for the default of the namespace
    pipeline_root: str = ""  # place of the outputs of the steps; "" for the default of the server

    def __post_init__(self) -> None:
        names.server_name("--pipeline", self.pipeline)
        names.server_name("--experiment", self.experiment)
        if self.service_account:
            names.object_name("--service-account", self.service_account)
        if self.pipeline_root:
            names.pipeline_root("--pipeline-root", self.pipeline_root)


@dataclass(frozen=True)
class Started:
    """A run that was started, or that was found in progress."""

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

    A run is found if it has not ended and has the same package and arguments. So a call that was interrupted
    can be repeated. Raises `UserError` if the server is too old, refuses it, or does not answer.

    Args:
      arguments: of the pipeline, typed.
      keep_version: upload the package as a version, but never one that a schedule would take for its newest
        (`upload_beside`); else it is sent with the run.
      again: start a run even if one is found.
    """
    kubeflow.check_release()
    mark = _mark(package, arguments)
    # The word before the mark is unique to this call, which finds its run by it if the answer is lost.
    name = f"{place.pipeline} {datetime.now(UTC):%Y-%m-%d %H:%M:%S} {secrets.token_hex(4)} {mark}"
    source = {"pipeline_package_path": str(package)}
    if keep_version:
        version = upload_beside(kubeflow, package, place.pipeline)
        source = {"pipeline_id": version.pipeline_id, "version_id": version.version_id}
    experiment_id = experiment(kubeflow, place.experiment).experiment_id

    def create() -> Any:
        with contextlib.redirect_stdout(io.StringIO()):  # the client of KFP prints a link
            return kubeflow.sdk.run_pipeline(
                experiment_id=experiment_id,
                job_name=name,
                params=arguments,
                pipeline_root=place.pipeline_root or None,
                service_account=place.service_account or None,
                **source,
            )

    earlier = None if again else _unfinished(kubeflow, experiment_id, mark)
    run = earlier or get_or_create(lambda: kubeflow.run_named(name, experiment_id), create)
    return Started(run.run_id, kubeflow.run_url(run.run_id), found=earlier is not None)


def experiment(kubeflow: Kubeflow, name: str) -> Any:
    """Finds or creates the experiment called `name`."""
    from kfp_server_api import V2beta1Experiment

    body = V2beta1Experiment(display_name=name, namespace=kubeflow.namespace or None)
    return get_or_create(
        lambda: kubeflow.experiment(name),
        lambda: kubeflow.sdk.experiments.experiment_service_create_experiment(experiment=body),
    )


def _mark(package: Path, arguments: dict[str, Any]) -> str:
    """Computes a digest, of eight digits, of package and arguments, by which a run is found again."""
    text = f"{digest(package)} {json.dumps(arguments, sort_keys=True)}"
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _unfinished(kubeflow: Kubeflow, experiment_id: str, mark: str) -> Any | None:
    runs = kubeflow.runs(experiment_id=experiment_id, filter=where("display_name", "IS_SUBSTRING", mark))
    ended = {*FINISHED, CANCELING}
    return next((run for run in runs if run.display_name.endswith(mark) and run.state not in ended), None)


def run_now(kubeflow: Kubeflow, name: str) -> str:
    """Starts a run with version, inputs and experiment of the schedule `name`; returns the URL of its page.

    Raises `UserError` if the server is too old, there is no such schedule, or its pipeline has no version any
    more.
    """
    from kfp_server_api import V2beta1PipelineVersionReference, V2beta1Run

    kubeflow.check_release()
    schedule = existing(kubeflow, name)[0]
    reference = schedule.pipeline_version_reference
    if reference is not None and not reference.pipeline_version_id:
        newest = kubeflow.newest_version(reference.pipeline_id)
        if newest is None:
            raise UserError(
                f"the pipeline of schedule {name} has no version any more; repeat its "
                "`twotower schedule create`"
            )
        reference = V2beta1PipelineVersionReference(
            pipeline_id=reference.pipeline_id, pipeline_version_id=newest.pipeline_version_id
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
    run = get_or_create(
        lambda: kubeflow.run_named(run_name, schedule.experiment_id),
        lambda: kubeflow.sdk.runs.run_service_create_run(run=body),
    )
    return kubeflow.run_url(run.run_id)


def parse_arguments(texts: Sequence[str], inputs: Mapping[str, Input]) -> dict[str, Any]:
    """Parses `name=value` texts into values of the types of the inputs.

    Raises `UserError` if a text is not of that form, names no parameter or one twice, if a value is not of
    the parameter's type, or if a parameter without default is missing.
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
    """Checks the name of the image, and warns if it names no registry.

    Raises `UserError` if it is no such name, or its tag can move, since KFP reuses results for the same name.
    """
    names.image_name("--image", name)
    tag = name.rpartition("/")[2].partition("@")[0].partition(":")[2]
    if "@sha256:" not in name and tag in ("", "latest"):
        raise UserError(
            f"--image {name}: its tag can move, and the cluster would take results of an older image for its "
            "own; name a tag of a version, or a digest"
        )
    if "/" not in name:
        log(f"the image {name} names no registry: every node must have it; else push it and give --image")


def pipeline_arguments(texts: Sequence[str], pods: PodSettings) -> dict[str, Any]:
    """Returns the inputs of the pipeline that flags give, typed. Raises `UserError`."""
    inputs = pipeline_inputs()
    arguments = parse_arguments(texts, inputs)
    check_pipeline_inputs(arguments)
    for name in (
        name for name in ("ratings", "movies", "test_ratings", "forget") if arguments.get(name) == STDIN
    ):
        raise UserError(f"--param {name}={STDIN}: a cluster does not have the standard input; name a file")
    if arguments.get("batch_shards", 1) > 1 and not arguments.get("checkpoint_root"):
        raise UserError(
            f"--param batch_shards={arguments['batch_shards']} needs --param checkpoint_root=…, which all "
            "pods share: a gs:// or s3:// prefix, or a directory on a volume"
        )
    check_image(arguments.get("image") or pods.image or str(inputs["image"].default))
    return arguments


@contextmanager
def package(pods: PodSettings) -> Iterator[Path]:
    """Yields the compiled pipeline, a temporary file."""
    with tempfile.TemporaryDirectory(prefix="twotower-") as directory:
        yield compile_pipeline(Path(directory) / "pipeline.yaml", pods)
