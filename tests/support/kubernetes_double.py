"""The Kubernetes API of one namespace in memory, behind HTTP, with the controller of Jobs in it."""

import copy
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jsonschema
import kubernetes.client
from generated_models import GeneratedModels
from werkzeug import Request, Response

NAMESPACE = "ann"
ACCOUNT = "default-editor"

_TYPES = GeneratedModels(kubernetes.client)
_MODELS = {"jobs": "V1Job", "services": "V1Service"}
_PATH = re.compile(rf"/(?:api|apis/batch)/v1/namespaces/{NAMESPACE}/([a-z]+)(?:/([^/]+))?(?:/(log))?")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SERVICE = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_INDEX = "batch.kubernetes.io/job-completion-index"
_COUNTED = "batch.kubernetes.io/job-index-failure-count"
# Fields of Kubernetes 1.29, which an older one drops.
_NEW = ("backoffLimitPerIndex", "maxFailedIndexes")

Object = dict[str, Any]


@dataclass
class KubernetesDouble:
    """State and behaviour of the API.

    Attributes:
      objects: by (plural, name).
      created: Jobs and Services as they were sent.
      logs: what containers have printed, by pod.
      forbidden: requests that are refused, "VERB RESOURCE".
      old: whether this is a Kubernetes before 1.29.
      failures: how many of the next requests meet an API that is down.
      requests: all of them, "VERB RESOURCE".
      on_look: called at each look at a Job, before it is answered.
      quota: pods that the namespace may hold.
      ending: how many lists still show a pod that was deleted, since its container takes a while to end.
    """

    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    created: list[Object] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    forbidden: set[str] = field(default_factory=set)
    old: bool = False
    failures: int = 0
    requests: list[str] = field(default_factory=list)
    on_look: Callable[["KubernetesDouble"], object] | None = None
    ending: int = 0
    quota: int = 1000
    _pods_made: int = 0

    def all(self, plural: str) -> list[Object]:
        """The objects of a kind in the order of their creation."""
        return [item for (kind, _), item in self.objects.items() if kind == plural]

    def pod_of(self, index: int) -> Object:
        """The last pod of an index."""
        pods = self.all("pods")
        return [pod for pod in pods if pod["metadata"].get("annotations", {}).get(_INDEX) == str(index)][-1]

    def add_pod(self, name: str, run: str) -> None:
        """Adds a pod that belongs to no Job, with the label of a run."""
        labels = {"twotower/run": run}
        metadata = {"name": name, "labels": labels, "annotations": {}, "ownerReferences": [{"uid": ""}]}
        status = {"phase": "Succeeded"}
        self.objects["pods", name] = {"metadata": metadata, "spec": {}, "status": status}

    def run(self, index: int) -> None:
        """Lets the pod of an index start on a node."""
        pod = self.pod_of(index)
        pod["spec"]["nodeName"] = "node-1"
        state = {"name": pod["spec"]["containers"][0]["name"], "state": {"running": {}}}
        pod["status"] = {"phase": "Running", "containerStatuses": [state]}

    def end(self, index: int, code: int = 0, reason: str = "", disrupted: bool = False) -> None:
        """Lets the container of an index end; `disrupted` by an eviction or the loss of its node."""
        conditions = [{"type": "DisruptionTarget", "status": "True"}] if disrupted else []
        self._end_pod(self.pod_of(index), code, reason or ("Error" if code else "Completed"), conditions)

    def _end_pod(self, pod: Object, code: int, reason: str, conditions: list[Object]) -> None:
        ended = {"exitCode": code, "reason": reason}
        state = {"name": pod["spec"]["containers"][0]["name"], "state": {"terminated": ended}}
        pod["status"] = {
            "phase": "Failed" if code else "Succeeded",
            "containerStatuses": [state],
            "conditions": conditions,
        }
        for job in self.all("jobs"):
            self._sync(job)

    def pass_deadline(self) -> None:
        """Lets the time limit of every Job pass."""
        for job in self.all("jobs"):
            if "activeDeadlineSeconds" in job["spec"]:
                self._fail(job, "DeadlineExceeded", "Job was active longer than specified deadline")

    def __call__(self, request: Request) -> Response:
        match = _PATH.fullmatch(request.path)
        if match is None:
            return _status(404, "the server could not find the requested resource")
        plural, name, log = match.groups()
        resource = f"{plural}/log" if log else plural
        verb = {"GET": "get" if name else "list", "POST": "create", "DELETE": "delete"}[request.method]
        self.requests.append(f"{verb} {resource}")
        if self.failures:
            self.failures -= 1
            return _status(503, "the server is currently unable to handle the request")
        if f"{verb} {resource}" in self.forbidden:
            user = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
            cannot = f'User "{user}" cannot {verb} resource "{resource}" in API group ""'
            return _status(403, f'{resource} is forbidden: {cannot} in the namespace "{NAMESPACE}"')
        if verb == "create":
            return self._create(plural, json.loads(request.data))
        if verb == "list":
            return self._list(plural, request.args["labelSelector"])
        if plural == "jobs" and verb == "get" and self.on_look:
            self.on_look(self)
        if (plural, name) not in self.objects:
            return _status(404, f'{plural} "{name}" not found')
        if log:
            lines = self.logs.get(name, "").splitlines()[-int(request.args["tailLines"]) :]
            return Response("\n".join(lines), content_type="text/plain")
        if verb == "delete":
            return self._delete(plural, name, request)
        return _json(self.objects[plural, name])

    def _create(self, plural: str, item: Object) -> Response:
        name = item["metadata"]["name"]
        try:
            _TYPES.validate(item, _MODELS[plural])
        except jsonschema.ValidationError as error:
            return _status(422, error.message)
        if problem := _problem(plural, item):
            return _status(422, f'{item["kind"]} "{name}" is invalid: {problem}')
        if (plural, name) in self.objects:
            return _status(409, f'{plural} "{name}" already exists')
        self.created.append(copy.deepcopy(item))
        if self.old and plural == "jobs":
            for key in _NEW:
                item["spec"].pop(key, None)
        item["metadata"] |= {"uid": f"uid-{name}", "creationTimestamp": _time(len(self.created))}
        self.objects[plural, name] = item
        if plural == "jobs":
            item["status"] = {}
            self._sync(item)
        return _json(item, 201)

    def _list(self, plural: str, selector: str) -> Response:
        wanted = dict(part.split("=") for part in selector.split(","))
        if not all(map(_LABEL_VALUE.fullmatch, wanted.values())):
            return _status(400, f"unable to parse requirement: {selector}")
        items = [
            one for one in self.all(plural) if wanted.items() <= one["metadata"].get("labels", {}).items()
        ]
        answer = _json({"items": items})
        for item in items:
            if "deletionTimestamp" in item["metadata"]:
                self._let_end(item)
        return answer

    def _delete(self, plural: str, name: str, request: Request) -> Response:
        item = self.objects[plural, name]
        if plural == "pods":
            self._let_end(item)
            return _json(item)
        self.objects.pop((plural, name))
        # The API keeps the pods of a batch/v1 Job unless it is told otherwise.
        policy = request.args.get("propagationPolicy", "Orphan")
        for pod in self.all("pods") if plural == "jobs" and policy != "Orphan" else []:
            owners = pod["metadata"].get("ownerReferences", [])
            if item["metadata"]["uid"] in [owner["uid"] for owner in owners]:
                self._let_end(pod)
        return _json(item)

    def _let_end(self, pod: Object) -> None:
        """Deletes a pod; it is there until its container has ended, and its Job counts that as a failure."""
        pod["metadata"]["deletionTimestamp"] = _time(1000)
        if self.ending:
            self.ending -= 1
            return
        if pod["status"]["phase"] in ("Pending", "Running"):
            self._end_pod(pod, 137, "Error", [])
        self.objects.pop(("pods", _name(pod)))

    def _sync(self, job: Object) -> None:
        """Acts as the controller after a change: ends the Job, or makes the pods that are missing."""
        spec, status = job["spec"], job["status"]
        if "conditions" in status:
            return None
        pods = [pod for pod in self.all("pods") if pod["metadata"]["labels"].get("job-name") == _name(job)]
        for pod in pods:
            if message := _failing_rule(spec, pod, "FailJob"):
                return self._fail(job, "PodFailurePolicy", message)
        done, failed, missing = set(), set(), []
        for index in range(spec["completions"]):
            own = [pod for pod in pods if pod["metadata"]["annotations"][_INDEX] == str(index)]
            last = own[-1] if own else None
            phase = last["status"]["phase"] if last else ""
            if phase == "Succeeded":
                done.add(index)
            elif phase in ("", "Failed"):
                counted = 0
                if last is not None:
                    ignored = _failing_rule(spec, last, "Ignore")
                    counted = int(last["metadata"]["annotations"][_COUNTED]) + (0 if ignored else 1)
                if counted > spec.get("backoffLimitPerIndex", 1 << 31):
                    failed.add(index)
                else:
                    missing.append((index, counted))
        status["failedIndexes"] = ",".join(map(str, sorted(failed)))
        if len(failed) > spec.get("maxFailedIndexes", 1 << 31):
            text = "Job has exceeded the specified maximal number of failed indexes"
            return self._fail(job, "MaxFailedIndexesExceeded", text)
        if len(done) == spec["completions"]:
            status["conditions"] = [_condition("SuccessCriteriaMet"), _condition("Complete")]
            return None
        for index, counted in missing:
            if len(self.all("pods")) < self.quota:
                self._make_pod(job, index, counted)
        return None

    def _fail(self, job: Object, reason: str, message: str) -> None:
        """Ends a Job without success, and the pods that still run with it; those that ended stay."""
        job["status"]["conditions"] = [_condition("FailureTarget", reason, message)]
        job["status"]["conditions"].append(_condition("Failed", reason, message))
        for pod in self.all("pods"):
            if pod["status"]["phase"] in ("Pending", "Running"):
                self.objects.pop(("pods", _name(pod)))

    def _make_pod(self, job: Object, index: int, counted: int) -> None:
        self._pods_made += 1
        name = f"{_name(job)}-{index}-{self._pods_made:05d}"
        template = copy.deepcopy(job["spec"]["template"])
        metadata = template.get("metadata", {})
        labels = {**metadata.get("labels", {}), "job-name": _name(job), _INDEX: str(index)}
        notes = {**metadata.get("annotations", {}), _INDEX: str(index), _COUNTED: str(counted)}
        template["spec"]["hostname"] = f"{_name(job)}-{index}"
        for container in template["spec"]["containers"]:
            value = {"fieldRef": {"fieldPath": f"metadata.labels['{_INDEX}']"}}
            container.setdefault("env", []).append({"name": "JOB_COMPLETION_INDEX", "valueFrom": value})
        owner = {"kind": "Job", "name": _name(job), "uid": job["metadata"]["uid"]}
        self.objects["pods", name] = {
            "metadata": {
                "name": name,
                "labels": labels,
                "annotations": notes,
                "ownerReferences": [owner],
                "creationTimestamp": _time(100 + self._pods_made),
            },
            "spec": template["spec"],
            "status": {"phase": "Pending"},
        }


