"""Checks what runs of the pipeline need on Kubeflow: server, namespace, volumes, secrets, image."""

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, NamedTuple

import urllib3
import yaml

from components.errors import UserError
from components.train.pods.api import LEAST_RELEASE, RIGHTS, ROLE
from pipelines.kubeflow.client import Kubeflow
from pipelines.kubeflow.cluster import KUBEFLOW_NAMESPACE, Cluster, Kind
from pipelines.kubeflow.pods import PodSettings
from pipelines.kubeflow.probe import ProbeError, probe
from pipelines.kubeflow.submit import Place
from pipelines.kubeflow.transport import ApiError

_TIMEOUT = urllib3.Timeout(connect=5, read=10)
_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json"
)
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_DOCKER_HUB = "registry-1.docker.io"


class Image(NamedTuple):
    """Parts of the name of an image; `reference` is a tag or a digest."""

    registry: str
    repository: str
    reference: str


def parse_image(name: str) -> Image:
    """Splits the name of an image, with the defaults of a container engine."""
    head, slash, rest = name.partition("/")
    named = bool(slash) and ("." in head or ":" in head or head == "localhost")
    registry, path = (head, rest) if named else (_DOCKER_HUB, name)
    repository, at, digest = path.partition("@")
    repository, _, tag = repository.partition(":")
    if registry == _DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    return Image(registry, repository, digest if at else tag or "latest")


def is_there(name: str) -> bool | None:
    """Looks the image up in its registry; None if that asks for credentials. Raises urllib3's `HTTPError`."""
    image = parse_image(name)
    scheme = "http" if image.registry.partition(":")[0] in ("localhost", "127.0.0.1") else "https"
    url = f"{scheme}://{image.registry}/v2/{image.repository}/manifests/{image.reference}"
    with urllib3.PoolManager(timeout=_TIMEOUT, retries=1) as http:
        headers = {"Accept": _MANIFESTS}
        response = http.request("HEAD", url, headers=headers)
        if response.status == 401:
            token = _token(http, response.headers.get("WWW-Authenticate", ""))
            response = http.request("HEAD", url, headers={**headers, "Authorization": f"Bearer {token}"})
    return {200: True, 404: False}.get(response.status)


def _token(http: urllib3.PoolManager, challenge: str) -> str:
    """Asks the registry for an anonymous read token; "" if it gives none."""
    fields = dict(_CHALLENGE.findall(challenge))
    realm = fields.pop("realm", "")
    if not realm.startswith(("https://", "http://localhost", "http://127.0.0.1")):
        return ""
    response = http.request("GET", realm, fields=fields)
    try:
        answer = json.loads(response.data)
    except ValueError:
        return ""
    return str(answer.get("token") or answer.get("access_token") or "") if isinstance(answer, dict) else ""


_REFUSAL: dict[int, str] = {HTTPStatus.UNAUTHORIZED: "authentication", HTTPStatus.FORBIDDEN: "namespace"}

Verdict = Literal["well", "ill", "unknown"]


@dataclass(frozen=True)
class Finding:
    """Result of one check: `text` has the observation and, unless it is well, the cure."""

    what: str
    verdict: Verdict
    text: str


def examine(
    connect: Callable[[], Kubeflow], place: Place, pods: PodSettings, image: str, workers: int = 1
) -> Iterator[Finding]:
    """Yields one finding after the other; ends early where the further checks would be pointless.

    `connect` may raise `UserError`; the secrets and volumes of `pods` must exist. A pod of `image` writes to
    the volumes, which takes two minutes at most. Several `workers` need rights of the service account.
    """
    try:
        kubeflow = connect()
        kubeflow.check_release()
    except UserError as error:
        yield Finding("server", "ill", str(error))
        return
    release = kubeflow.tag if kubeflow.release else f"of unknown release ({kubeflow.tag})"
    yield Finding("server", "well", f"{kubeflow.host} is Kubeflow Pipelines {release}, API v2beta1")
    access = _access(kubeflow, place)
    yield from access
    if all(finding.verdict == "well" for finding in access):
        yield _pipeline(kubeflow, place)
    yield _retries()
    yield Finding("image", *_image(image))
    namespace = kubeflow.pods_namespace
    yield from _objects(namespace, place, pods)
    if workers > 1:
        account = place.service_account or _usual_account(kubeflow)
        yield Finding("workers", *_workers(namespace, account, workers))
    if pods.volumes:
        yield from _volumes(kubeflow, place, pods.for_release(kubeflow.release), image)


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
    version = kubeflow.newest_version(pipeline.pipeline_id) if pipeline is not None else None
    if version is None:
        return Finding("pipeline", "well", f"{place.pipeline} is not there yet; the first run uploads it")
    text = f"{place.pipeline} is there, its newest version {version.display_name}"
    return Finding("pipeline", "well", text)


