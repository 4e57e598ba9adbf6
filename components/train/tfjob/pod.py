"""The pod that the step `train` runs in, when it is about to start others."""

import hashlib
import os
import posixpath
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from components.errors import UserError
from components.storage import is_remote
from components.train.tfjob.api import Api
from components.train.tfjob.manifest import step_container

_WORKFLOW = "workflows.argoproj.io/workflow"
_MODE = "ReadWriteMany"


@dataclass(frozen=True)
class OwnPod:
    """This pod, and the API that it reaches.

    Attributes:
      manifest: as the API gives it.
    """

    api: Api
    manifest: dict[str, Any]

    @classmethod
    def find(cls, workers: int) -> "OwnPod":
        """Raises `UserError` if this process runs in no pod, or may not look at it."""
        api = Api.of_this_pod()
        if api is None:
            raise UserError(
                f"--workers {workers} needs a cluster with Kubeflow's training operator, and this is no pod "
                "of one; use `twotower submit`, or leave it out: one process uses all GPUs of its machine"
            )
        # HOSTNAME is cut off after 63 characters.
        name = os.environ.get("KFP_POD_NAME") or os.environ.get("HOSTNAME", "")
        return cls(api, api.pod(name))

    @property
    def job_name(self) -> str:
        """The name of this run's TFJob: also after a retry, so that one left behind is found and replaced."""
        metadata = self.manifest["metadata"]
        run = metadata.get("labels", {}).get(_WORKFLOW, metadata["name"])
        return f"twotower-{hashlib.sha256(run.encode()).hexdigest()[:12]}"

    def check_shared(self, workers: int, root: str) -> None:
        """Raises `UserError` unless the other pods will see the files below `root`."""
        if is_remote(root):
            return
        claim = self._claim_of(root)
        if claim is None:
            raise UserError(
                f"--checkpoint-root {root}: no volume of this pod lies there, so the other pods of --workers "
                f"{workers} would not see it; mount one (`twotower submit --volume CLAIM:/PATH`) and name a "
                "directory on it, or a gs:// prefix"
            )
        modes = self.api.claim(claim)["spec"]["accessModes"]
        if _MODE not in modes:
            raise UserError(
                f"--checkpoint-root {root}: the volume claim {claim} has the access mode {', '.join(modes)}; "
                f"--workers {workers} needs {_MODE}: name such a volume, or a gs:// prefix"
            )

    def _claim_of(self, path: str) -> str | None:
        """The claim of the volume that a path is on; None if it is on none."""
        spec = self.manifest["spec"]
        mounts = {one["mountPath"]: one["name"] for one in step_container(spec).get("volumeMounts", [])}
        claims = {
            one["name"]: one["persistentVolumeClaim"]["claimName"]
            for one in spec.get("volumes", [])
            if "persistentVolumeClaim" in one
        }
        place = PurePosixPath(posixpath.normpath(path))
        for directory in (place, *place.parents):
            if str(directory) in mounts:
                return claims.get(mounts[str(directory)])
        return None
