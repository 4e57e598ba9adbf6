"""Client of the Kubernetes API for the pod of a step."""

import json
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import urllib3

from components.errors import UserError

ROLE = "docs/tfjob-role.yaml"

_GROUP, _VERSION, _PLURAL = "kubeflow.org", "v1", "tfjobs"
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
# Seconds for the connection, and for the answer.
_TIME_LIMIT = (10, 30)

Object = dict[str, Any]


class NoAnswerError(UserError):
    """Raised when the API is out of reach or overloaded, which may pass by itself."""


class MissingError(UserError):
    """Raised when there is no such object, or no such kind of object."""


class ConflictError(UserError):
    """Raised when there is an object of that name already."""


class Api:
    """Reads and creates objects of a namespace. All methods raise `UserError`; objects are as in YAML."""

    def __init__(self, client: Any, namespace: str) -> None:
        """Args: `client`: a `kubernetes.client.ApiClient`."""
        from kubernetes.client import CoreV1Api, CustomObjectsApi

        self.namespace = namespace
        self._client = client
        self._core, self._custom = CoreV1Api(client), CustomObjectsApi(client)

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

    def pod(self, name: str) -> Object:
        return self._plain(_call(self._core.read_namespaced_pod, name, self.namespace))

    def claim(self, name: str) -> Object:
        """Returns a persistent volume claim."""
        return self._plain(_call(self._core.read_namespaced_persistent_volume_claim, name, self.namespace))

    def last_lines(self, pod: str, container: str, lines: int) -> list[str]:
        """Returns the last lines of a container's log; none if it has not started."""
        read, which = self._core.read_namespaced_pod_log, {"container": container, "tail_lines": lines}
        try:
            return str(_call(read, pod, self.namespace, **which) or "").splitlines()
        except UserError:
            return []  # a log is no reason to fail

    def create_job(self, manifest: Object) -> None:
        _call(self._custom.create_namespaced_custom_object, *self._jobs, body=manifest)

    def job(self, name: str) -> Object:
        return dict(_call(self._custom.get_namespaced_custom_object, *self._jobs, name))

    def delete_job(self, name: str) -> None:
        """Deletes a job and its pods, if it exists."""
        delete = self._custom.delete_namespaced_custom_object
        with suppress(MissingError):
            _call(delete, *self._jobs, name, propagation_policy="Foreground")

    @property
    def _jobs(self) -> tuple[str, str, str, str]:
        return _GROUP, _VERSION, self.namespace, _PLURAL

    def _plain(self, found: Any) -> Object:
        return dict(self._client.sanitize_for_serialization(found))


def _call(method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Calls the API; turns its errors into errors that name a cure."""
    from kubernetes.client.exceptions import ApiException

    try:
        return method(*arguments, **options, _request_timeout=_TIME_LIMIT)
    except ApiException as error:
        message = _message(error)
        match error.status:
            case HTTPStatus.FORBIDDEN | HTTPStatus.UNAUTHORIZED:
                raise UserError(
                    f"the cluster refuses what --workers needs: {message}; give the service account of this "
                    f"pod the role in {ROLE}"
                ) from error
            case HTTPStatus.NOT_FOUND:
                raise MissingError(message) from error
            case HTTPStatus.CONFLICT:
                raise ConflictError(message) from error
            case status if status == HTTPStatus.TOO_MANY_REQUESTS or status >= 500:
                raise NoAnswerError(
                    f"the cluster's API answers {status}: {message}; run this step again"
                ) from error
        raise UserError(f"the cluster refuses the TFJob: {message}; report this") from error
    except urllib3.exceptions.HTTPError as error:
        raise NoAnswerError(
            f"the cluster's API does not answer ({type(error).__name__}); run this step again"
        ) from error


def _message(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"]).rstrip(".")
    except (ValueError, KeyError, TypeError):
        return f"{error.status} {error.reason}"
