"""A Kubeflow Pipelines in memory, behind HTTP, for the real client to talk to."""

import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import jsonschema
import kfp_server_api
import pytest
import yaml
from generated_models import GeneratedModels
from kubeflow_runs import RunStore, answer, problem
from werkzeug import Request, Response

from pipelines.kubeflow.transport import Transport
from pipelines.kubeflow.trigger import parse_cron

_PREFIX = "/apis/v2beta1"
_API = GeneratedModels(kfp_server_api)
# What each list can be filtered by.
_NAMES = {"name", "display_name", "created_at", "description"}
_FILTERS = {
    "pipelines": {*_NAMES, "pipeline_id", "namespace"},
    "pipeline_versions": {*_NAMES, "pipeline_version_id", "status", "pipeline_spec"},
    "experiments": {*_NAMES, "experiment_id", "namespace", "storage_state", "last_run_created_at"},
    "recurringRuns": {*_NAMES, "recurring_run_id", "updated_at"},
    "runs": {*_NAMES, "run_id", "recurring_run_id", "experiment_id", "namespace", "state", "storage_state"},
}

_LONGEST_NAME = 128


@dataclass
class Fault:
    """What happens to a request instead of its answer, or after it was carried out."""

    method: str
    path: str
    answer: Callable[[Request], Response]
    carried_out: bool
    times: int


