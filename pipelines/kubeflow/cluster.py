"""Calls of the Kubernetes API with the kubeconfig of whoever runs a command, or as a pod of the cluster."""

import contextlib
import json
import os
import re
from typing import Any, Literal

import urllib3

from components.errors import UserError

# The namespace of Kubeflow's own programs, in which a server for one user runs everything.
KUBEFLOW_NAMESPACE = "kubeflow"
_TIME_LIMIT = (5, 10)
_REFUSED = {401: "the cluster does not know you", 403: "you may not look"}

# An object as in YAML.
Object = dict[str, Any]

Kind = Literal[
    "secret", "persistent_volume_claim", "service_account", "pod", "config_map", "deployment", "workflow"
]

# Group with version, and plural.
_PATHS: dict[Kind, tuple[str, str]] = {
    "secret": ("api/v1", "secrets"),
    "persistent_volume_claim": ("api/v1", "persistentvolumeclaims"),
    "service_account": ("api/v1", "serviceaccounts"),
    "pod": ("api/v1", "pods"),
    "config_map": ("api/v1", "configmaps"),
    "deployment": ("apis/apps/v1", "deployments"),
    "workflow": ("apis/argoproj.io/v1alpha1", "workflows"),
}


# What events of a pod mean, by their reason.
_MEANINGS = {
    "FailedScheduling": "no node takes it",
    "FailedMount": "a volume cannot be mounted",
    "FailedAttachVolume": "a volume cannot be mounted",
}
_CURES = (
    (r"Insufficient", "ask for less with --request, or add a node that has it free"),
    (r"untolerated taint", "name the taint with --toleration"),
    (r"node affinity", "no node has the label of --node-selector"),
    (r"persistentvolumeclaim", "create the claim, or name another with --volume"),
    (r"image cannot be pulled", "push the image, or give --image-pull-secret"),
    (r"secret \S+ not found", "create the secret"),
)
# Parts of messages that say nothing new: what eviction would not change, how containerd got to the error.
_NOISE = re.compile(
    r"(\. )?(no new claims to deallocate)?,? preemption: .*|"
    r'failed to pull and unpack image "[^"]*": |failed to resolve reference "[^"]*": '
)
_TRIED_AGAIN = ("Error: ErrImagePull", "Error: ImagePullBackOff")


