"""The pod that Kubeflow Pipelines makes of a step, and what Kubernetes says of it."""

import re
from collections import Counter
from typing import Any

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")

# Volumes and mounts of the template that every step's pod is made from.
_TEMPLATE = {
    "kfp-launcher": "/kfp-launcher",
    "gcs-scratch": "/gcs",
    "s3-scratch": "/s3",
    "minio-scratch": "/minio",
    "dot-local-scratch": "/.local",
    "dot-cache-scratch": "/.cache",
    "dot-config-scratch": "/.config",
    "custom-ca": "/kfp/certs",
    "var-run-argo": "/var/run/argo",
    "tmp-dir-argo": "/tmp/argo",
    "mlpipeline-minio-artifact": "/argo/secret/mlpipeline-minio-artifact",
    "kube-api-access": "/var/run/secrets/kubernetes.io/serviceaccount",
}

# What the step itself needs: its code, its HOME and the files of KFP's executor.
_OF_THE_IMAGE = ("/tmp", "/opt/twotower", "/usr", "/etc", "/bin", "/lib", "/dev", "/proc", "/sys")

_HARDENED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def step_pod(documents: list[dict[str, Any]], label: str) -> dict[str, Any]:
    """The pod of the executor `label`, as the driver's patch makes it of the template."""
    container = documents[0]["deploymentSpec"]["executors"][label]["container"]
    config = {}
    if len(documents) > 1:
        executors = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        config = executors.get(label, {})
    volumes: dict[str, dict[str, Any]] = {name: {"emptyDir": {}} for name in _TEMPLATE}
    mounts = {path: name for name, path in _TEMPLATE.items()}
    for mount in config.get("pvcMount", []):
        name = mount["constant"]
        # A patch merges volumes of one name, and mounts of one path.
        volumes.setdefault(name, {})["persistentVolumeClaim"] = {"claimName": name}
        mounts[mount["mountPath"]] = name
    for secret in config.get("secretAsVolume", []):
        name = secret["secretName"]
        volumes.setdefault(name, {})["secret"] = {"secretName": name}
        mounts[secret["mountPath"]] = name
    resources = container.get("resources", {})
    limits, requests = {}, {}
    for kind in ("Cpu", "Memory"):
        if limit := resources.get(f"resource{kind}Limit"):
            limits[kind.lower()] = limit
        if request := resources.get(f"resource{kind}Request"):
            requests[kind.lower()] = request
    if accelerator := resources.get("accelerator"):
        limits[accelerator["resourceType"]] = accelerator["resourceCount"]
    environment = [{"name": one["name"], "value": one["value"]} for one in container.get("env", [])]
    environment += [
        {"name": key["envVar"], "valueFrom": {"secretKeyRef": {"name": one["secretName"]}}}
        for one in config.get("secretAsEnv", [])
        for key in one["keyToEnv"]
    ]
    main = {
        "name": "main",
        "image": container["image"],
        "env": environment,
        "resources": {"limits": limits, "requests": requests},
        "volumeMounts": [{"mountPath": path, "name": name} for path, name in mounts.items()],
        "securityContext": {**_HARDENED, **config.get("securityContext", {})},
        **({"imagePullPolicy": config["imagePullPolicy"]} if "imagePullPolicy" in config else {}),
    }
    return {
        "metadata": {"labels": config.get("podMetadata", {}).get("labels", {})},
        "spec": {
            "containers": [main],
            "volumes": [{"name": name, **source} for name, source in volumes.items()],
            "nodeSelector": config.get("nodeSelector", {}).get("labels", {}),
            "tolerations": config.get("tolerations", []),
            "imagePullSecrets": [{"name": one["secretName"]} for one in config.get("imagePullSecret", [])],
        },
    }


def faults(pod: dict[str, Any]) -> list[str]:
    """Why Kubernetes would refuse the pod, or the step in it would not find what it needs."""
    spec = pod["spec"]
    found = []
    for volume in spec["volumes"]:
        name = volume["name"]
        if not _LABEL.fullmatch(name) or len(name) > 63:
            found.append(f"volume {name}: must be a DNS label of 63 characters at most")
        if len(volume) > 2:
            found.append(f"volume {name}: may not specify more than 1 volume type")
    for container in spec["containers"]:
        mounts = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
        found += [f"mount {path}: must be unique" for path, count in Counter(mounts).items() if count > 1]
        found += [f"mount {path}: must not contain ':'" for path in mounts if ":" in path]
        by_path = {mount["mountPath"]: mount["name"] for mount in container.get("volumeMounts", [])}
        for name, path in _TEMPLATE.items():
            if path in by_path and by_path[path] != name:
                found.append(f"mount {path}: hides the volume {name}")
        own = [path for path, name in by_path.items() if name not in _TEMPLATE]
        needed = (*_TEMPLATE.values(), *_OF_THE_IMAGE)
        found += [f"mount {own}: hides {path}" for own in own for path in needed if _within(path, own)]
        names = [variable["name"] for variable in container.get("env", [])]
        found += [f"env {name}: not a name" for name in names if not _ENV_NAME.fullmatch(name)]
        found += [f"env {name}: given twice" for name, count in Counter(names).items() if count > 1]
    for labels in (pod["metadata"].get("labels", {}), spec.get("nodeSelector", {})):
        found += [f"label {key}={value}" for key, value in labels.items() if not _is_label(key, value)]
    for toleration in spec.get("tolerations", []):
        if not _is_label(toleration["key"], toleration.get("value", "")):
            found.append(f"toleration {toleration}")
    found += [
        f"secret {one['name']}" for one in spec.get("imagePullSecrets", []) if not _is_subdomain(one["name"])
    ]
    return found


def restricted(pod: dict[str, Any]) -> list[str]:
    """Faults of the pod's containers by the level `restricted` of Kubernetes' pod security."""
    found = []
    for container in pod["spec"]["containers"]:
        context = {**pod["spec"].get("securityContext", {}), **container.get("securityContext", {})}
        found += [
            rule
            for rule, kept in {
                "runAsNonRoot": context.get("runAsNonRoot") is True,
                "runAsUser": context.get("runAsUser", 1) != 0,
                "allowPrivilegeEscalation": context.get("allowPrivilegeEscalation") is False,
                "capabilities": context.get("capabilities", {}).get("drop") == ["ALL"],
                "seccompProfile": context.get("seccompProfile", {}).get("type") == "RuntimeDefault",
            }.items()
            if not kept
        ]
    return found


def _within(path: str, parent: str) -> bool:
    return f"{path}/".startswith(f"{parent.rstrip('/')}/")


def _is_subdomain(name: str) -> bool:
    return len(name) <= 253 and all(_LABEL.fullmatch(part) for part in name.split("."))


def _is_label(key: str, value: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    fits = bool(_QUALIFIED.fullmatch(name)) and len(name) <= 63 and (not slash or _is_subdomain(prefix))
    return fits and (not value or (bool(_QUALIFIED.fullmatch(value)) and len(value) <= 63))
