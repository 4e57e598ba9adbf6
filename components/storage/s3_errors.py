"""Errors of S3, and of stores like it, as one line with its cure."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from botocore import exceptions as errors

from components.errors import UserError
from components.storage.storage import NotFoundError

_NO_CREDENTIALS = (
    errors.NoCredentialsError,
    errors.PartialCredentialsError,
    errors.CredentialRetrievalError,
    errors.ProfileNotFound,
    errors.TokenRetrievalError,
    errors.UnauthorizedSSOTokenError,
)
_NO_ANSWER = (
    errors.HTTPClientError,
    errors.ConnectionError,
    errors.ResponseStreamingError,
    errors.IncompleteReadError,
)

_CREDENTIALS = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or run `aws configure`; on Kubeflow, give --s3-secret"
)
# Codes of a refusal (401, 403) that are not about permissions.
_WRONG_CREDENTIALS = (
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "RequestTimeTooSkewed",
)
_FULL = ("Quota", "StorageFull")
_OTHER_REGION = ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException")

# Status of a condition that does not hold, and of one that cannot be judged while others write.
UNMET, CONFLICT = 412, 409


@contextmanager
def one_line(uri: str, bucket: str, needs_object: bool = True, left: Sequence[int] = ()) -> Iterator[None]:
    """Turns errors that the user can cure into a `UserError`.

    `uri` is the object or the prefix of the request. `needs_object` is true if "not found" means the object,
    else it means the bucket. Refusals with a status in `left`, and checksums that differ,
    are left to the caller.
    """
    try:
        yield
    except errors.ClientError as error:
        if status_of(error) in left:
            raise
        raise _refusal(uri, bucket, error, needs_object) from error
    except _NO_CREDENTIALS as error:
        raise UserError(f"no credentials for {uri}: {_CREDENTIALS}") from error
    except errors.SSLError as error:
        raise UserError(
            f"the store of {uri} shows a certificate that is not trusted here: name its authority's file in "
            "AWS_CA_BUNDLE"
        ) from error
    except errors.FlexibleChecksumError:
        raise
    except _NO_ANSWER as error:
        raise _gave_up(uri, error) from error
    except errors.BotoCoreError as error:
        raise UserError(f"{uri} cannot be read or written: {error}; check the URI") from error


def _refusal(uri: str, bucket: str, error: errors.ClientError, needs_object: bool) -> UserError:
    code, status = _code(error), status_of(error)
    message = error.response["Error"].get("Message") or code
    if status == 404 and needs_object and code != "NoSuchBucket":
        return NotFoundError(f"{uri} does not exist; check the URI")
    if status == 404:
        return UserError(
            f"there is no bucket {bucket} for {uri}; check the name and AWS_ENDPOINT_URL, or create it by "
            f"`aws s3 mb s3://{bucket}`"
        )
    if any(part in code for part in _FULL):
        return UserError(
            f"the quota for {uri} is used up ({message}); have it raised, or free some space by "
            "`twotower prune`, and run this step again"
        )
    if code in _WRONG_CREDENTIALS:
        return UserError(f"wrong credentials for {uri} ({message}): {_CREDENTIALS}")
    if status in (401, 403):
        return UserError(
            f"no permission for {uri} ({message}); allow this account s3:GetObject, s3:PutObject and "
            f"s3:DeleteObject on the objects of the bucket {bucket}, and s3:ListBucket on the bucket"
        )
    if code in _OTHER_REGION:
        return UserError(
            f"the bucket {bucket} of {uri} is in another region ({message}); set AWS_DEFAULT_REGION"
        )
    if status in (CONFLICT, 429) or status >= 500 or code == "BadDigest":
        return _gave_up(uri, error)
    return UserError(f"the store refuses {uri}: {message}; check the URI")


def _gave_up(uri: str, error: Exception) -> UserError:
    return UserError(
        f"the store did not serve {uri}, however often it was asked ({error}); check the network and "
        "AWS_ENDPOINT_URL, and run this step again"
    )


def _code(error: errors.ClientError) -> str:
    return str(error.response["Error"].get("Code", ""))


def status_of(error: errors.ClientError) -> int:
    return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
