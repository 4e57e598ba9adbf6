"""Looks at all that runs of the pipeline need on Kubeflow, and says what to do about what is missing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

import urllib3

from components.errors import UserError
from pipelines.kubeflow.client import Kubeflow, server_release
from pipelines.kubeflow.cluster import Cluster, Kind
from pipelines.kubeflow.image_registry import is_there
from pipelines.kubeflow.pods import PodSettings
from pipelines.kubeflow.submit import Place
from pipelines.kubeflow.transport import ApiError

# Where a server for one user runs everything.
_ONLY_NAMESPACE = "kubeflow"

_REFUSAL: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "authentication",
    HTTPStatus.FORBIDDEN: "namespace",
}

Verdict = Literal["well", "ill", "unknown"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `text` says what was seen and, unless all is well, what to do."""

    what: str
    verdict: Verdict
    text: str


def examine(
    connect: Callable[[], Kubeflow], place: Place, pods: PodSettings, image: str
) -> Iterator[Finding]:
    """Yields one finding after the other; the first one that makes all others pointless is the last.

    Args:
      connect: connects to Kubeflow, or raises `UserError`.
      place: names on the server.
      pods: settings of the pods, whose secrets and volumes must be there.
      image: that the steps run on.
    """
    try:
        kubeflow = connect()
    except UserError as error:
        yield Finding("server", "ill", str(error))
        return
    release = server_release(kubeflow.sdk) or "of unknown release"
    yield Finding("server", "well", f"{kubeflow.host} is Kubeflow Pipelines {release}, API v2beta1")
    access = _access(kubeflow, place)
    yield from access
    if all(finding.verdict == "well" for finding in access):
        yield _pipeline(kubeflow, place)
    yield _image(image)
    yield from _objects(kubeflow.namespace or _ONLY_NAMESPACE, place, pods)


def _access(kubeflow: Kubeflow, place: Place) -> list[Finding]:
    try:
        experiment = kubeflow.experiment(place.experiment)
    except ApiError as error:
        return [Finding(_REFUSAL.get(error.status, "server"), "ill", str(error))]
    space = f"namespace {kubeflow.namespace}" if kubeflow.namespace else "a server for one user"
    there = "is there" if experiment is not None else "is not there yet; the first run makes it"
    return [
        Finding("authentication", "well", "the server knows you"),
        Finding("namespace", "well", space),
        Finding("experiment", "well", f"{place.experiment} {there}"),
    ]


def _pipeline(kubeflow: Kubeflow, place: Place) -> Finding:
    pipeline = kubeflow.pipeline(place.pipeline)
    version = next(kubeflow.versions(pipeline.pipeline_id), None) if pipeline is not None else None
    if version is None:
        return Finding("pipeline", "well", f"{place.pipeline} is not there yet; the first run uploads it")
    return Finding(
        "pipeline", "well", f"{place.pipeline} is there, its newest version {version.display_name}"
    )


def _image(image: str) -> Finding:
    push = f"push it (`docker push {image}`), or name another with --image or TWOTOWER_IMAGE"
    if "/" not in image:
        return Finding(
            "image",
            "unknown",
            f"{image} names no registry: not checked; every node must have it, else tag it "
            "REGISTRY/twotower:VERSION, push it, and give that name with --image or TWOTOWER_IMAGE",
        )
    try:
        there = is_there(image)
    except urllib3.exceptions.HTTPError as error:
        return Finding("image", "unknown", f"{image}: not checked: {type(error).__name__} at its registry")
    if there is None:
        return Finding(
            "image",
            "unknown",
            f"{image}: not checked: its registry asks for credentials; the cluster needs --image-pull-secret",
        )
    return Finding(
        "image", "well" if there else "ill", f"{image} is {'there' if there else f'missing; {push}'}"
    )


def _objects(namespace: str, place: Place, pods: PodSettings) -> Iterator[Finding]:
    """Findings on the Kubernetes objects that the flags name."""
    wanted: list[tuple[Kind, str, str]] = [
        *(("secret", name, f"kubectl create secret … {name} -n {namespace}") for name in pods.secrets()),
        *(
            ("persistent_volume_claim", name, f"kubectl apply -n {namespace} -f CLAIM.yaml")
            for name in pods.claims()
        ),
    ]
    webhook, key = pods.webhook()
    if webhook:
        cure = f"kubectl create secret generic {webhook} --from-literal={key}=URL -n {namespace}"
        wanted.append(("secret", webhook, cure))
    if place.service_account:
        name = place.service_account
        wanted.append(("service_account", name, f"kubectl create serviceaccount {name} -n {namespace}"))
    if not wanted:
        return
    try:
        cluster: Cluster | str = Cluster(namespace)
    except UserError as error:
        cluster = str(error)
    for kind, name, cure in wanted:
        yield _object(cluster, kind, name, cure)


def _object(cluster: Cluster | str, kind: Kind, name: str, cure: str) -> Finding:
    what = {"persistent_volume_claim": "volume"}.get(kind, kind.replace("_", " "))
    if isinstance(cluster, str):
        return Finding(what, "unknown", f"{name}: not checked: {cluster}")
    place = f"namespace {cluster.namespace} of {cluster.name}"
    try:
        there = cluster.has(kind, name)
    except UserError as error:
        return Finding(what, "unknown", f"{name}: not checked in {place}: {error}")
    if there:
        return Finding(what, "well", f"{name} is in {place}")
    return Finding(what, "ill", f"{name} is missing in {place}; create it: `{cure}`")