@dataclass
class Double(RunStore):
    """State and behaviour of the server.

    Attributes:
      multi_user: whether lists need a namespace.
      token: what Authorization must be; "" for anything.
      cookies: what Cookie must be; "" for anything.
      forbidden: what is refused for lack of rights, a regular expression of "METHOD PATH"; "" for nothing.
      longest_page: items.
      built_from: the release whose source the server was built from, where `release` is "unknown".
      specs_listed: the packages that lists of versions sent.
      killed: the runs that went with their schedule; they are shown as before for ever.
      release: what the server calls its version; "unknown" where it was built from source.
      behind_pages: whether the server of the web pages passes requests on, and answers healthz itself.
    """

    multi_user: bool = False
    token: str = ""
    cookies: str = ""
    forbidden: str = ""
    longest_page: int = 2
    release: str = "2.17.0"
    built_from: tuple[int, int] = (2, 17)
    behind_pages: bool = False
    version_2: bool = True
    versions: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)
    specs_listed: int = 0
    most_enabled: int = 0

    def fail(
        self,
        method: str,
        path: str,
        answer: Callable[[Request], Response],
        *,
        carried_out: bool = False,
        times: int = 1,
    ) -> None:
        """Lets the next `times` requests to a path (a regular expression) end with `answer`."""
        self.faults.append(Fault(method, path, answer, carried_out, times))

    def schedules(self, name: str) -> list[dict[str, Any]]:
        """The schedules of a name."""
        return [one for one in self.stores["recurringRuns"].values() if one["display_name"] == name]

    def __call__(self, request: Request) -> Response:
        self.requests.append((request.method, request.path))
        self.headers.append(dict(request.headers))
        fault = next((f for f in self.faults if self._hits(f, request)), None)
        if fault is None:
            return self._checked(request)
        fault.times -= 1
        if fault.carried_out:
            self._checked(request)
        return fault.answer(request)

    @staticmethod
    def _hits(fault: Fault, request: Request) -> bool:
        same = fault.method == request.method and re.search(fault.path, request.path) is not None
        return same and fault.times > 0

    def _checked(self, request: Request) -> Response:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        try:
            return self._route(request)
        except jsonschema.ValidationError as error:
            self.violations.append(f"{request.method} {request.path}: {error.message}")
            return problem(400, error.message)

    def _refusal(self, request: Request) -> Response | None:
        if request.path == "/apis/v1beta1/healthz":
            return self._health()
        if not self.version_2:
            return problem(404, "Not Found")
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return problem(401, "Request header error: there is no user identity header.")
        if self.cookies and request.headers.get("Cookie") != self.cookies:
            return Response(status=302, headers={"Location": "/dex/auth?client_id=secret"})
        if self.forbidden and re.search(self.forbidden, f"{request.method} {request.path}"):
            if request.path.endswith("/upload_version"):
                return upload_problem(400, "Failed to create a pipeline version")
            return problem(403, "User 'ann' is not authorized with reason: (no access)")
        return None

    def _health(self) -> Response:
        if self.behind_pages:
            health = {"apiServerReady": True, "apiServerCommitHash": "0", "apiServerTagName": self.release}
        else:
            health = {"commit_sha": "0", "tag_name": self.release, "pipeline_store": "database"}
        return answer({**health, "multi_user": self.multi_user})

    def _route(self, request: Request) -> Response:
        path = request.path.removeprefix(_PREFIX)
        if path == "/healthz":
            return self._health()
        if path == "/pipelines/upload_version":
            return self._upload(request)
        if match := re.fullmatch(r"/pipelines/([^/]+)/versions", path):
            store = self.versions.get(match[1], {})
            return self._list(request, store, "pipeline_versions", "V2beta1ListPipelineVersionsResponse")
        if match := re.fullmatch(r"/pipelines/([^/]+)/versions/([^/]+)", path):
            return self._get(self.versions.get(match[1], {}), match[2], "V2beta1PipelineVersion")
        if match := re.fullmatch(r"/recurringruns/([^/:]+):(enable|disable)", path):
            return self._switch(match[1], match[2])
        if match := re.fullmatch(r"/runs/([^/:]+):(terminate|retry)", path):
            return self.change_run(match[1], match[2])
        if match := re.fullmatch(r"/runs/([^/]+)/nodes/([^/]+)/artifacts/main-logs:read", path):
            return self.archived_log(match[1], match[2])
        kinds = {
            "pipelines": ("pipelines", "pipeline_id", "V2beta1Pipeline", "Pipelines"),
            "experiments": ("experiments", "experiment_id", "V2beta1Experiment", "Experiments"),
            "runs": ("runs", "run_id", "V2beta1Run", "Runs"),
            "recurringruns": ("recurringRuns", "recurring_run_id", "V2beta1RecurringRun", "RecurringRuns"),
        }
        kind, _, key = path.strip("/").partition("/")
        if kind not in kinds:
            return problem(404, "Not Found")
        store_name, id_name, type_name, plural = kinds[kind]
        store = self.stores[store_name]
        if key and request.method == "DELETE":
            return self._delete(request, store, key)
        if key:
            response = self._get(store, key, type_name)
            if store_name == "runs" and store.get(key, {}).get("state") == "CANCELING":
                # The exit handler takes a while. No server ever sets CANCELED.
                self.move(store[key], "FAILED")
            return response
        if request.method == "POST":
            return self._create(request, store_name, id_name, type_name)
        if self.multi_user and not request.args.keys() & {"namespace", "experiment_id"}:
            return problem(400, "Invalid input error: a namespace is required")
        return self._list(request, store, store_name, f"V2beta1List{plural}Response")

    def _create(self, request: Request, store_name: str, id_name: str, type_name: str) -> Response:
        item = request.get_json()
        _API.validate(item, type_name)
        unique = store_name in ("pipelines", "experiments")
        names = [one["display_name"] for one in self.stores[store_name].values()]
        if unique and len(item["display_name"].encode()) > _LONGEST_NAME:
            return problem(
                500, f"Invalid input error: {store_name}.Name length cannot exceed {_LONGEST_NAME}"
            )
        if unique and item["display_name"] in names:
            return problem(409, f"Already exist error: {item['display_name']}")
        if store_name in ("runs", "recurringRuns") and (unknown := self._unknown_to_it(item)):
            return problem(500, f'Failed to compile job: unknown field "{unknown}"')
        if store_name == "recurringRuns":
            reference = item["pipeline_version_reference"]
            if self._generation < (2, 17) and not reference.get("pipeline_version_id"):
                return problem(500, "Internal Server Error")
            item["status"] = {"ENABLE": "ENABLED", "DISABLE": "DISABLED"}[item["mode"]]
        if store_name == "runs":
            self.move(item, "PENDING")
        item |= {id_name: self.new_id(store_name), "created_at": self.now()}
        self.stores[store_name][item[id_name]] = item
        self._count_enabled()
        return self._answer(item, type_name)

    def _unknown_to_it(self, item: dict[str, Any]) -> str:
        """The field of the steps' pods that a server of this release does not know; "" if there is none."""
        version = (item.get("pipeline_version_reference") or {}).get("pipeline_version_id", "")
        known = self.release == "unknown" or tuple(map(int, self.release.split("."))) >= (2, 16)
        return "securityContext" if "securityContext" in self.packages.get(version, "") and not known else ""

    def _upload(self, request: Request) -> Response:
        pipeline_id, name = request.args["pipelineid"], request.args["name"]
        if len(name) >= _LONGEST_NAME:
            text = f"Invalid input error: PipelineVersion.Name length cannot exceed {_LONGEST_NAME - 1}\n"
            return Response(text, status=400, content_type="text/plain")
        if pipeline_id not in self.stores["pipelines"]:
            return upload_problem(400, "Failed to create a pipeline version")
        versions = self.versions.setdefault(pipeline_id, {})
        if name in [version["display_name"] for version in versions.values()]:
            return upload_problem(409, "Failed to create a pipeline version")
        text = request.files["uploadfile"].read().decode()
        version: dict[str, Any] = {
            "pipeline_id": pipeline_id,
            "pipeline_version_id": self.new_id("version"),
            "display_name": name,
            "description": request.args.get("description", ""),
            "created_at": self.now(),
            "pipeline_spec": _spec(text),
        }
        versions[version["pipeline_version_id"]] = version
        self.packages[version["pipeline_version_id"]] = text
        return self._answer(version, "V2beta1PipelineVersion")

    def _switch(self, key: str, action: str) -> Response:
        if key not in self.stores["recurringRuns"]:
            return problem(404, "recurring run not found")
        schedule = self.stores["recurringRuns"][key]
        schedule["status"] = f"{action.upper()}D"
        self._count_enabled()
        self.fire(schedule)
        return answer({})

    def fire(self, schedule: dict[str, Any]) -> None:
        """Starts the runs that are due, as many as may be in progress, as the scheduler does in seconds."""
        key, now = schedule["recurring_run_id"], datetime.fromisoformat(self.now())
        if schedule["status"] != "ENABLED":
            return
        runs = [run for run in self.stores["runs"].values() if run.get("recurring_run_id") == key]
        trigger = next(iter(schedule["trigger"].values()))
        last = max([run["scheduled_at"] for run in runs if "scheduled_at" in run], default=None)
        begin = datetime.fromisoformat(last or trigger.get("start_time") or schedule["created_at"])
        due = list(itertools.takewhile(lambda time: time <= now, _times(trigger, begin)))
        pinned = bool(schedule.get("pipeline_version_reference", {}).get("pipeline_version_id"))
        active = sum(run["state"] in ("PENDING", "RUNNING") for run in runs)
        free = int(schedule.get("max_concurrency", 1)) - active
        for time_due in (due[-1:] if schedule.get("no_catchup") else due)[:free]:
            self.add_run(
                display_name=f"{schedule['display_name']} {time_due:%H:%M}",
                experiment_id=schedule["experiment_id"],
                recurring_run_id=key,
                # Of a run of the newest version the server does not know which time it is for.
                scheduled_at=(time_due if pinned else now).isoformat(),
                state="RUNNING",
            )

    def end_runs(self, schedule: dict[str, Any]) -> None:
        """Lets the runs of a schedule succeed; those that waited for that start."""
        for run in self.stores["runs"].values():
            if run.get("recurring_run_id") == schedule["recurring_run_id"]:
                self.move(run, "SUCCEEDED")
        self.fire(schedule)

    def _delete(self, request: Request, store: dict[str, dict[str, Any]], key: str) -> Response:
        policy = request.args.get("propagation_policy", "") if self._generation >= (2, 16) else ""
        if policy not in ("", *kfp_server_api.V2beta1DeletePropagationPolicy.allowable_values):
            return problem(400, f"parsing field: {policy} is not a valid DeletePropagationPolicy")
        if store.pop(key, None) is None:
            return problem(404, f"{key} not found")
        # The workflows are the schedule's property: they go with it, unless they are orphaned.
        for run in self.stores["runs"].values() if policy != "ORPHAN" else ():
            if run.get("recurring_run_id") == key and run["state"] == "RUNNING":
                self.killed.append(run["run_id"])
        return answer({})

    @property
    def _generation(self) -> tuple[int, int]:
        match = re.match(r"(\d+)\.(\d+)", self.release)
        return (int(match[1]), int(match[2])) if match else self.built_from

    def _get(self, store: dict[str, dict[str, Any]], key: str, type_name: str) -> Response:
        return self._answer(store[key], type_name) if key in store else problem(404, f"{key} not found")

    def _list(
        self, request: Request, store: dict[str, dict[str, Any]], name: str, type_name: str
    ) -> Response:
        predicates = json.loads(request.args.get("filter") or "{}").get("predicates", [])
        for predicate in predicates:
            if predicate["key"] not in _FILTERS[name]:
                return problem(400, f"no support for filtering on {predicate['key']}")
        items = [item for item in store.values() if _selected(item, request)]
        if request.args.get("sort_by") == "created_at desc":
            items.reverse()
        start = int(request.args.get("page_token") or 0)
        size = min(int(request.args.get("page_size") or 10), self.longest_page)
        page: dict[str, Any] = {name: items[start : start + size], "total_size": len(items)}
        if start + size < len(items):
            page["next_page_token"] = str(start + size)
        self.specs_listed += sum("pipeline_spec" in one for one in page[name])
        return self._answer(page, type_name)

    def _answer(self, value: dict[str, Any], type_name: str) -> Response:
        _API.validate(value, type_name)
        return answer(value)

    def _count_enabled(self) -> None:
        enabled = [
            one["display_name"] for one in self.stores["recurringRuns"].values() if one["status"] == "ENABLED"
        ]
        self.most_enabled = max([self.most_enabled, *(enabled.count(name) for name in enabled)])