def _problem(plural: str, item: Object) -> str:
    """Fault that the API's validation finds beyond the types; "" if there is none."""
    labels = item["metadata"].get("labels", {})
    if not all(map(_LABEL_VALUE.fullmatch, labels.values())):
        return "metadata.labels: a valid label must be an empty string or consist of alphanumeric characters"
    if plural == "services":
        return (
            ""
            if _SERVICE.fullmatch(_name(item))
            else "metadata.name: a DNS-1035 label must start with a letter"
        )
    spec, pod = item["spec"], item["spec"]["template"]["spec"]
    if not _LABEL.fullmatch(f"{_name(item)}-{spec['completions'] - 1}"):
        return "metadata.name: will not able to create pod with invalid DNS label"
    if spec.get("completionMode") != "Indexed" and any(key in spec for key in _NEW):
        return "spec.backoffLimitPerIndex: requires indexed completion mode"
    if "maxFailedIndexes" in spec and "backoffLimitPerIndex" not in spec:
        return "spec.backoffLimitPerIndex: when maxFailedIndexes is specified"
    if pod.get("restartPolicy") != "Never":
        return (
            'spec.template.spec.restartPolicy: only "Never" is supported when podFailurePolicy is specified'
        )
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    for container in pod["containers"]:
        if missing := {mount["name"] for mount in container.get("volumeMounts", [])} - volumes:
            return f"spec.template.spec.containers[0].volumeMounts[0].name: Not found: {missing}"
    names = {container["name"] for container in pod["containers"]}
    for rule in spec.get("podFailurePolicy", {}).get("rules", []):
        codes = rule.get("onExitCodes", {})
        if codes and (codes["containerName"] not in names or codes["values"] != sorted(set(codes["values"]))):
            return "spec.podFailurePolicy.rules: unknown container, or values that are not ordered"
        if codes and codes["operator"] == "In" and 0 in codes["values"]:
            return "spec.podFailurePolicy.rules: must not be 0 for the In operator"
    return ""


