"""The Kubernetes API of one namespace in memory, behind HTTP, with a training operator in it."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import jsonschema
from tfjob_schema import validate_tfjob
from werkzeug import Request, Response

NAMESPACE = "ann"

_JOBS = f"/apis/kubeflow.org/v1/namespaces/{NAMESPACE}/tfjobs"
_CORE = f"/api/v1/namespaces/{NAMESPACE}"


@dataclass
class KubernetesDouble:
    """State and behaviour of the API.

    Attributes:
      pods, claims: objects by name.
      jobs: the TFJobs that are there.
      created: all that ever were, as they were sent.
      course: the conditions of a job at each look, one list after the other; the last one stays.
      logs: what the workers have printed, by pod.
      forbidden: requests that are refused, "VERB kind".
      operator: whether there is a training operator.
      failures: how many of the next requests meet an API that is down.
      requests: all of them, "VERB path".
      on_look: called at every look at a job.
    """

    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    claims: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    created: list[dict[str, Any]] = field(default_factory=list)
    course: list[list[dict[str, Any]]] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    forbidden: set[str] = field(default_factory=set)
    operator: bool = True
    failures: int = 0
    requests: list[str] = field(default_factory=list)
    on_look: Any = None

    def __call__(self, request: Request) -> Response:
        self.requests.append(f"{request.method} {request.path}")
        if self.failures:
            self.failures -= 1
            return _status(503, "the server is currently unable to handle the request")
        kind = next(
            kind
            for kind in ("tfjobs", "persistentvolumeclaims", "pods/log", "pods")
            if all(part in request.path for part in kind.split("/"))
        )
        if f"{request.method} {kind}" in self.forbidden:
            verb = {"GET": "get", "POST": "create", "DELETE": "delete"}[request.method]
            user = f"system:serviceaccount:{NAMESPACE}:default-editor"
            return _status(
                403, f'{kind} is forbidden: User "{user}" cannot {verb} resource "{kind}" in the namespace'
            )
        if kind == "tfjobs":
            return self._job(request)
        name = request.path.removeprefix(_CORE).split("/")[2]
        if kind == "pods/log":
            lines = self.logs.get(name, "").splitlines()[-int(request.args["tailLines"]) :]
            return Response("\n".join(lines), content_type="text/plain")
        store = self.pods if kind == "pods" else self.claims
        return _json(store[name]) if name in store else _status(404, f'{kind} "{name}" not found')

    def _job(self, request: Request) -> Response:
        if not self.operator:
            return _status(404, "the server could not find the requested resource")
        if request.method == "POST":
            return self._create(json.loads(request.data))
        name = request.path.removeprefix(f"{_JOBS}/")
        if request.method == "GET" and self.on_look:
            self.on_look(self)
        if name not in self.jobs:
            return _status(404, f'tfjobs.kubeflow.org "{name}" not found')
        if request.method == "DELETE":
            return _json(self.jobs.pop(name))
        conditions = self.course.pop(0) if len(self.course) > 1 else (self.course or [[]])[0]
        return _json({**self.jobs[name], "status": {"conditions": conditions}})

    def _create(self, job: dict[str, Any]) -> Response:
        try:
            validate_tfjob(job)
        except jsonschema.ValidationError as error:
            return _status(422, error.message)
        name = job["metadata"]["name"]
        assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", f"{name}-worker-99")
        assert len(f"{name}-worker-99") <= 63
        if name in self.jobs:
            return _status(409, f'tfjobs.kubeflow.org "{name}" already exists')
        self.jobs[name] = job
        self.created.append(job)
        return _json(job, 201)


def condition(kind: str, message: str = "", at: str = "2026-11-24T12:00:00Z") -> dict[str, Any]:
    """A condition of a TFJob that holds."""
    return {"type": kind, "status": "True", "message": message, "lastTransitionTime": at}


def _json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value), status, content_type="application/json")


def _status(code: int, message: str) -> Response:
    return _json({"kind": "Status", "status": "Failure", "message": message, "code": code}, code)
