"""Client of the Kubernetes API for the pod of a step."""

import json
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

import urllib3

from components.errors import UserError

ROLE = "docs/workers-role.yaml"

# What the service account of the steps needs for several workers: (group, resource, verbs).
RIGHTS = (
    ("batch", "jobs", ("create", "get", "list", "delete")),
    ("", "services", ("create", "list", "delete")),
    ("", "pods", ("get", "list", "delete")),
    ("", "pods/log", ("get",)),
    ("", "persistentvolumeclaims", ("get",)),
)

# The release of Kubernetes that first limits the restarts of each worker.
LEAST_RELEASE = (1, 29)

# As the methods of the Kubernetes client call them.
Kind = Literal["job", "service", "pod", "persistent_volume_claim"]

# As in YAML.
Object = dict[str, Any]

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
# Seconds for the connection, and for the answer.
_TIME_LIMIT = (10, 30)


class NoAnswerError(UserError):
    """Raised when the API is out of reach or overloaded, which may pass by itself."""


class MissingError(UserError):
    """Raised when there is no such object."""


class Api:
    """Objects of the pod's namespace. All methods raise `UserError`, which names a cure."""

    def __init__(self, client: Any, namespace: str) -> None:
        """Args: `client`: a `kubernetes.client.ApiClient`."""
        from kubernetes.client import BatchV1Api, CoreV1Api

        self.namespace = namespace
        self._core, self._batch = CoreV1Api(client), BatchV1Api(client)

    @classmethod
    def of_this_pod(cls) -> "Api | None":
        """Returns a client with this pod's service account and namespace; None if this is no pod."""
        from kubernetes import client, config

        configuration = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=configuration)
            namespace = _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
        except (config.ConfigException, OSError):
            return None
        configuration.retries = urllib3.Retry(0)
        return cls(client.ApiClient(configuration), namespace)

    def read(self, kind: Kind, name: str) -> Object:
        """Returns an object. Raises `MissingError`."""
        return self._object("read", kind, name)

    def find(self, kind: Kind, labels: str) -> list[Object]:
        """Returns the objects with `labels`, a selector such as "a=b"."""
        return list(self._object("list", kind, label_selector=labels)["items"])

    def create(self, kind: Kind, manifest: Object) -> Object:
        """Creates an object; returns it as the cluster understood it."""
        return self._object("create", kind, body=manifest)

    def delete(self, kind: Kind, name: str) -> None:
        """Deletes an object and what belongs to it, if it exists."""
        with suppress(MissingError):
            # A Job's pods would be left by default.
            self._object("delete", kind, name, propagation_policy="Background")

    def last_lines(self, pod: str, container: str, lines: int) -> list[str]:
        """Returns the last lines of a container's log; none if it has not started."""
        which = {"container": container, "tail_lines": lines}
        with suppress(UserError):  # a log is no reason to fail
            data = self._call(self._core.read_namespaced_pod_log, pod, self.namespace, **which)
            return str(data.decode("utf-8", "replace")).splitlines()
        return []

    def _object(self, verb: str, kind: Kind, *name: str, **options: Any) -> Object:
        method = getattr(self._batch if kind == "job" else self._core, f"{verb}_namespaced_{kind}")
        return dict(json.loads(self._call(method, *name, self.namespace, **options)))

    def _call(self, method: Any, *arguments: Any, **options: Any) -> bytes:
        """Calls the API; turns its errors into errors that name a cure."""
        from kubernetes.client.exceptions import ApiException

        try:
            # The answer is read here: newer fields are lost in the client's own types.
            response = method(*arguments, **options, _preload_content=False, _request_timeout=_TIME_LIMIT)
            return bytes(response.data)
        except ApiException as error:
            raise _refusal(error.status, _message(error)) from error
        except urllib3.exceptions.HTTPError as error:
            raise NoAnswerError(
                f"the cluster's API does not answer ({type(error).__name__}); run this step again"
            ) from error


def _refusal(status: int, message: str) -> UserError:
    match status:
        case HTTPStatus.FORBIDDEN | HTTPStatus.UNAUTHORIZED:
            return UserError(
                f"the cluster refuses what several pods need: {message}; give the service account of this "
                f"pod the role in {ROLE}"
            )
        case HTTPStatus.NOT_FOUND:
            return MissingError(message)
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= 500:
        return NoAnswerError(f"the cluster's API answers {status}: {message}; run this step again")
    return UserError(f"the cluster refuses the pods: {message}; report this")


def _message(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"]).rstrip(".")
    except (ValueError, KeyError, TypeError):
        return f"{error.status} {error.reason}"