def _times(trigger: dict[str, Any], begin: datetime) -> Iterator[datetime]:
    if "cron" in trigger:
        return parse_cron(trigger["cron"]).after(begin)
    step = timedelta(seconds=int(trigger["interval_second"]))
    return (begin + step * count for count in itertools.count(1))


def _spec(package: str) -> dict[str, Any]:
    """A package as the server gives it back: a document, or two under their names."""
    documents = list(yaml.safe_load_all(package))
    return (
        documents[0]
        if len(documents) == 1
        else dict(zip(("pipeline_spec", "platform_spec"), documents, strict=True))
    )


def _selected(item: dict[str, Any], request: Request) -> bool:
    if "experiment_id" in request.args and item["experiment_id"] != request.args["experiment_id"]:
        return False
    for predicate in json.loads(request.args.get("filter") or "{}").get("predicates", []):
        value, wanted = item.get(predicate["key"], ""), predicate["stringValue"]
        if not {"EQUALS": value == wanted, "IS_SUBSTRING": wanted in value}[predicate["operation"]]:
            return False
    return True


def upload_problem(status: int, message: str) -> Response:
    """A refusal of an upload: it has keys of its own, and a stack trace."""
    trace = (
        "github.com/kubeflow/pipelines/backend/src/apiserver/server.(*PipelineUploadServer)\n\t/go/src/x.go:1"
    )
    body = json.dumps({"error_message": message, "error_details": f"{message}\n{trace}"})
    return Response(body, status=status, content_type="application/json")


