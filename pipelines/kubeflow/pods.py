"""Settings of the pods, which differ between sites, added to the compiled pipeline by kfp-kubernetes."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import yaml

from components.errors import UserError

GCS_SECRET_DIRECTORY = "/var/run/secrets/gcs"
_GCS_KEY = "key.json"
_WEBHOOK_KEY = "url"

# The labels of the step that calls the webhook, and of the step that uses accelerators.
_NOTIFY = "exec-notify"
_TRAIN = "exec-train"

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_SECRET_KEY = re.compile(r"[A-Za-z0-9._-]+")
_ACCELERATOR = re.compile(r"(?P<type>[a-z0-9.-]+/[a-z0-9.-]+)(:(?P<count>[1-9]\d*))?")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")


@dataclass(frozen=True)
class PodSettings:
    """Settings of the pods, as the flags give them."""

    image: str = ""  # the default of the input `image`, which all steps run on; "" keeps that of the pipeline
    node_selectors: tuple[str, ...] = ()  # "KEY=VALUE": run on nodes with this label only
    tolerations: tuple[str, ...] = ()  # "KEY[=VALUE][:EFFECT]": run on nodes with this taint too
    image_pull_secrets: tuple[str, ...] = ()  # names of the secrets that the image is pulled with
    volumes: tuple[str, ...] = ()  # "CLAIM:PATH": mount this persistent volume claim at this path
    gcs_secret: str = ""  # "SECRET[:KEY]": the secret with the key file of a Google Cloud service account
    webhook_secret: str = ""  # "SECRET[:KEY]": likewise, with the URL of the webhook; runs work without it
    accelerator: str = ""  # "RESOURCE[:COUNT]": the accelerators that the training step requests

    def apply(self, package: str) -> str:
        """Adds these to the compiled pipeline `package`, YAML. Raises `UserError` if one cannot be read."""
        if self == PodSettings():
            return package
        of_every_step, of_notify = self._of_every_step(), self._of_notify()
        documents = list(yaml.load_all(package, Loader=yaml.CSafeLoader))
        executors = documents[0]["deploymentSpec"]["executors"]
        platform = documents[1] if len(documents) > 1 else {}
        for label in executors:
            changes = [*of_every_step, *(of_notify if label == _NOTIFY else [])]
            if changes:
                _change(platform, label, changes)
        if self.gcs_secret:
            key_file = f"{GCS_SECRET_DIRECTORY}/{self._gcs()[1]}"
            for executor in executors.values():
                variable = {"name": "GOOGLE_APPLICATION_CREDENTIALS", "value": key_file}
                executor["container"].setdefault("env", []).append(variable)
        if self.accelerator:
            executors[_TRAIN]["container"]["resources"]["accelerator"] = _accelerator(self.accelerator)
        if self.image:
            documents[0]["root"]["inputDefinitions"]["parameters"]["image"]["defaultValue"] = self.image
        written = [documents[0], platform] if platform else [documents[0]]
        return str(yaml.dump_all(written, Dumper=yaml.CSafeDumper))

    def secrets(self) -> list[str]:
        """Lists the names of the secrets that pods need to start."""
        return [*self.image_pull_secrets, *([self._gcs()[0]] if self.gcs_secret else [])]

    def claims(self) -> list[str]:
        """Lists the names of the persistent volume claims."""
        return [_volume(text)["pvc_name"] for text in self.volumes]

    def webhook(self) -> tuple[str, str]:
        """Returns the name of the secret of the webhook and its key, or two empty strings."""
        if not self.webhook_secret:
            return "", ""
        return _secret("--webhook-secret", self.webhook_secret, _WEBHOOK_KEY)

    def _gcs(self) -> tuple[str, str]:
        return _secret("--gcs-secret", self.gcs_secret, _GCS_KEY)

    def _of_every_step(self) -> list[Callable[[Any], Any]]:
        """Returns the calls of kfp-kubernetes for every task."""
        from kfp import kubernetes

        names = [_kubernetes_name("--image-pull-secret", name) for name in self.image_pull_secrets]
        changes: list[Callable[[Any], Any]] = [
            *(partial(kubernetes.add_node_selector, **_label(text)) for text in self.node_selectors),
            *(partial(kubernetes.add_toleration, **_toleration(text)) for text in self.tolerations),
            *(partial(kubernetes.mount_pvc, **_volume(text)) for text in self.volumes),
        ]
        if names:
            changes.append(partial(kubernetes.set_image_pull_secrets, secret_names=names))
        if self.gcs_secret:
            secret, _ = self._gcs()
            changes.append(
                partial(kubernetes.use_secret_as_volume, secret_name=secret, mount_path=GCS_SECRET_DIRECTORY)
            )
        return changes

    def _of_notify(self) -> list[Callable[[Any], Any]]:
        """Returns the calls of kfp-kubernetes for the step that calls the webhook."""
        from kfp import kubernetes

        from components.publish.notify import WEBHOOK

        secret, key = self.webhook()
        add = partial(kubernetes.use_secret_as_env, optional=True)
        return [partial(add, secret_name=secret, secret_key_to_env={key: WEBHOOK})] if secret else []


def _change(platform: dict[str, Any], label: str, changes: Sequence[Callable[[Any], Any]]) -> None:
    configs = platform
    for key in ("platforms", "kubernetes", "deploymentSpec", "executors"):
        configs = configs.setdefault(key, {})
    # kfp-kubernetes changes only this attribute of a task. A compiled pipeline has no task objects.
    task = SimpleNamespace(platform_config={"kubernetes": configs.get(label, {})})
    for change in changes:
        change(task)
    configs[label] = task.platform_config["kubernetes"]


def _label(text: str) -> dict[str, str]:
    key, separator, value = text.partition("=")
    if not (key and separator):
        raise UserError(f"--node-selector {text}: write it as KEY=VALUE")
    return {"label_key": key, "label_value": value}


def _toleration(text: str) -> dict[str, str]:
    rest, colon, effect = text.partition(":")
    key, equals, value = rest.partition("=")
    if not key or (colon and effect not in _EFFECTS):
        raise UserError(
            f"--toleration {text}: write it as KEY, KEY=VALUE or KEY=VALUE:EFFECT with the effect "
            f"{', '.join(_EFFECTS)}"
        )
    toleration = {"key": key, "operator": "Equal" if equals else "Exists"}
    return toleration | ({"value": value} if equals else {}) | ({"effect": effect} if effect else {})


def _accelerator(text: str) -> dict[str, str]:
    match = _ACCELERATOR.fullmatch(text)
    if match is None:
        raise UserError(
            f"--accelerator {text}: write it as RESOURCE or RESOURCE:COUNT, e.g. nvidia.com/gpu:1"
        )
    kind, count = match["type"], match["count"] or "1"
    # The names of current servers, and those of servers before 2.4.
    return {"resourceType": kind, "resourceCount": count, "type": kind, "count": count}


def _volume(text: str) -> dict[str, str]:
    claim, _, path = text.partition(":")
    if not path.startswith("/") or path == "/":
        raise UserError(f"--volume {text}: write it as CLAIM:/PATH, the path in the container")
    return {"pvc_name": _kubernetes_name("--volume", claim), "mount_path": path}


def _secret(flag: str, text: str, usual_key: str) -> tuple[str, str]:
    """Parses the name of a secret and its key."""
    name, _, key = text.partition(":")
    if key and not _SECRET_KEY.fullmatch(key):  # not repeated in the message: it may be the secret itself
        raise UserError(f"{flag}: write it as SECRET:KEY, the names and not the content")
    return _kubernetes_name(flag, name), key or usual_key


def _kubernetes_name(flag: str, text: str) -> str:
    if not _NAME.fullmatch(text):
        raise UserError(f"{flag} {text}: not a Kubernetes name; it has lower-case letters, digits, - and .")
    return text
