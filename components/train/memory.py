"""How much memory this process may have."""

import os
from pathlib import Path

# Where Linux says what a container may have, in its two generations of control groups.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_limit(root: str = "/") -> int:
    """Bytes: the machine's memory, or the container's where that is less.

    Args:
      root: where the files of the control groups are looked for.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [machine]
    for file in _LIMITS:
        try:
            limits.append(int(Path(root, file.lstrip("/")).read_text(encoding="ascii")))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return min(limits)
