"""What Google Cloud Storage refuses, as one line with its cure."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from google.api_core import exceptions as api_errors
from google.auth.exceptions import GoogleAuthError, TransportError
from google.cloud.storage.exceptions import DataCorruption
from requests import RequestException

from components.errors import UserError
from components.storage.storage import CorruptError, NotFoundError

# Which refusals (403) are no matter of permission.
_QUOTA_REASONS = ("quotaExceeded", "rateLimitExceeded", "userRateLimitExceeded", "dailyLimitExceeded")
_TOO_MANY_REQUESTS = 429


@contextmanager
def one_line(uri: str, bucket: str, deadline_seconds: float, needs_object: bool = True) -> Iterator[None]:
    """Turns what the user can mend into a `UserError`; a failed precondition is the caller's to deal with.

    Args:
      uri: what the block is about.
      bucket: the bucket's name.
      deadline_seconds: for how long a request is tried again.
      needs_object: whether it is the object that is missing if something is; else it is the bucket.
    """
    try:
        yield
    except api_errors.NotFound as error:
        if needs_object:
            raise NotFoundError(f"{uri} does not exist; check the URI") from error
        raise UserError(
            f"there is no bucket {bucket} for {uri}; check the name, or create it by "
            f"`gcloud storage buckets create gs://{bucket}`"
        ) from error
    except (api_errors.Forbidden, api_errors.Unauthorized) as error:
        raise _refusal(uri, bucket, error) from error
    except api_errors.PreconditionFailed:
        raise
    except DataCorruption as error:
        raise CorruptError(f"{uri} is corrupt: its bytes do not have its checksum; store it again") from error
    except (api_errors.RetryError, TransportError, RequestException) as error:
        raise _gave_up(uri, deadline_seconds, error) from error
    except GoogleAuthError as error:
        raise UserError(
            f"no credentials for {uri}: run `gcloud auth application-default login`, or set "
            "GOOGLE_APPLICATION_CREDENTIALS to a service account's key file"
        ) from error
    except api_errors.GoogleAPIError as error:
        raise UserError(f"Google Cloud Storage refuses {uri}: {error}; check the URI") from error


def _refusal(uri: str, bucket: str, error: api_errors.GoogleAPICallError) -> UserError:
    detail = _detail(error)
    said = detail.get("message", "")
    if detail.get("reason") in _QUOTA_REASONS:
        return _quota(uri, said)
    return UserError(
        f"no permission for {uri} ({said or error.code}); grant this account roles/storage.objectAdmin on "
        f"the bucket {bucket}"
    )


def _gave_up(uri: str, deadline_seconds: float, error: Exception) -> UserError:
    last = getattr(error, "cause", None)
    if _status(last) == _TOO_MANY_REQUESTS:
        return _quota(uri, _detail(last).get("message", ""))
    return UserError(
        f"Google Cloud Storage did not serve {uri} within {deadline_seconds:g} s ({error}); "
        "check the network and run this step again"
    )


def _quota(uri: str, said: str) -> UserError:
    return UserError(
        f"the quota for {uri} is used up ({said}); have it raised, or free some space by `twotower prune`, "
        "and run this step again"
    )


def _status(error: Any) -> int | None:
    """The HTTP status behind an exception of any of the library's layers."""
    status = getattr(error, "code", None) or getattr(getattr(error, "response", None), "status_code", None)
    return int(status) if status else None


def _detail(error: Any) -> dict[str, str]:
    """The service's own "reason" and "message"; empty where the answer holds none."""
    try:
        body = error.response.json()["error"]
        return {"message": body["message"], **body["errors"][0]}
    except (AttributeError, ValueError, KeyError, IndexError, TypeError):
        return {}
