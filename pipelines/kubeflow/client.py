"""Connection to Kubeflow Pipelines: KFP's own client, and its lists filtered by the server."""

import contextlib
import json
import re
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

from components.errors import UserError
from pipelines.kubeflow.access import Access
from pipelines.kubeflow.cluster import KUBEFLOW_NAMESPACE
from pipelines.kubeflow.transport import ApiError, Transport

T = TypeVar("T")

_POD_NAMESPACE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
_PAGE_SIZE = 100
_PAUSES = (0.5, 1, 2)

# The first release of the server that knows all that the package has: optional secrets, and the final status
# of the run as an input of the last step. Servers before it leave them out silently, or fail the run.
_LEAST_RELEASE = (2, 15)
_RELEASE = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")

# States of runs that have ended.
FINISHED = {"SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"}

CANCELING = "CANCELING"

# The same in words of this project.
CANCELLED, FAILED = "cancelled", "failed"


@dataclass(frozen=True)
class Kubeflow:
    """Connection to a server of Kubeflow Pipelines."""

    # `kfp.Client`; its `runs`, `pipelines`, … and `pipeline_uploads` hold the generated calls of API v2beta1.
    sdk: Any
    host: str  # URL of the API
    pages: str  # URL of the web pages
    namespace: str  # the namespace of the user; "" on a server for one user
    tag: str = ""  # the release as the server names it; "unknown" if it was built from source

    @property
    def release(self) -> tuple[int, ...] | None:
        """Release of the server as three numbers; None where it names none."""
        match = _RELEASE.match(self.tag)
        return tuple(map(int, match.groups())) if match else None

    def check_release(self) -> None:
        """Raises `UserError` if the server is too old to run the pipeline."""
        if self.release is not None and self.release < _LEAST_RELEASE:
            least = ".".join(map(str, _LEAST_RELEASE))
            raise UserError(
                f"--host {self.host}: Kubeflow Pipelines {self.tag} is too old to run this pipeline; upgrade "
                f"it to {least} or later"
            )

    def experiment(self, name: str) -> Any | None:
        """Finds the experiment called `name`."""
        return self._named("experiments", name, self.sdk.experiments.experiment_service_list_experiments)

    def pipeline(self, name: str) -> Any | None:
        """Finds the pipeline called `name`, in the namespace where the server has namespaces."""
        return self._named("pipelines", name, self.sdk.pipelines.pipeline_service_list_pipelines)

    def run_named(self, name: str, experiment_id: str) -> Any | None:
        """Finds the run called `name` of an experiment."""
        runs = self.runs(experiment_id=experiment_id, filter=where("display_name", "EQUALS", name))
        return next(runs, None)

    def newest_version(self, pipeline_id: str) -> Any | None:
        """Finds the version of a pipeline that was uploaded last."""
        return next(self.versions(pipeline_id), None)

    def version_named(self, pipeline_id: str, name: str) -> Any | None:
        """Finds the version of a pipeline called `name`."""
        return next(self.versions(pipeline_id, filter=where("display_name", "EQUALS", name)), None)

    def versions(self, pipeline_id: str, **arguments: Any) -> Iterator[Any]:
        """Lists the versions of a pipeline that the arguments of the API select, newest first."""
        call = self.sdk.pipelines.pipeline_service_list_pipeline_versions
        arguments = {**arguments, "pipeline_id": pipeline_id, "sort_by": "created_at desc"}
        # One a page: each comes with its whole package, some 100 KB.
        return pages(call, "pipeline_versions", size=1, **arguments)

    def runs(self, **arguments: Any) -> Iterator[Any]:
        """Lists the runs that the arguments of the API select, newest first."""
        call, namespace = self.sdk.runs.run_service_list_runs, self.namespace or None
        return pages(call, "runs", namespace=namespace, sort_by="created_at desc", **arguments)

    def recurring_runs(self, **arguments: Any) -> Iterator[Any]:
        """Lists the schedules that the arguments of the API select, newest first."""
        call, namespace = self.sdk.recurring_runs.recurring_run_service_list_recurring_runs, self.namespace
        return pages(
            call, "recurring_runs", namespace=namespace or None, sort_by="created_at desc", **arguments
        )

    @property
    def pods_namespace(self) -> str:
        """The namespace in which the pods of runs are."""
        return self.namespace or KUBEFLOW_NAMESPACE

    def run_url(self, run_id: str) -> str:
        """Returns the URL of the page of a run, in a full Kubeflow within its dashboard."""
        place = f"#/runs/details/{run_id}"
        dashboard, found, rest = self.pages.rpartition("/pipeline")
        if self.namespace and found and not rest:
            return f"{dashboard.removesuffix('/_')}/_/pipeline/?ns={self.namespace}{place}"
        return f"{self.pages}/{place}"

    def _named(self, field: str, name: str, call: Callable[..., Any]) -> Any | None:
        filter = where("display_name", "EQUALS", name)
        return next(pages(call, field, namespace=self.namespace or None, filter=filter), None)


