"""The Kubernetes API that a kubeconfig leads to: objects of every kind, logs, events and access reviews."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from step_pod import faults, restricted
from werkzeug import Request, Response

_PATH = re.compile(r"/(?:api|apis/[^/]+)/v1[a-z0-9]*/namespaces/([^/]+)/([^/]+)(?:/([^/]+))?(?:/(log))?")
_VERBS = {"GET": "get", "POST": "create", "DELETE": "delete"}


@dataclass
class ClusterDouble:
    """State and behaviour of the API.

    Attributes:
      objects: objects as in YAML by (namespace, plural, name), such as ("ann", "pods", "train-1").
      events: in the order in which they came; each names its object in `involvedObject`.
      logs: what containers have printed, by (pod, container).
      token: what the caller must send; "" for anything.
      minor: the release of Kubernetes, after "1.".
      forbidden: what is refused, "VERB PLURAL", such as "get pods/log" or "create jobs"; access reviews say
        so too.
      failures: how many of the next requests meet an API that is down.
      requests: all of them, "METHOD path".
      created: objects that were created, as they were sent.
      restricted: whether the level of pod-security is `restricted`.
      kubelet: what becomes of a pod that was created, its status; it stays Pending without.
    """

    objects: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    logs: dict[tuple[str, str], str] = field(default_factory=dict)
    token: str = ""
    minor: str = "34"
    forbidden: set[str] = field(default_factory=set)
    failures: int = 0
    requests: list[str] = field(default_factory=list)
    created: list[dict[str, Any]] = field(default_factory=list)
    restricted: bool = False
    kubelet: Callable[[dict[str, Any]], dict[str, Any]] | None = None

    def add(self, namespace: str, plural: str, name: str, **fields: Any) -> dict[str, Any]:
        """Puts an object into the cluster."""
        item = {**fields, "metadata": {"name": name, "namespace": namespace, **fields.get("metadata", {})}}
        self.objects[namespace, plural, name] = item
        return item

    def add_event(self, namespace: str, pod: str, reason: str, message: str, **fields: Any) -> None:
        """Adds an event of a pod."""
        thing = {"kind": "Pod", "name": pod, "namespace": namespace}
        time = f"2026-11-24T12:00:{len(self.events):02d}Z"
        event = {
            "metadata": {"name": f"{pod}.{len(self.events)}"},
            "involvedObject": thing,
            "type": "Warning",
        }
        self.events.append(event | {"reason": reason, "message": message, "lastTimestamp": time} | fields)

    def __call__(self, request: Request) -> Response:
        self.requests.append(f"{request.method} {request.path}")
        if self.failures:
            self.failures -= 1
            return _status(503, "the server is currently unable to handle the request")
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return _status(401, "Unauthorized")
        if request.path.startswith("/apis/authorization.k8s.io/v1/"):
            return self._review(json.loads(request.data))
        if request.path == "/version":
            return _json({"major": "1", "minor": self.minor})
        match = _PATH.fullmatch(request.path)
        if match is None:
            return _status(404, "the server could not find the requested resource")
        namespace, plural, name, log = match.groups()
        resource = f"{plural}/log" if log else plural
        verb = _VERBS[request.method] if name or request.method == "POST" else "list"
        if f"{verb} {resource}" in self.forbidden:
            text = f'{resource} is forbidden: User "ann" cannot {verb} resource "{resource}" in API group ""'
            return _status(403, f'{text} in the namespace "{namespace}"')
        if log:
            return self._log(name, request)
        if plural == "events":
            return _json({"items": [event for event in self.events if _concerns(event, namespace, request)]})
        if request.method == "POST":
            return self._create(namespace, plural, json.loads(request.data))
        if not name:
            return self._list(namespace, plural, request.args.get("labelSelector", ""))
        if (namespace, plural, name) not in self.objects:
            return _status(404, f'{plural} "{name}" not found')
        if request.method == "DELETE":
            return _json(self.objects.pop((namespace, plural, name)))
        return _json(self.objects[namespace, plural, name])

    def _create(self, namespace: str, plural: str, item: dict[str, Any]) -> Response:
        self.created.append(item)
        if (namespace, plural, item["metadata"]["name"]) in self.objects:
            return _status(409, f'{plural} "{item["metadata"]["name"]}" already exists')
        if plural == "pods" and (refusal := self._refused_pod(item)):
            return refusal
        added = self.add(namespace, plural, item["metadata"]["name"], **item)
        if plural == "pods":
            added["status"] = self.kubelet(item) if self.kubelet else {"phase": "Pending"}
        return _json(added, 201)

    def _refused_pod(self, pod: dict[str, Any]) -> Response | None:
        name = pod["metadata"]["name"]
        if "spec" in pod and (wrong := faults(pod)):
            return _status(422, f'Pod "{name}" is invalid: {"; ".join(wrong)}')
        if self.restricted and (wrong := restricted(pod)):
            return _status(
                403, f'pods "{name}" is forbidden: violates PodSecurity "restricted:latest": {wrong}'
            )
        return None

    def _list(self, namespace: str, plural: str, selector: str) -> Response:
        wanted = dict(part.split("=") for part in selector.split(",") if part)
        items = [
            item
            for (space, kind, _), item in self.objects.items()
            if (space, kind) == (namespace, plural)
            and wanted.items() <= item["metadata"].get("labels", {}).items()
        ]
        return _json({"items": items})

    def _log(self, pod: str, request: Request) -> Response:
        container, count = request.args["container"], int(request.args["tailLines"])
        if not any(kind == "pods" and name == pod for _, kind, name in self.objects):
            return _status(404, f'pods "{pod}" not found')
        if (pod, container) not in self.logs:
            waits = f'container "{container}" in pod "{pod}" is waiting to start: ContainerCreating'
            return _status(400, waits)
        lines = self.logs[pod, container].splitlines()[-count:]
        return Response("\n".join(lines), content_type="text/plain")

    def _review(self, review: dict[str, Any]) -> Response:
        asked = review["spec"]["resourceAttributes"]
        resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
        allowed = f"{asked['verb']} {resource}" not in self.forbidden
        return _json({**review, "status": {"allowed": allowed}}, 201)


def write_kubeconfig(path: Path, server: str) -> Path:
    """Writes a kubeconfig whose context is called kind."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "kind",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "hush"}}],
        "contexts": [{"name": "kind", "context": {"cluster": "c", "user": "u"}}],
    }
    path.write_text(yaml.safe_dump(config))
    return path


def _concerns(event: dict[str, Any], namespace: str, request: Request) -> bool:
    thing = event["involvedObject"]
    wanted = dict(part.split("=") for part in request.args.get("fieldSelector", "").split(",") if part)
    named = {key.removeprefix("involvedObject."): value for key, value in wanted.items()}
    return thing["namespace"] == namespace and named.items() <= thing.items()


def _json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value), status, content_type="application/json")


def _status(code: int, message: str) -> Response:
    return _json({"kind": "Status", "status": "Failure", "message": message, "code": code}, code)