_FAILS = "fails (exit code, out of memory, time limit)"
_LOST = "loses its pod (deleted, evicted, node gone)"
_BY_HAND = "`twotower cluster retry RUN` starts it again"
_POLICIES = {
    "OnFailure": f"a step that {_FAILS} is started again, one that {_LOST} is not: {_BY_HAND}",
    "OnError": f"a step that {_LOST} is started again, one that {_FAILS} is not: {_BY_HAND}",
    "Always": f"a step that {_FAILS}, or {_LOST}, is started again",
    "OnTransientError": f"a step is started again after passing errors of the cluster only; else {_BY_HAND}",
}


def _retries() -> Finding:
    """Says which failures Argo retries, by its controller's settings; a pipeline cannot set a policy."""
    try:
        found = Cluster(KUBEFLOW_NAMESPACE).find("config_map", "workflow-controller-configmap")
    except UserError as error:
        return Finding("retries", "unknown", f"Argo's retry policy is not known from here: {error}")
    if found is None:
        return Finding("retries", "unknown", "there is no workflow-controller-configmap")
    strategy = _default_strategy(found.get("data") or {})
    policy = str(strategy.get("retryPolicy", "OnFailure"))  # Argo's own default
    text = f"Argo's policy is {policy}: {_POLICIES.get(policy, 'not one that is known here')}"
    if limit := int(strategy.get("limit", 0)):
        text += f"; an error that stays is tried {limit + 1} times at each level of the graph"
    return Finding("retries", "well", text)


def _default_strategy(data: dict[str, str]) -> dict[str, Any]:
    """Returns the retry strategy that Argo merges into every template; empty if it has none."""
    settings = {**_yaml(data.get("config")), **data}
    defaults = settings.get("workflowDefaults") or {}
    spec = (_yaml(defaults) if isinstance(defaults, str) else defaults).get("spec") or {}
    return (spec.get("templateDefaults") or {}).get("retryStrategy") or {}


def _yaml(text: str | None) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text or "")
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def _image(image: str) -> tuple[Verdict, str]:
    if "/" not in image:
        return "unknown", (
            f"{image} names no registry: not checked; every node must have it, else tag it "
            "REGISTRY/twotower:VERSION, push it, and give that name with --image or TWOTOWER_IMAGE"
        )
    cause = "its registry asks for credentials; the cluster needs --image-pull-secret"
    try:
        there = is_there(image)
    except urllib3.exceptions.HTTPError as error:
        there, cause = None, f"{type(error).__name__} at its registry"
    if there is None:
        return "unknown", f"{image}: not checked: {cause}"
    if there:
        return "well", f"{image} is there"
    push = f"push it (`docker push {image}`), or name another with --image or TWOTOWER_IMAGE"
    return "ill", f"{image} is missing; {push}"


def _objects(namespace: str, place: Place, pods: PodSettings) -> Iterator[Finding]:
    """Checks the Kubernetes objects that the flags name."""
    wanted: list[tuple[Kind, str, str]] = [
        ("secret", name, f"kubectl create secret … {name} -n {namespace}") for name in pods.secrets()
    ]
    webhook, key = pods.webhook()
    if webhook:
        cure = f"kubectl create secret generic {webhook} --from-literal={key}=URL -n {namespace}"
        wanted.append(("secret", webhook, cure))
    if place.service_account:
        name = place.service_account
        wanted.append(("service_account", name, f"kubectl create serviceaccount {name} -n {namespace}"))
    for kind, name, cure in wanted:
        yield Finding(kind.replace("_", " "), *_object(namespace, kind, name, cure))


