"""Names as Kubernetes and Kubeflow Pipelines take them, checked before anything is sent.

Kubernetes refuses a pod with a wrong name when the run has begun, and Kubeflow tries it again and again. Each
function returns the name; it raises `UserError` with the flag if the name is wrong.
"""

import re
from pathlib import PurePosixPath

from components.errors import UserError

# The systems that run a compiled pipeline.
KUBEFLOW, VERTEX = "kubeflow", "vertex"

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_SECRET_KEY = re.compile(r"[-._A-Za-z0-9]{1,253}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# As an engine reads it: host:port, path, tag, digest.
_IMAGE = re.compile(
    r"(?:(?:[A-Za-z0-9][A-Za-z0-9.-]*)(?::\d+)?/)?"
    r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_PIPELINE_ROOT = re.compile(r"(gs|s3|minio)://[^/?]+(/[^?]*)?(\?.+)?")

_LABEL_LENGTH, _NAME_LENGTH = 63, 253

# Volumes that Kubeflow and Argo put into the pod of a step.
_VOLUMES = re.compile(
    "argoexec-bin|custom-ca|(dot-cache|dot-config|dot-local|gcs|minio|s3)-scratch|kfp-launcher|kfp-workspace|"
    "mlpipeline-minio-artifact|tmp-dir-argo|var-run-argo"
)

# Directories of the system, of Kubeflow, and others: nothing may be mounted at, above or below them.
_SYSTEM = ("/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr")
_SCRATCH = ("/.cache", "/.config", "/.local", "/gcs", "/minio", "/s3")
_PROGRAMS = ("/argo", "/kfp", "/kfp-launcher", "/kfp-workspace", "/opt/twotower")
_CLOSED = (*_SYSTEM, *_SCRATCH, *_PROGRAMS, "/var/run/argo", "/var/run/secrets")
# Directories of the image with files in them: nothing may be mounted at or above them.
_FILLED = ("/opt", "/run", "/tmp", "/var")

# Labels by which Kubeflow and Argo find their pods.
_THEIR_LABELS = ("workflows.argoproj.io/", "pipelines.kubeflow.org/", "pipeline/")
_THEIR_VARIABLES = ("ARGO_", "KFP_", "KUBERNETES_", "METADATA_", "ML_PIPELINE_", "V2_")


def object_name(flag: str, text: str) -> str:
    """Returns the name of a secret or service account: DNS labels with dots between them."""
    if len(text) > _NAME_LENGTH or not all(_DNS_LABEL.fullmatch(part) for part in text.split(".")):
        raise UserError(
            f"{flag} {_shown(text)}: not a Kubernetes name; it has lower-case letters, digits, - and ., "
            f"letters or digits around each ., and {_NAME_LENGTH} characters at most"
        )
    return text


def volume_name(flag: str, text: str) -> str:
    """Returns the name of a claim or secret that is mounted: Kubeflow calls the pod's volume by it."""
    object_name(flag, text)
    if "." in text or len(text) > _LABEL_LENGTH:
        raise UserError(
            f"{flag} {_shown(text)}: Kubeflow names the pod's volume after it, and such a name has no . "
            f"and {_LABEL_LENGTH} characters at most; make one with another name"
        )
    if _VOLUMES.fullmatch(text):
        raise UserError(f"{flag} {text}: Kubeflow has a volume of that name in each pod; make another one")
    return text


def mount_path(flag: str, text: str, path: str) -> str:
    """Returns the path of a mount without superfluous slashes; `text` is the flag's value."""
    if not path.startswith("/") or ":" in path or ".." in PurePosixPath(path).parts:
        raise UserError(f"{flag} {text}: write it as CLAIM:/PATH, the path in the container")
    normal = "/" + "/".join(PurePosixPath(path).parts[1:])
    taken = [one for one in _CLOSED if _within(normal, one) or _within(one, normal)]
    taken += [one for one in _FILLED if _within(one, normal)]
    if taken:
        raise UserError(
            f"{flag} {text}: it would hide {taken[0]}, which the step needs; name another path, like /data"
        )
    return normal


def label_key(flag: str, text: str, key: str) -> str:
    """Returns the key of a label or taint; `text` is the flag's value."""
    prefix, slash, name = key.rpartition("/")
    fits = _QUALIFIED.fullmatch(name) and len(name) <= _LABEL_LENGTH
    if not fits or (slash and not prefix):
        raise UserError(
            f"{flag} {_shown(text)}: {_shown(key) or 'its key'} is not a label's key; write KEY or "
            f"DOMAIN/KEY with letters, digits, -, _ and ., KEY of {_LABEL_LENGTH} characters at most"
        )
    if slash:
        object_name(f"{flag} {_shown(text)}: the domain", prefix)
    return key


def label_value(flag: str, text: str, value: str) -> str:
    """Returns the value of a label or taint, which may be empty; `text` is the flag's value."""
    if value and not (_QUALIFIED.fullmatch(value) and len(value) <= _LABEL_LENGTH):
        raise UserError(
            f"{flag} {_shown(text)}: {_shown(value)} is not a label's value; it has letters, digits, -, "
            f"_ and ., letters or digits at both ends, and {_LABEL_LENGTH} characters at most"
        )
    return value


def own_label(flag: str, text: str, key: str) -> str:
    """Returns the key of a label that the steps' pods shall have."""
    if key.startswith(_THEIR_LABELS):
        raise UserError(f"{flag} {text}: Kubeflow sets the labels {key.partition('/')[0]}/… itself; drop it")
    return label_key(flag, text, key)


def variable(flag: str, name: str) -> str:
    """Returns the name of an environment variable."""
    if not _VARIABLE.fullmatch(name):
        raise UserError(f"{flag} {_shown(name)}: not a variable's name; write NAME=VALUE")
    if name.startswith(_THEIR_VARIABLES):
        raise UserError(f"{flag} {name}: Kubeflow sets such variables itself; drop it")
    return name


def secret_key(flag: str, key: str) -> str:
    """Returns the key of a secret. It is not repeated in the message: it may be the secret itself."""
    if not _SECRET_KEY.fullmatch(key):
        raise UserError(f"{flag}: write it as SECRET:KEY, the names and not the content")
    return key


def image_name(flag: str, text: str) -> str:
    """Returns the name of an image."""
    if not _IMAGE.fullmatch(text):
        raise UserError(
            f"{flag} {_shown(text)}: not the name of an image; write REGISTRY/NAME:TAG, NAME in lower case"
        )
    return text


def namespace_name(flag: str, text: str) -> str:
    """Returns the name of a namespace."""
    if len(text) > _LABEL_LENGTH or not _DNS_LABEL.fullmatch(text):
        raise UserError(
            f"{flag} {_shown(text)}: not a namespace; it has lower-case letters, digits and -, and "
            f"{_LABEL_LENGTH} characters at most"
        )
    return text


def server_name(flag: str, text: str) -> str:
    """Returns the name of a pipeline or experiment: 128 bytes at most."""
    if not text.strip() or not text.isprintable() or len(text.encode()) > 128:
        raise UserError(
            f"{flag} {_shown(text)}: give a name of 1 to 128 characters on one line; the server takes no more"
        )
    return text


def pipeline_root(flag: str, text: str) -> str:
    """Returns the place of the steps' outputs."""
    if not _PIPELINE_ROOT.fullmatch(text):
        raise UserError(f"{flag} {text}: write it as s3://BUCKET/PREFIX, gs://… or minio://…")
    return text


def _within(path: str, parent: str) -> bool:
    return f"{path}/".startswith(f"{parent.rstrip('/')}/")


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:77]}…"
