"""Requests to Kubeflow Pipelines: time limits, retries, and errors as one line with a cure."""

import json
import re
import time
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import urllib3
from kfp_server_api.exceptions import ApiException
from kfp_server_api.rest import RESTClientObject
from urllib3 import exceptions

from components.errors import UserError

# Seconds to connect, and to wait for data. The client of KFP sets no limits.
_TIME_LIMIT = (5, 10)

# Seconds between the attempts at a GET, and after the first attempt until the last one may begin.
_RETRY_PAUSES = (0.2, 0.5, 1, 2)
_LAST_ATTEMPT = 10.0

_PASSING = {408, 429, 500, 502, 503, 504}
_NO_ANSWER = 0

# What the gateway of a full Kubeflow lets through, and how to do without it.
_WAY_IN = (
    "in a full Kubeflow reach the API itself by "
    "`kubectl port-forward -n kubeflow svc/ml-pipeline 8888:8888`, --host http://localhost:8888 and a token "
    "(`kubectl create token default-editor -n NAMESPACE --audience pipelines.kubeflow.org > token`, "
    "--token-file token), or give the gateway your browser's cookie oauth2_proxy_kubeflow with --cookies-file"
)

# What the server answers to an upload without the right to it, as to some other faults.
_UPLOAD_REFUSED = re.compile(r"Failed to create a pipeline( version)?")


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
                f"--host {self._host}: a web page answers, not the API; check the address (a full Kubeflow "
                f"has it at https://HOST/pipeline), or log in: {_WAY_IN}",
                HTTPStatus.UNAUTHORIZED,
            )
        raise ApiError(f"--host {self._host}: the answer was cut off; try again", _NO_ANSWER)


def _cure(error: ApiException) -> str:
    status, said = error.status, _message(error.body)
    answer = f"({status}){f' ({said})' if said else ''}"
    if status == HTTPStatus.UNAUTHORIZED:
        return f"not authenticated {answer}; make a new token if this one has expired; {_WAY_IN}"
    if status == HTTPStatus.FORBIDDEN:
        return f"not allowed {answer}; check --namespace, and ask for the role kubeflow-edit in it"
    if 300 <= status < 400:
        target = urlsplit((error.headers or {}).get("Location", ""))  # its query may hold a secret
        place = f"{target.scheme}://{target.netloc}{target.path}" if target.netloc else target.path
        return (
            f"it redirects to {place or 'another page'}; if that is no login page, name that address as "
            f"--host; else {_WAY_IN}"
        )
    if status in _PASSING:
        return f"the server has a fault {answer}; try again later, or look at the logs of ml-pipeline"
    if status == HTTPStatus.BAD_REQUEST and _UPLOAD_REFUSED.fullmatch(said):
        return (
            f"the server refuses the upload {answer}, as it does without the right to it: check --namespace, "
            "ask for the role kubeflow-edit in it, or look at the logs of ml-pipeline"
        )
    return f"the server refuses the request {answer}"


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
    """Returns what the server says, in one line; "" if that is nothing, or a web page."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    fields = _fields(text)
    if fields is None:
        said = "" if text.lstrip().startswith("<") else text
    else:
        said = str(fields.get("message") or fields.get("error") or fields.get("error_message") or "")
        details = str(fields.get("error_details") or "")  # of uploads; often the same with a stack trace
        said += f": {details}" if details and not details.startswith(said) else ""
    return " ".join(said.split())


def _fields(text: bytes | str) -> dict[str, Any] | None:
    """Parses a JSON object; returns None for any other text."""
    try:
        fields = json.loads(text)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None
