"""Settings of the pods, which differ between sites, added to the compiled pipeline by kfp-kubernetes."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import yaml

from components.errors import UserError
from components.publish.notify import WEBHOOK
from components.train.settings import WORKER_RESOURCES
from pipelines.kubeflow import names
from pipelines.kubeflow.sizes import Sizes

GCS_SECRET_DIRECTORY = "/var/run/secrets/gcs"
_GCS_KEY = "key.json"
_WEBHOOK_KEY = "url"
# Keys of Kubeflow's secret of its own object store, the secret, and what S3's client reads.
_S3_KEYS, _OWN_STORE = ("accesskey", "secretkey"), "mlpipeline-minio-artifact"
_S3_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")

# The label of the step that calls the webhook.
_NOTIFY = "exec-notify"

# Settings that Vertex AI does not have.
_OBJECTS = ("volumes", "gcs_secret", "s3_secret", "webhook_secret", "image_pull_secrets")
_OF_KUBERNETES = (*_OBJECTS, "node_selectors", "tolerations", "labels", "image_pull_policy", "run_as")

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
# The value of `run_as` that leaves out what Kubeflow Pipelines knows since 2.16.
ANY_USER = "any"
_SECURITY_RELEASE = (2, 16)
_USER = re.compile(r"(?P<user>[1-9]\d{0,9})(:(?P<group>\d{1,10}))?")

# Variables that other flags set, and these flags.
_SET_ELSEWHERE = {
    "GOOGLE_APPLICATION_CREDENTIALS": "--gcs-secret",
    **dict.fromkeys(_S3_VARIABLES, "--s3-secret"),
    WEBHOOK: "--webhook-secret",
    WORKER_RESOURCES: "--request workers:…",
}


@dataclass(frozen=True)
class PodSettings:
    """Settings of the pods, as the flags give them. Raises `UserError` if one cannot be read."""

    image: str = ""  # the default of the input `image`, which all steps run on; "" keeps that of the pipeline
    node_selectors: tuple[str, ...] = ()  # "KEY=VALUE": run on nodes with this label only
    tolerations: tuple[str, ...] = ()  # "KEY[=VALUE][:EFFECT]": run on nodes with this taint too
    image_pull_secrets: tuple[str, ...] = ()  # names of the secrets that the image is pulled with
    volumes: tuple[str, ...] = ()  # "CLAIM:PATH": mount this persistent volume claim at this path
    gcs_secret: str = ""  # "SECRET[:KEY]": the secret with the key file of a Google Cloud service account
    s3_secret: str = ""  # "SECRET[:KEY:KEY]": the secret with the access key id and the secret key for s3://
    webhook_secret: str = ""  # "SECRET[:KEY]": likewise, with the URL of the webhook; runs work without it
    requests: tuple[str, ...] = ()  # "STEP:cpu=…,memory=…,limit=…": processors and memory of a step
    accelerators: tuple[str, ...] = ()  # "[STEP=]RESOURCE[:COUNT]": accelerators of a step, else of training
    profile: str = ""  # a name of PROFILES: requests that those above are added to
    envs: tuple[str, ...] = ()  # "NAME=VALUE": an environment variable of every step
    labels: tuple[str, ...] = ()  # "KEY=VALUE": a label of every pod
    image_pull_policy: str = ""  # one of PULL_POLICIES; "" for Kubernetes' own choice
    run_as: str = ""  # "UID[:GID]" of the steps; "" for the image's; ANY_USER may be root
    platform: str = names.KUBEFLOW  # the system that runs the pipeline

    def __post_init__(self) -> None:
        if self.image:
            names.image_name("--image", self.image)
        keys = [_label("--node-selector", text)[0] for text in self.node_selectors]
        _distinct("--node-selector", self.node_selectors, keys)
        _distinct("--volume", self.volumes, [mount["mountPath"] for mount in self.mounts()])
        for name in self.image_pull_secrets:
            names.object_name("--image-pull-secret", name)
        self.pod_spec()
        self.pod_labels()
        if self.gcs_secret and self._gcs()[0] in self.claims():
            raise UserError(
                f"--gcs-secret {self.gcs_secret}: a claim of --volume has that name too, and Kubeflow takes "
                "the two for one; make the secret with another name"
            )
        self.s3_keys()
        self.webhook()
        self.environment()
        if self.image_pull_policy not in ("", *PULL_POLICIES):
            raise UserError(
                f"--image-pull-policy {self.image_pull_policy}: choose one of {', '.join(PULL_POLICIES)}"
            )
        self._user()
        self._sizes()
        if self.platform == names.VERTEX:
            self._check_vertex()

    def _check_vertex(self) -> None:
        """Raises `UserError` for a flag that Vertex AI does not have, and without an image for it to pull."""
        if used := [name for name in _OF_KUBERNETES if getattr(self, name)]:
            repeatable = isinstance(getattr(self, used[0]), tuple)
            flag = (used[0].removesuffix("s") if repeatable else used[0]).replace("_", "-")
            raise UserError(
                f"--{flag}: Vertex AI has no such setting; leave it out, and keep all files in gs://"
            )
        if "/" not in self.image:
            raise UserError(
                "--image: Vertex AI fixes the image in the file; name one that it can pull, as in "
                "europe-docker.pkg.dev/PROJECT/REPOSITORY/twotower:1.0"
            )

    def apply(self, package: str) -> str:
        """Adds these to the compiled pipeline `package`, YAML. Raises `UserError` if it has no such step."""
        if self == PodSettings():
            return package
        of_every_step, of_notify = self._of_every_step(), self._of_notify()
        documents = list(yaml.load_all(package, Loader=yaml.CSafeLoader))
        executors = documents[0]["deploymentSpec"]["executors"]
        platform = documents[1] if len(documents) > 1 else {}
        for label in executors:
            changes = [*of_every_step, *(of_notify if label == _NOTIFY else [])]
            if changes:
                _change(_configs(platform), label, changes)
            if self.run_as == ANY_USER:
                _configs(platform).get(label, {}).pop("securityContext", None)
        if variables := self.environment():
            for container in (executor["container"] for executor in executors.values()):
                others = [one for one in container.get("env", []) if one["name"] not in variables]
                mine = [{"name": name, "value": value} for name, value in variables.items()]
                container["env"] = [*others, *mine]
        self._sizes().apply(executors)
        if self.image:
            documents[0]["root"]["inputDefinitions"]["parameters"]["image"]["defaultValue"] = self.image
        written = [documents[0], platform] if platform else [documents[0]]
        return str(yaml.dump_all(written, Dumper=yaml.CSafeDumper))

    def for_release(self, release: tuple[int, ...] | None) -> "PodSettings":
        """Returns these settings without what a server of that release does not know; None is a new one.

        Raises `UserError` if it cannot do without.
        """
        if release is None or release >= _SECURITY_RELEASE:
            return self
        if self._user():
            raise UserError(f"--run-as {self.run_as}: Kubeflow Pipelines can set it since 2.16; leave it out")
        return replace(self, run_as=ANY_USER)

    def environment(self) -> dict[str, str]:
        """Returns the environment variables of every step."""
        variables = {}
        for text in self.envs:
            name, equals, value = text.partition("=")
            if not equals:
                raise UserError(f"--env {text}: write it as NAME=VALUE")
            if flag := _SET_ELSEWHERE.get(name):
                raise UserError(f"--env {name}: {flag} sets it; give that")
            variables[names.variable("--env", name)] = value
        if self.gcs_secret:
            variables["GOOGLE_APPLICATION_CREDENTIALS"] = f"{GCS_SECRET_DIRECTORY}/{self._gcs()[1]}"
        return variables

    def security_context(self) -> dict[str, Any]:
        """Returns who the steps run as, in the terms of Kubernetes."""
        return {"runAsNonRoot": True, **self._user()} if self.run_as != ANY_USER else {}

    def mounts(self) -> list[dict[str, str]]:
        """Returns the mounts of the claims, in the terms of Kubernetes; a volume is called as its claim."""
        return [_mount(text) for text in self.volumes]

    def pod_labels(self) -> dict[str, str]:
        """Returns the labels of every pod."""
        return dict(_label("--label", text) for text in self.labels)

    def pod_spec(self) -> dict[str, Any]:
        """Returns nodes, pull secrets and claims of every pod, in the terms of Kubernetes."""
        claims = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in self.claims()]
        return {
            "nodeSelector": dict(_label("--node-selector", text) for text in self.node_selectors),
            "tolerations": [_toleration(text) for text in self.tolerations],
            "imagePullSecrets": [{"name": name} for name in self.image_pull_secrets],
            "volumes": claims,
        }

    def secrets(self) -> list[str]:
        """Lists the names of the secrets that pods need to start."""
        gcs, (s3, _) = [self._gcs()[0]] if self.gcs_secret else [], self.s3_keys()
        return [*self.image_pull_secrets, *gcs, *([s3] if s3 else [])]

    def claims(self) -> list[str]:
        """Lists the names of the persistent volume claims."""
        return list(dict.fromkeys(mount["name"] for mount in self.mounts()))

    def s3_keys(self) -> tuple[str, dict[str, str]]:
        """Returns the name of the secret for s3://, or "", and the variables that its keys are put into."""
        if not self.s3_secret:
            return "", {}
        name, *keys = self.s3_secret.split(":")
        if len(keys) not in (0, len(_S3_KEYS)):
            raise UserError(
                "--s3-secret: write it as SECRET or SECRET:KEY:KEY, the names and not the content, as in "
                "s3-key:AWS_ACCESS_KEY_ID:AWS_SECRET_ACCESS_KEY"
            )
        if name == _OWN_STORE and not any(text.startswith("AWS_ENDPOINT_URL") for text in self.envs):
            raise UserError(
                f"--s3-secret {name}: these are keys of Kubeflow's own store, and nothing says where it is; "
                "give --env AWS_ENDPOINT_URL=http://seaweedfs.kubeflow:9000 as well (minio-service.kubeflow "
                "before Kubeflow Pipelines 2.15)"
            )
        keys = [names.secret_key("--s3-secret", key) for key in keys] or [*_S3_KEYS]
        return names.object_name("--s3-secret", name), dict(zip(keys, _S3_VARIABLES, strict=True))

    def webhook(self) -> tuple[str, str]:
        """Returns the name of the secret of the webhook and its key, or two empty strings."""
        if not self.webhook_secret:
            return "", ""
        name, key = _secret("--webhook-secret", self.webhook_secret, _WEBHOOK_KEY)
        return names.object_name("--webhook-secret", name), key

    def _gcs(self) -> tuple[str, str]:
        name, key = _secret("--gcs-secret", self.gcs_secret, _GCS_KEY)
        return names.volume_name("--gcs-secret", name), key

    def _user(self) -> dict[str, int]:
        if self.run_as in ("", ANY_USER):
            return {}
        match = _USER.fullmatch(self.run_as)
        if match is None:
            raise UserError(
                f"--run-as {self.run_as}: write it as UID or UID:GID, numbers and not root's, or {ANY_USER}"
            )
        group = {"runAsGroup": int(match["group"])} if match["group"] else {}
        return {"runAsUser": int(match["user"]), **group}

    def _sizes(self) -> Sizes:
        return Sizes(self.requests, self.accelerators, self.profile, self.platform)

    def _of_every_step(self) -> list[Callable[[Any], Any]]:
        """Returns the calls of kfp-kubernetes for every task."""
        from kfp import kubernetes

        spec = self.pod_spec()
        changes: list[Callable[[Any], Any]] = [
            *(partial(kubernetes.add_toleration, **one) for one in spec["tolerations"]),
            *(
                partial(kubernetes.mount_pvc, pvc_name=one["name"], mount_path=one["mountPath"])
                for one in self.mounts()
            ),
        ]
        for add, labels in (
            (kubernetes.add_node_selector, spec["nodeSelector"]),
            (kubernetes.add_pod_label, self.pod_labels()),
        ):
            changes += [partial(add, label_key=key, label_value=labels[key]) for key in labels]
        if self.image_pull_secrets:
            secrets = list(self.image_pull_secrets)
            changes.append(partial(kubernetes.set_image_pull_secrets, secret_names=secrets))
        if self.image_pull_policy:
            changes.append(partial(kubernetes.set_image_pull_policy, policy=self.image_pull_policy))
        if user := self._user():
            run_as = {"run_as_user": user["runAsUser"], "run_as_group": user.get("runAsGroup")}
            changes.append(partial(kubernetes.set_security_context, **run_as))
        if self.gcs_secret:
            secret, _ = self._gcs()
            changes.append(
                partial(kubernetes.use_secret_as_volume, secret_name=secret, mount_path=GCS_SECRET_DIRECTORY)
            )
        secret, variables = self.s3_keys()
        if secret:
            use = partial(kubernetes.use_secret_as_env, secret_name=secret)
            changes.append(partial(use, secret_key_to_env=variables))
        return changes

    def _of_notify(self) -> list[Callable[[Any], Any]]:
        """Returns the calls of kfp-kubernetes for the step that calls the webhook."""
        from kfp import kubernetes

        secret, key = self.webhook()
        add = partial(kubernetes.use_secret_as_env, optional=True)
        return [partial(add, secret_name=secret, secret_key_to_env={key: WEBHOOK})] if secret else []