def foreign_issuer(_: Request) -> Response:
    """A fault: the gateway of a full Kubeflow is given the token of a service account."""
    return Response("Jwt issuer is not configured", status=401, content_type="text/plain")


def status(code: int) -> Callable[[Request], Response]:
    """A fault: the server answers with this status."""
    return lambda _: problem(code, "injected")


def truncated(_: Request) -> Response:
    """A fault: the connection breaks off in the middle of the answer."""
    return Response(b'{"run_id": "ru', headers={"Content-Length": "4096"}, content_type="application/json")


def cut_json(_: Request) -> Response:
    """A fault: a proxy passes half of the answer on as if it were whole."""
    return Response(b'{"run_id": "ru', content_type="application/json")


def slow(seconds: float) -> Callable[[Request], Response]:
    """A fault: the answer takes longer than anyone waits."""

    def wait(_: Request) -> Response:
        time.sleep(seconds)
        return answer({})

    return wait


def login_page(_: Request) -> Response:
    """A fault: a proxy answers with its page of login instead of a redirect."""
    return Response("<!doctype html><title>Log in</title>", content_type="text/html")


class Killed(BaseException):
    """Stands for SIGKILL."""


def kill_at(monkeypatch: pytest.MonkeyPatch, number: int, *, carried_out: bool) -> None:
    """Ends the caller at its request of that number, before or after the server carries it out."""
    request, count = Transport.request, 0

    def counted(self: Transport, method: str, url: str, **arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == number and not carried_out:
            raise Killed
        answer = request(self, method, url, **arguments)
        if count == number:
            raise Killed
        return answer

    monkeypatch.setattr(Transport, "request", counted)
