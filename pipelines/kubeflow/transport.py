"""What every request to Kubeflow Pipelines goes through: time limits, retries, plain errors."""

import json
import time
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import urllib3
from kfp_server_api.exceptions import ApiException
from kfp_server_api.rest import RESTClientObject
from urllib3 import exceptions

from components.errors import UserError

# Seconds to connect, and to wait for more of an answer. KFP's client sets neither.
_TIME_LIMIT = (5, 10)

# Seconds between the attempts at a GET; none begins later than so many seconds after the first.
_PAUSES = (0.2, 0.5, 1, 2)
_LAST_ATTEMPT = 10.0

_PASSING = {408, 429, 500, 502, 503, 504}
_NO_ANSWER = 0
_LONGEST_MESSAGE = 300


class ApiError(UserError):
    """A request that did not succeed.

    Attributes:
      status: HTTP's, or 0 if no whole answer came: it is not known then whether the request was carried out.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self.status in _PASSING or self.status == _NO_ANSWER


class Transport(RESTClientObject):  # type: ignore[misc]  # kfp_server_api is untyped
    """Sends requests for KFP's generated client, and says in one line what went wrong.

    A GET is tried again for some ten seconds. Nothing else is, since its answer may be lost after it was
    carried out: see `create_once`.

    Args:
      configuration: the generated client's.
      host: as the user gave it, for messages.
    """

    def __init__(self, configuration: Any, host: str) -> None:
        # Retries are made here. A redirect is never an answer: it leads to a login page, or to another host.
        configuration.retries = urllib3.Retry(
            total=None, connect=0, read=0, redirect=0, status=0, other=0, raise_on_redirect=False
        )
        super().__init__(configuration)
        self._host = host

    def request(self, method: str, url: str, **arguments: Any) -> Any:
        """An answer whose body is a JSON object. Raises `ApiError`."""
        started = time.monotonic()
        for pause in _PAUSES:
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
        except ApiException as error:
            raise self._refusal(error) from error
        except (exceptions.HTTPError, ValueError) as error:
            raise self._no_answer(error) from error
        if not _is_json_object(response.data):
            raise self._not_json(response.data)
        return response

    def _refusal(self, error: ApiException) -> ApiError:
        if error.status == _NO_ANSWER:  # what the generated client makes of a TLS error
            return self._no_answer(error)
        said = _message(error.body)
        said = f" ({said})" if said else ""
        location = (error.headers or {}).get("Location", "")
        return ApiError(f"--host {self._host}: {_cure(error.status, said, location)}", error.status)

    def _no_answer(self, error: Exception) -> ApiError:
        reason = getattr(error, "reason", None) or error
        return ApiError(f"--host {self._host}: {_cause(reason)}", _NO_ANSWER)

    def _not_json(self, data: bytes) -> ApiError:
        if data.lstrip().startswith(b"<"):
            return ApiError(
                f"--host {self._host}: a web page answers, not the API: log in (--token-file or "
                "--cookies-file), or check the address; a full Kubeflow has it at https://HOST/pipeline",
                HTTPStatus.UNAUTHORIZED,
            )
        return ApiError(f"--host {self._host}: the answer was cut off; try again", _NO_ANSWER)


def _cure(status: int, said: str, location: str) -> str:
    if status == HTTPStatus.UNAUTHORIZED:
        return (
            f"not authenticated (401){said}; give a fresh token or cookie, for example "
            "`kubectl create token default-editor --namespace NAMESPACE --audience pipelines.kubeflow.org "
            "> token` and --token-file token"
        )
    if status == HTTPStatus.FORBIDDEN:
        return f"not allowed (403){said}; check --namespace, and ask for the role kubeflow-edit in it"
    if 300 <= status < 400:
        target = urlsplit(location)  # its query may hold a secret
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
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body or ""
    try:
        fields = json.loads(text)
    except ValueError:
        return ""
    said = fields.get("message") or fields.get("error") if isinstance(fields, dict) else ""
    return " ".join(str(said or "").split())[:_LONGEST_MESSAGE]


def _is_json_object(data: bytes) -> bool:
    try:
        return isinstance(json.loads(data), dict)
    except ValueError:
        return False
