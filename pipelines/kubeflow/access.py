"""Address and credentials of Kubeflow Pipelines. Secrets come from files and the environment only."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from components.errors import UserError

TOKEN = "TWOTOWER_TOKEN"
COOKIES = "TWOTOWER_COOKIES"

# The variable that the client of KFP reads.
_PAGES_VARIABLE = "KF_PIPELINES_UI_ENDPOINT"

# Kubernetes puts these into a pod that may call Kubeflow Pipelines.
_CLUSTER_HOST = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
_CLUSTER_TOKEN_FILE = "/var/run/secrets/kubeflow/pipelines/token"
_CLUSTER_TOKEN_FILE_VARIABLE = "KF_PIPELINES_SA_TOKEN_PATH"
_IN_CLUSTER_VARIABLE = "KUBERNETES_SERVICE_HOST"


@dataclass(frozen=True)
class Access:
    """Address and credentials of Kubeflow Pipelines."""

    host: str  # URL of the API, or of the UI that forwards to the API
    namespace: str = ""  # the namespace of the user; "" on a server without namespaces
    token_file: str = ""  # with a bearer token; read again for every request, since tokens are rotated
    token: str = field(default="", repr=False)  # bearer token
    cookies: str = field(default="", repr=False)  # the header Cookie, as Dex's login page sets it
    ca_cert: str = ""  # file with the certificates of the authority to trust; "" for the usual ones
    pages: str = ""  # URL of the web pages, where it is not `host`


def access(
    host: str = "",
    namespace: str = "",
    token_file: str = "",
    cookies_file: str = "",
    ca_cert: str = "",
    environment: Mapping[str, str] = os.environ,
) -> Access:
    """Combines flags, environment and pod.

    Of the credentials the first of these is used: `token_file`, the token of the environment, `cookies_file`,
    the cookies of the environment, the service account of the pod. Raises `UserError` if there is no host, or
    a file or a value cannot be used.
    """
    pages = environment.get(_PAGES_VARIABLE, "").rstrip("/")
    found = Access(_host(host, environment), namespace, ca_cert=ca_cert, pages=pages)
    if ca_cert and not Path(ca_cert).is_file():
        raise UserError(f"--ca-cert {ca_cert}: no such file")
    if token_file:
        _read("--token-file", token_file)
        return replace(found, token_file=token_file)
    if environment.get(TOKEN):
        return replace(found, token=_secret(environment[TOKEN], TOKEN))
    if cookies_file:
        return replace(found, cookies=_read("--cookies-file", cookies_file))
    if environment.get(COOKIES):
        return replace(found, cookies=_secret(environment[COOKIES], COOKIES))
    return replace(found, token_file=_cluster_token_file(found.host, environment))


def _host(host: str, environment: Mapping[str, str]) -> str:
    if not host and environment.get(_IN_CLUSTER_VARIABLE):
        return _CLUSTER_HOST
    if not host:
        raise UserError(
            "no host: give --host URL or set TWOTOWER_HOST; http://localhost:8080 after "
            "`kubectl port-forward --namespace kubeflow svc/ml-pipeline-ui 8080:80`"
        )
    url = host if "://" in host else f"https://{host}"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or " " in url:
        raise UserError(f"--host {host}: not a URL; write it like https://kubeflow.example.com/pipeline")
    if parts.username or parts.password:
        raise UserError(
            "--host: a password does not belong in an address; give --token-file or --cookies-file"
        )
    # People copy the address out of the browser, with the page that they are on.
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def _cluster_token_file(host: str, environment: Mapping[str, str]) -> str:
    # The token of the pod is for its own cluster: it is not sent to other hosts.
    name = urlsplit(host).hostname or ""
    path = environment.get(_CLUSTER_TOKEN_FILE_VARIABLE) or _CLUSTER_TOKEN_FILE
    within = ".svc" in name or name.startswith("ml-pipeline")
    return path if within and Path(path).is_file() else ""


def _read(flag: str, path: str) -> str:
    source = f"{flag} {path}"
    try:
        return _secret(Path(path).read_text("utf-8"), source)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{source}: cannot be read ({type(error).__name__}); name another file") from error


def _secret(text: str, source: str) -> str:
    """Checks that `text` fits into an HTTP header; messages name its source, never its value."""
    value = text.strip()
    if not value:
        raise UserError(f"{source}: it is empty; put the token or the cookies into it")
    if not (value.isascii() and value.isprintable()):
        raise UserError(
            f"{source}: it must hold one line of printable ASCII; copy the token or cookies again"
        )
    return value
