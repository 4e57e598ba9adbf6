"""Ends of the doctor's pod: statuses as the kubelet writes them."""

import json
from typing import Any

Object = dict[str, Any]


def written(pod: Object, fault: str = "", links: bool = True) -> Object:
    """The pod wrote to each of its volumes; or it could not, with this fault."""
    (container,) = pod["spec"]["containers"]
    found = {
        mount["mountPath"]: {"user": "10001:0", "fault": fault, "links": links}
        for mount in container["volumeMounts"]
    }
    return ended(json.dumps(found), 0)


def ended(message: str, code: int, reason: str = "Completed") -> Object:
    """The container ended."""
    terminated = {"exitCode": code, "reason": reason, "message": message}
    phase = "Failed" if code else "Succeeded"
    return {"phase": phase, "containerStatuses": [{"name": "main", "state": {"terminated": terminated}}]}


def waiting(reason: str, message: str) -> Object:
    """The container does not start."""
    state = {"waiting": {"reason": reason, "message": message}}
    return {"phase": "Pending", "containerStatuses": [{"name": "main", "state": state}]}


def unschedulable(message: str) -> Object:
    """No node takes the pod."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"phase": "Pending", "conditions": [condition]}