def _failing_rule(spec: Object, pod: Object, action: str) -> str:
    """Message of the first rule that matches a failed pod, if it asks for `action`; "" otherwise."""
    if pod["status"]["phase"] != "Failed":
        return ""
    [container] = pod["status"]["containerStatuses"]
    code = container["state"]["terminated"]["exitCode"]
    conditions = [(one["type"], one["status"]) for one in pod["status"].get("conditions", [])]
    for number, rule in enumerate(spec.get("podFailurePolicy", {}).get("rules", [])):
        codes = rule.get("onExitCodes")
        if codes and codes["containerName"] == container["name"]:
            matches = (code in codes["values"]) == (codes["operator"] == "In")
        else:
            matches = any(
                (one["type"], one["status"]) in conditions for one in rule.get("onPodConditions", [])
            )
        if matches:
            text = (
                f"Container {container['name']} for pod {NAMESPACE}/{_name(pod)} failed with exit code {code}"
            )
            return f"{text} matching {action} rule at index {number}" if rule["action"] == action else ""
    return ""


def _name(item: Object) -> str:
    return str(item["metadata"]["name"])


def _condition(kind: str, reason: str = "", message: str = "") -> Object:
    return {"type": kind, "status": "True", "reason": reason, "message": message}


def _time(number: int) -> str:
    return f"2026-11-24T12:{number // 60:02d}:{number % 60:02d}Z"


def _json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value), status, content_type="application/json")


def _status(code: int, message: str) -> Response:
    return _json({"kind": "Status", "status": "Failure", "message": message, "code": code}, code)