def _object(namespace: str, kind: Kind, name: str, cure: str) -> tuple[Verdict, str]:
    try:
        cluster = Cluster(namespace)
    except UserError as error:
        return "unknown", f"{name}: not checked: {error}"
    place = f"namespace {cluster.namespace} of {cluster.name}"
    try:
        there = cluster.has(kind, name)
    except UserError as error:
        return "unknown", f"{name}: not checked in {place}: {error}"
    if there:
        return "well", f"{name} is in {place}"
    return "ill", f"{name} is missing in {place}; create it: `{cure}`"


def _volumes(kubeflow: Kubeflow, place: Place, pods: PodSettings, image: str) -> Iterator[Finding]:
    """Looks for the claims and, if they are there, writes to each mount in a pod of `image`."""
    namespace = kubeflow.pods_namespace
    cure = f"kubectl apply -n {namespace} -f docs/volume.yaml"
    found = [_object(namespace, "persistent_volume_claim", name, cure) for name in pods.claims()]
    if any(verdict != "well" for verdict, _ in found):
        yield from (Finding("volume", *one) for one in found)
        return
    cluster = Cluster(namespace)
    where = f"namespace {namespace} of {cluster.name}"
    claims = ", ".join(pods.claims())
    try:
        if not cluster.may("create", "pods"):
            yield Finding(
                "volume", "unknown", f"{claims}: there, not written to: you may not create a pod in {where}"
            )
            return
        account = place.service_account or _default_account(cluster, kubeflow)
        results = probe(cluster, pods, image, account)
    except ProbeError as error:
        text = f"{claims}: {error}; no step would start either: docs/troubleshooting.md has the reasons"
        yield Finding("volume", "ill", text)
        return
    except UserError as error:
        yield Finding("volume", "unknown", f"{claims}: there, not written to, in {where}: {error}")
        return
    for one in results:
        mount = f"{one.claim} at {one.path}"
        if one.fault:
            yield Finding(
                "volume",
                "ill",
                f"{mount}: {one.fault}, and the steps run as {one.user}; give it to them as root, as "
                f"docs/volume.yaml does: `chown {one.user} {one.path}`",
            )
            continue
        remark = "" if one.links else "; it has no hard links, so that no registry can lie there"
        yield Finding("volume", "well", f"{mount}: a pod in {where} writes there as {one.user}{remark}")


def _workers(namespace: str, account: str, workers: int) -> tuple[Verdict, str]:
    """Asks whether the service account of the steps may start workers and follow them."""
    user = f"system:serviceaccount:{namespace}:{account}"
    ask = f"`kubectl auth can-i create jobs -n {namespace} --as={user}` asks as an administrator"
    try:
        cluster = Cluster(namespace)
        release = cluster.release()
        missing = [
            f"{verb} {resource}"
            for group, resource, verbs in RIGHTS
            for verb in verbs
            if not cluster.may(verb, resource, group, account)
        ]
    except UserError as error:
        return "unknown", f"{workers}: not asked whether {account} may start them: {error}; {ask}"
    if release < LEAST_RELEASE:
        least, own = (".".join(map(str, one)) for one in (LEAST_RELEASE, release))
        return "ill", f"{cluster.name} is Kubernetes {own}; they need {least} or newer: leave --workers out"
    where = f"namespace {namespace} of {cluster.name}"
    if not missing:
        return "well", f"{account} may start {workers} of them in {where}"
    bind = f"kubectl create rolebinding twotower-workers -n {namespace} --role=twotower-workers"
    return "ill", (
        f"{account} may not {', '.join(missing)} in {where}; let it: `kubectl apply -n {namespace} -f "
        f"{ROLE}` and `{bind} --serviceaccount={namespace}:{account}`"
    )


def _usual_account(kubeflow: Kubeflow) -> str:
    """Returns the name of the service account that steps have unless told."""
    return "default-editor" if kubeflow.namespace else "pipeline-runner"


def _default_account(cluster: Cluster, kubeflow: Kubeflow) -> str:
    """Returns the service account that steps have unless told; "" if it is not seen in the namespace."""
    name = _usual_account(kubeflow)
    with contextlib.suppress(UserError):
        return name if cluster.has("service_account", name) else ""
    return ""
