"""Connection to Kubeflow Pipelines: KFP's own client with time limits, retries and plain errors."""

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
from urllib.parse import urlsplit

import urllib3
from kfp_server_api.exceptions import ApiException
from kfp_server_api.rest import RESTClientObject
from urllib3 import exceptions

from components.errors import UserError
from pipelines.kubeflow.access import Access

# Seconds to connect, and to wait for data. The client of KFP sets no limits.
_TIME_LIMIT = (5, 10)

# Seconds between the attempts at a GET, and after the first attempt until the last one may begin.
_RETRY_PAUSES = (0.2, 0.5, 1, 2)
_LAST_ATTEMPT = 10.0

_PASSING = {408, 429, 500, 502, 503, 504}
_NO_ANSWER = 0
_LONGEST_MESSAGE = 300


class ApiError(UserError):
    """A request that did not succeed."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status  # of HTTP; 0 without a complete answer: the request may have been carried out

    @property
    def passing(self) -> bool:
        """True if the same request may succeed a little later."""
        return self.status in _PASSING or self.status == _NO_ANSWER


class Transport(RESTClientObject):  # type: ignore[misc]  # kfp_server_api is untyped
    """Sends the requests of the generated client of KFP, and turns errors into one line.

    A GET is repeated for some ten seconds. Other requests are not, since they may have been carried out
    although the answer was lost: see `get_or_create`.
    """

    def __init__(self, configuration: Any, host: str) -> None:
        # `request` repeats. Redirects are not followed: they lead to a login page, or to another host.
        configuration.retries = urllib3.Retry(
            total=None, connect=0, read=0, redirect=0, status=0, other=0, raise_on_redirect=False
        )
        super().__init__(configuration)
        self._host = host  # as the user gave it, for messages

    def request(self, method: str, url: str, **arguments: Any) -> Any:
        """Returns an answer whose body is a JSON object. Raises `ApiError`."""
        started = time.monotonic()
        for pause in _RETRY_PAUSES:
            try:
                return self._request_once(method, url, arguments)
            except ApiError as error:
                late = time.monotonic() - started > _LAST_ATTEMPT
                if method != "GET" or late or not error.passing:
                    raise
            time.sleep(pause)
        return self._request_once(method, url, arguments)

    def _request_once(self, method: str, url: str, arguments: dict[str, Any]) -> Any:
        try:
            response = super().request(method, url, **{**arguments, "_request_timeout": _TIME_LIMIT})
        except (ApiException, exceptions.HTTPError, ValueError) as error:
            # The generated client reports a TLS error as an exception of status 0.
            status = error.status if isinstance(error, ApiException) else _NO_ANSWER
            text = _cause(getattr(error, "reason", None) or error) if status == _NO_ANSWER else _cure(error)
            raise ApiError(f"--host {self._host}: {text}", status) from error
        if _fields(response.data) is not None:
            return response
        if response.data.lstrip().startswith(b"<"):
            raise ApiError(
                f"--host {self._host}: a web page answers, not the API: log in (--token-file or "
                "--cookies-file), or check the address; a full Kubeflow has it at https://HOST/pipeline",
                HTTPStatus.UNAUTHORIZED,
            )
        raise ApiError(f"--host {self._host}: the answer was cut off; try again", _NO_ANSWER)


def _cure(error: ApiException) -> str:
    status, said = error.status, _message(error.body)
    if status == HTTPStatus.UNAUTHORIZED:
        return (
            f"not authenticated (401){said}; give a fresh token or cookie, for example "
            "`kubectl create token default-editor --namespace NAMESPACE --audience pipelines.kubeflow.org "
            "> token` and --token-file token"
        )
    if status == HTTPStatus.FORBIDDEN:
        return f"not allowed (403){said}; check --namespace, and ask for the role kubeflow-edit in it"
    if 300 <= status < 400:
        target = urlsplit((error.headers or {}).get("Location", ""))  # its query may hold a secret
        place = f"{target.scheme}://{target.netloc}{target.path}" if target.netloc else target.path
        return (
            f"it redirects to {place or 'another page'}; if that is a login page, give --token-file or "
            "--cookies-file, else name that address as --host"
        )
    if status in _PASSING:
        return f"the server has a fault ({status}){said}; try again later, or look at the logs of ml-pipeline"
    return f"the server refuses the request ({status}){said}"


def _cause(reason: Any) -> str:
    if isinstance(reason, exceptions.NameResolutionError):
        return "there is no such host; check the name"
    if isinstance(reason, exceptions.SSLError) or "SSLError" in str(reason):
        if "CERTIFICATE" in str(reason):
            return "its certificate is not trusted; name its authority's certificates with --ca-cert"
        return "it does not speak HTTPS; write it with http://, or check the port"
    if isinstance(reason, exceptions.ConnectTimeoutError | exceptions.NewConnectionError):
        return (
            "nothing answers there; check the address, or make it reachable by "
            "`kubectl port-forward --namespace kubeflow svc/ml-pipeline-ui 8080:80`"
        )
    if isinstance(reason, exceptions.ReadTimeoutError):
        return f"no answer within {_TIME_LIMIT[1]} s; try again later"
    if isinstance(reason, exceptions.LocationValueError | ValueError):
        return "not a URL; write it like https://kubeflow.example.com/pipeline"
    return "the connection broke off; try again"


def _message(body: Any) -> str:
    """Returns the message of the server, in parentheses; "" without one."""
    fields = _fields(body.decode("utf-8", "replace") if isinstance(body, bytes) else body or "") or {}
    said = " ".join(str(fields.get("message") or fields.get("error") or "").split())
    return f" ({said[:_LONGEST_MESSAGE]})" if said else ""


def _fields(text: bytes | str) -> dict[str, Any] | None:
    """Parses a JSON object; returns None for any other text."""
    try:
        fields = json.loads(text)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None


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

    def versions(self, pipeline_id: str) -> Iterator[Any]:
        """Lists the versions of a pipeline, newest first."""
        call = self.sdk.pipelines.pipeline_service_list_pipeline_versions
        return pages(call, "pipeline_versions", pipeline_id=pipeline_id, sort_by="created_at desc")

    def runs(self, **arguments: Any) -> Iterator[Any]:
        """Lists the runs that the arguments of the API select, newest first."""
        call, namespace = self.sdk.runs.run_service_list_runs, self.namespace or None
        return pages(call, "runs", namespace=namespace, sort_by="created_at desc", **arguments)

    def recurring_runs(self) -> Iterator[Any]:
        """Lists all schedules of the namespace, newest first."""
        call = self.sdk.recurring_runs.recurring_run_service_list_recurring_runs
        return pages(call, "recurring_runs", namespace=self.namespace or None, sort_by="created_at desc")

    def run_url(self, run_id: str) -> str:
        """Returns the URL of the page of a run."""
        return f"{self.pages}/#/runs/details/{run_id}"

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


def pages(call: Callable[..., Any], field: str, **arguments: Any) -> Iterator[Any]:
    """Yields all items of a list that the API returns page by page."""
    token = ""
    while True:
        page = call(page_token=token, page_size=_PAGE_SIZE, **arguments)
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