def _configs(platform: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings of the executors' pods by their labels."""
    configs = platform
    for key in ("platforms", "kubernetes", "deploymentSpec", "executors"):
        configs = configs.setdefault(key, {})
    return configs


def _change(configs: dict[str, Any], label: str, changes: Sequence[Callable[[Any], Any]]) -> None:
    # kfp-kubernetes changes only this attribute of a task. A compiled pipeline has no task objects.
    task = SimpleNamespace(platform_config={"kubernetes": configs.get(label, {})})
    for change in changes:
        change(task)
    configs[label] = task.platform_config["kubernetes"]


def _label(flag: str, text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not (key and separator):
        raise UserError(f"{flag} {text}: write it as KEY=VALUE")
    check = names.own_label if flag == "--label" else names.label_key
    return check(flag, text, key), names.label_value(flag, text, value)


def _toleration(text: str) -> dict[str, str]:
    rest, colon, effect = text.partition(":")
    key, equals, value = rest.partition("=")
    if not key or (colon and effect not in _EFFECTS):
        raise UserError(
            f"--toleration {text}: write it as KEY, KEY=VALUE or KEY=VALUE:EFFECT with the effect "
            f"{', '.join(_EFFECTS)}"
        )
    names.label_key("--toleration", text, key)
    names.label_value("--toleration", text, value)
    toleration = {"key": key, "operator": "Equal" if equals else "Exists"}
    return toleration | ({"value": value} if equals else {}) | ({"effect": effect} if effect else {})


def _mount(text: str) -> dict[str, str]:
    claim, _, path = text.partition(":")
    mounted = names.mount_path("--volume", text, path)
    return {"name": names.volume_name("--volume", claim), "mountPath": mounted}


def _secret(flag: str, text: str, usual_key: str) -> tuple[str, str]:
    """Splits the name of a secret from its key."""
    name, _, key = text.partition(":")
    return name, names.secret_key(flag, key) if key else usual_key


def _distinct(flag: str, texts: Iterable[str], keys: Iterable[str]) -> None:
    """Raises `UserError` if two of the flag's values are for the same key."""
    seen: dict[str, str] = {}
    for text, key in zip(texts, keys, strict=True):
        if key in seen:
            raise UserError(f"{flag} {text}: {key} is taken by {flag} {seen[key]}; keep one of the two")
        seen[key] = text
