"""What KFP's DockerRunner is told: which files the steps see, and who owns what they write."""

import os
from pathlib import Path
from typing import Any

from components.errors import UserError


def docker_arguments(read: dict[str, str], written: dict[str, str]) -> dict[str, Any]:
    """Arguments of KFP's DockerRunner: inputs mounted read-only where they lie, outputs owned by the caller.

    Args:
        read: Flag -> paths by comma, absolute or gs://, that the steps only read.
        written: Flag -> the directory, absolute or gs://, that they write; it is made where it is missing.

    Raises:
      UserError: if an input is missing, or no Docker engine answers.
    """
    _require_engine()
    mounts: dict[str, bool] = {}
    for flag, paths in read.items():
        for path in _local(paths):
            source = path.parent if "*" in path.name else path
            if not source.exists():
                raise UserError(f"{flag} {path}: no such file; name one that is there")
            mounts[str(source)] = True
    for paths in written.values():
        for path in _local(paths):
            path.mkdir(parents=True, exist_ok=True)
            mounts[str(path)] = False
    return {
        "mounts": sorted(mounts.items()),
        "user": f"{os.getuid()}:{os.getgid()}",
        "environment": {"HOME": "/tmp"},
    }


def _local(paths: str) -> list[Path]:
    return [Path(path) for path in paths.split(",") if path and "://" not in path]


def _require_engine() -> None:
    import docker

    try:
        docker.from_env().close()  # asks the engine for its version
    except docker.errors.DockerException as error:
        raise UserError(
            "--runner docker: no Docker engine answers; start one, or use --runner subprocess"
        ) from error
