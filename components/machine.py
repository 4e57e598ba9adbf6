"""Processors and memory that this process may use: of the machine, or of its container where that is less."""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_CGROUPS = "sys/fs/cgroup"


def available_cpus(root: str = "/") -> int:
    """Returns the number of processors, at least 1: by affinity and by the CPU quota of the control groups.

    The files of the control groups (versions 1 and 2) are looked for in `root`.
    """
    version_1 = map(_quota, _read(root, "cpu.cfs_quota_us", "cpu"), _read(root, "cpu.cfs_period_us", "cpu"))
    version_2 = (_quota(*text.split()) for text in _read(root, "cpu.max"))
    return max(1, math.ceil(min([len(os.sched_getaffinity(0)), *version_1, *version_2])))


def memory_limit(root: str = "/") -> int:
    """Returns the memory in bytes; `root` as for `available_cpus`."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [*_read(root, "memory.max"), *_read(root, "memory.limit_in_bytes", "memory")]
    return min([machine, *(int(text) for text in limits if text.strip().isdigit())])


def available_memory(root: str = "/") -> int:
    """Returns the free memory in bytes, caches included; `root` as for `available_cpus`."""
    free = [_field(Path(root, "proc/meminfo").read_text(encoding="ascii"), "MemAvailable:") * 1024]
    for version, names in _MEMORY_FILES.items():
        limits, used, details = (_read(root, name, version) for name in names)
        for limit, now, detail in zip(limits, used, details, strict=False):
            if limit.strip().isdigit():
                free.append(int(limit) - int(now) + _field(detail, _CACHES[version]))
    return max(0, min(free))


# The limit, the use and its details, by the controller.
_MEMORY_FILES = {
    "": ("memory.max", "memory.current", "memory.stat"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat"),
}
_CACHES = {"": "inactive_file", "memory": "total_inactive_file"}


def _field(text: str, name: str) -> int:
    """Returns the number behind a name at the beginning of a line; 0 if there is none."""
    return next((int(line.split()[1]) for line in text.splitlines() if line.split()[:1] == [name]), 0)


def _quota(quota: str, period: str = "100000") -> float:
    """Processors' worth of time; infinite for "max" and for -1, which mean no quota."""
    return int(quota) / int(period) if quota.strip().isdigit() and int(period) > 0 else math.inf


def _read(root: str, name: str, controller: str = "") -> Iterator[str]:
    """Reads the file `name` of this process's control group and of every group above it.

    `controller` is one of version 1; "" for version 2.
    """
    mount = Path(root, _CGROUPS, controller)
    for group in _groups(root, controller):
        try:
            yield (mount / group / name).read_text(encoding="ascii")
        except (OSError, ValueError):
            continue


def _groups(root: str, controller: str) -> list[str]:
    """The groups' directories, relative to the mount, the root group last.

    A container often sees its own group as the root, whatever the kernel calls it.
    """
    try:
        lines = Path(root, "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):  # "0::/path" of version 2 splits into [""]
            own = PurePosixPath(path.lstrip("/"))
            return [str(own), *map(str, own.parents)]
    return ["."]
