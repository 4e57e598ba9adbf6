"""Whether an image is in its registry, by the registries' common HTTP API, without credentials."""

import json
import re
from typing import NamedTuple

import urllib3

_TIMEOUT = urllib3.Timeout(connect=5, read=10)
_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_DOCKER_HUB = "registry-1.docker.io"


class Image(NamedTuple):
    """An image's name in parts; `reference` is a tag or a digest."""

    registry: str
    repository: str
    reference: str


def parse_image(name: str) -> Image:
    """The parts of an image's name, as a container engine fills them in."""
    head, slash, rest = name.partition("/")
    named = bool(slash) and ("." in head or ":" in head or head == "localhost")
    registry, path = (head, rest) if named else (_DOCKER_HUB, name)
    repository, at, digest = path.partition("@")
    repository, _, tag = repository.partition(":")
    if registry == _DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    return Image(registry, repository, digest if at else tag or "latest")


def is_there(name: str) -> bool | None:
    """Whether the registry has the image; None if it does not say so to strangers.

    Raises:
      urllib3.exceptions.HTTPError: if the registry cannot be reached from here.
    """
    image = parse_image(name)
    scheme = "http" if image.registry.partition(":")[0] in ("localhost", "127.0.0.1") else "https"
    url = f"{scheme}://{image.registry}/v2/{image.repository}/manifests/{image.reference}"
    with urllib3.PoolManager(timeout=_TIMEOUT, retries=1) as http:
        headers = {"Accept": _MANIFESTS}
        response = http.request("HEAD", url, headers=headers)
        if response.status == 401:
            token = _token(http, response.headers.get("WWW-Authenticate", ""))
            response = http.request("HEAD", url, headers={**headers, "Authorization": f"Bearer {token}"})
    return {200: True, 404: False}.get(response.status)


def _token(http: urllib3.PoolManager, challenge: str) -> str:
    """The token that a registry gives to anyone who wants to read; "" if it gives none."""
    fields = dict(_CHALLENGE.findall(challenge))
    realm = fields.pop("realm", "")
    if not realm.startswith(("https://", "http://localhost", "http://127.0.0.1")):
        return ""
    response = http.request("GET", realm, fields=fields)
    try:
        answer = json.loads(response.data)
    except ValueError:
        return ""
    return str(answer.get("token") or answer.get("access_token") or "") if isinstance(answer, dict) else ""