class Cluster:
    """A namespace of the cluster that kubectl would use. Raises `UserError` if there is no configuration.

    The methods raise `UserError`, without a cure, if the cluster does not answer or denies access.
    """

    def __init__(self, namespace: str) -> None:
        from kubernetes import client

        self.namespace = namespace
        configuration, self.name = _configuration()
        configuration.retries = urllib3.Retry(0)
        self._client = client.ApiClient(configuration)

    def has(self, kind: Kind, name: str) -> bool:
        """Looks for an object."""
        return self.find(kind, name) is not None

    def find(self, kind: Kind, name: str) -> Object | None:
        """Returns an object; None if there is none of that name, or no such kind on the cluster."""
        return self._json("GET", f"{self._place(kind)}/{name}")

    def objects(self, kind: Kind, labels: str = "") -> list[Object]:
        """Lists the objects of a kind with `labels`, a selector such as "a=b,c"; all of them without one."""
        query = [("labelSelector", labels)] if labels else []
        return list((self._json("GET", self._place(kind), query) or {}).get("items") or [])

    def create(self, kind: Kind, manifest: Object) -> Object:
        """Creates an object; returns it as the cluster completed it."""
        return self._json("POST", self._place(kind), body=manifest) or {}

    def delete(self, kind: Kind, name: str) -> None:
        """Deletes an object, if it is there."""
        self._json("DELETE", f"{self._place(kind)}/{name}")

    def events(self, kind: str, name: str) -> list[Object]:
        """Lists the events of an object in order of time; `kind` as in its YAML, such as "Pod"."""
        query = [("fieldSelector", f"involvedObject.kind={kind},involvedObject.name={name}")]
        found = self._json("GET", f"/api/v1/namespaces/{self.namespace}/events", query) or {}
        return sorted(found.get("items") or [], key=_time)

    def why_pending(self, pod: Object) -> str:
        """Says why a pod does not start, with the cure where there is one; "" if it is just starting."""
        text = self._warning(pod) or _condition(pod.get("status", {}))
        cure = next((cure for pattern, cure in _CURES if re.search(pattern, text)), "")
        return f"{text}; {cure}" if cure else text

    def _warning(self, pod: Object) -> str:
        try:
            events = self.events("Pod", pod["metadata"]["name"])
        except UserError:
            return ""
        # A pod that has its node now may have waited for it before.
        past = "FailedScheduling" if pod.get("spec", {}).get("nodeName") else ""
        warnings = [one for one in events if one.get("type") == "Warning" and one.get("reason") != past]
        causes = [one for one in warnings if one.get("message") not in _TRIED_AGAIN]
        if not causes:
            return ""
        reason, message = causes[-1].get("reason", ""), one_line(causes[-1].get("message", ""))
        if message.startswith("Failed to pull image "):
            return f"its image cannot be pulled: {message.removeprefix('Failed to pull image ')}"
        if message.startswith("Error: "):
            return f"its container cannot be created: {message.removeprefix('Error: ')}"
        return f"{_MEANINGS.get(reason, reason)}: {message}"

    def last_lines(self, pod: str, container: str, lines: int) -> list[str]:
        """Returns the last lines of a container's log; none if the pod is gone or has not started."""
        query = [("container", container), ("tailLines", str(lines))]
        try:
            text = self._text("GET", f"{self._place('pod')}/{pod}/log", query)
        except _RefusedError as error:
            if error.status in (400, 404):  # 400: the container has not started
                return []
            raise
        return text.splitlines()

    def may(self, verb: str, resource: str, group: str = "", account: str = "") -> bool:
        """Asks whether you, or the service account `account` of the namespace, have a right here.

        `resource` may name a part of one, such as "pods/log".
        """
        resource, _, part = resource.partition("/")
        attributes = {"namespace": self.namespace, "verb": verb, "resource": resource, "group": group}
        attributes |= {"subresource": part} if part else {}
        spec: Object = {"resourceAttributes": attributes}
        review = "selfsubjectaccessreviews"
        if account:
            # An administrator of the namespace may ask this; of all namespaces only one of the cluster.
            review = f"namespaces/{self.namespace}/localsubjectaccessreviews"
            everyone = ["system:authenticated", "system:serviceaccounts"]
            spec["groups"] = [*everyone, f"system:serviceaccounts:{self.namespace}"]
            spec["user"] = f"system:serviceaccount:{self.namespace}:{account}"
        answer = self._json("POST", f"/apis/authorization.k8s.io/v1/{review}", body={"spec": spec}) or {}
        return bool(answer.get("status", {}).get("allowed"))

    def release(self) -> tuple[int, int]:
        """Returns the release of Kubernetes: (1, 34)."""
        answer = self._json("GET", "/version") or {}
        # Clouds say "34+".
        major, minor = (int(str(answer.get(key)).rstrip("+")) for key in ("major", "minor"))
        return major, minor

    def _place(self, kind: Kind) -> str:
        group, plural = _PATHS[kind]
        return f"/{group}/namespaces/{self.namespace}/{plural}"

    def _json(self, method: str, path: str, query: Any = (), body: Object | None = None) -> Object | None:
        """Calls the API; returns None where there is no such object."""
        try:
            return dict(json.loads(self._text(method, path, query, body)))
        except _RefusedError as error:
            if error.status == 404 and method != "POST":
                return None
            raise
        except ValueError as error:
            raise UserError("the cluster's answer was cut off") from error

    def _text(self, method: str, path: str, query: Any = (), body: Object | None = None) -> str:
        from kubernetes.client.exceptions import ApiException

        try:
            # The answer is read here: the client of Kubernetes would parse a log that looks like JSON.
            response, _, _ = self._client.call_api(
                path,
                method,
                query_params=list(query),
                header_params={"Accept": "application/json, */*", "Content-Type": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=_TIME_LIMIT,
            )
            return str(response.data.decode("utf-8", "replace"))
        except ApiException as error:
            raise _RefusedError(error, method) from error
        except urllib3.exceptions.HTTPError as error:
            raise UserError("the cluster does not answer") from error


class _RefusedError(UserError):
    """Raised for an answer of the API other than success."""

    def __init__(self, error: Any, method: str) -> None:
        self.status = error.status
        text = _REFUSED.get(self.status) if method == "GET" else None
        super().__init__(text or f"the cluster answers {self.status}{_message(error.body)}")


def _message(body: Any) -> str:
    """Returns the message of the API, in parentheses; "" without one."""
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return f" ({json.loads(body)['message']})"
    return ""


def _time(event: Object) -> str:
    """Returns when an event was last seen, in RFC 3339; newer parts of Kubernetes fill in other fields."""
    series = event.get("series") or {}
    known = (event.get("lastTimestamp"), series.get("lastObservedTime"), event.get("eventTime"))
    return str(next((time for time in known if time), event["metadata"].get("creationTimestamp", "")))


def _condition(status: Object) -> str:
    """Says why a pod waits, by its own status, which outlives the events."""
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        waiting = container.get("state", {}).get("waiting") or {}
        if waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
            return f"{waiting['reason']}: {one_line(waiting.get('message', ''))}"
    for condition in status.get("conditions", []):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"no node takes it: {one_line(condition.get('message', ''))}"
    return ""


def one_line(message: str) -> str:
    """Folds a message of the cluster, without the parts that say nothing new."""
    return " ".join(_NOISE.sub("", message).split()).rstrip(".")


def _configuration() -> tuple[Any, str]:
    """Returns the configuration of the client, and a name for the cluster."""
    from kubernetes import client, config

    configuration = client.Configuration()
    with contextlib.suppress(config.ConfigException):
        config.load_incluster_config(client_configuration=configuration)
        return configuration, "this pod's cluster"
    file = os.environ.get("KUBECONFIG") or config.KUBE_CONFIG_DEFAULT_LOCATION
    try:
        config.load_kube_config(config_file=file, client_configuration=configuration)
        _, context = config.list_kube_config_contexts(config_file=file)
    except (config.ConfigException, OSError) as error:
        raise UserError("there is no kubeconfig here, and this is no pod") from error
    return configuration, f"the context {context['name']}"