def connect(access: Access) -> Kubeflow:
    """Connects to Kubeflow Pipelines 2. Raises `UserError` if none answers, or a namespace is needed."""
    sdk = _sdk(access)
    try:
        health = _health(sdk, "v2beta1")
    except ApiError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        cause = "no Kubeflow Pipelines there (404); a full Kubeflow has it at https://HOST/pipeline"
        with contextlib.suppress(ApiError):
            cause = (
                f"Kubeflow Pipelines {_tag(_health(sdk, 'v1beta1'))} has no API v2beta1; upgrade it to "
                f"{'.'.join(map(str, _LEAST_RELEASE))} or later"
            )
        raise UserError(f"--host {access.host}: {cause}") from error
    namespace = _namespace(access, bool(health.get("multi_user")))
    return Kubeflow(sdk, access.host, access.pages or access.host, namespace, _tag(health))


def _health(sdk: Any, version: str) -> dict[str, Any]:
    """Returns what the server says of itself; the generated call drops the release."""
    answer, _, _ = sdk.healthzs.api_client.call_api(
        f"/apis/{version}/healthz",
        "GET",
        header_params={"Accept": "application/json"},
        response_type="object",
        auth_settings=["Bearer"],
    )
    return dict(answer)


def _tag(health: dict[str, Any]) -> str:
    # The server of the web pages answers this request itself, with names of its own.
    return str(health.get("tag_name") or health.get("apiServerTagName") or "unknown")


def pages(call: Callable[..., Any], field: str, *, size: int = _PAGE_SIZE, **arguments: Any) -> Iterator[Any]:
    """Yields all items of a list that the API returns in pages of at most `size` items."""
    token = ""
    while True:
        page = call(page_token=token, page_size=size, **arguments)
        yield from getattr(page, field) or []
        token = page.next_page_token
        if not token:
            return


def where(key: str, operation: str, value: str) -> str:
    """Encodes a filter of a list of the API."""
    return json.dumps({"predicates": [{"operation": operation, "key": key, "stringValue": value}]})


def get_or_create(find: Callable[[], T | None], create: Callable[[], T]) -> T:
    """Returns the result of `find`, or else of `create`: creates once, even if an answer is lost."""
    found = find()
    for pause in _PAUSES:
        if found is not None:
            return found
        try:
            return create()
        except ApiError as error:
            if not error.passing and error.status != HTTPStatus.CONFLICT:
                raise
        time.sleep(pause)
        found = find()
    return found if found is not None else create()


def repeat(call: Callable[[], Any]) -> None:
    """Makes an idempotent call, and repeats it after a failure that may be temporary."""
    for pause in _PAUSES:
        try:
            call()
            return
        except ApiError as error:
            if not error.passing:
                raise
        time.sleep(pause)
    call()


def _sdk(access: Access) -> Any:
    from kfp.client import Client, ServiceAccountTokenVolumeCredentials

    credentials = ServiceAccountTokenVolumeCredentials(access.token_file) if access.token_file else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        sdk = Client(
            host=access.host,
            # Every call names the namespace. Without this argument the constructor of the client would ask
            # the server for one, without a time limit.
            namespace="unused",
            existing_token=access.token or None,
            cookies=access.cookies,
            credentials=credentials,
            ssl_ca_cert=access.ca_cert or None,
        )
    api_client = sdk.runs.api_client  # shared by all of them
    api_client.rest_client = Transport(api_client.configuration, access.host)
    return sdk


def _namespace(access: Access, multi_user: bool) -> str:
    if not multi_user:
        return ""
    if access.namespace:
        return access.namespace
    pod = Path(_POD_NAMESPACE)
    if pod.is_file():
        return pod.read_text("utf-8").strip()
    raise UserError(
        f"--host {access.host}: the server is shared by several users; give your --namespace, "
        "or set TWOTOWER_NAMESPACE"
    )


def state_of(run: Any) -> str:
    """Returns the state of a run as a word of this project: "running", "succeeded", "cancelled", ….

    A server never sets CANCELED: a cancelled run ends FAILED. Its history has CANCELING after its last start.
    """
    state = str(run.state or "PENDING")
    if state == "CANCELED" or (state == "FAILED" and _was_cancelled(run)):
        return CANCELLED
    return {CANCELING: "being cancelled"}.get(state, state.lower())


def _was_cancelled(run: Any) -> bool:
    for past in reversed(run.state_history or []):
        if past.state == CANCELING:
            return True
        if past.state in ("PENDING", "RUNNING"):  # since a retry
            return False
    return False
