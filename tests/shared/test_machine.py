"""Limits of control groups, from files as the kernel writes them."""

import os

import pytest

from components.machine import available_cpus, memory_limit


def _write(root, files):
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.fixture(autouse=True)
def _eight_processors(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, 8),
        ({"sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ({"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
        ({"sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        ({"sys/fs/cgroup/cpu.max": "20000 100000\n"}, 1),
        ({"sys/fs/cgroup/cpu.max": "6400000 100000\n"}, 8),
        (
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"},
            8,
        ),
        (
            {
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        # The process's own group, and a tighter one above it.
        (
            {
                "proc/self/cgroup": "0::/pods/one\n",
                "sys/fs/cgroup/pods/one/cpu.max": "max 100000\n",
                "sys/fs/cgroup/pods/cpu.max": "400000 100000\n",
            },
            4,
        ),
        (
            {
                "proc/self/cgroup": "3:memory:/a\n1:cpu,cpuacct:/one\n",
                "sys/fs/cgroup/cpu/one/cpu.cfs_quota_us": "200000\n",
                "sys/fs/cgroup/cpu/one/cpu.cfs_period_us": "100000\n",
            },
            2,
        ),
    ],
)
def test_a_cpu_quota_counts(tmp_path, files, cpus):
    _write(tmp_path, files)
    assert available_cpus(str(tmp_path)) == cpus


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"sys/fs/cgroup/memory.max": "max\n"}, None),
        ({"sys/fs/cgroup/memory.max": "1048576\n"}, 1 << 20),
        ({"sys/fs/cgroup/memory/memory.limit_in_bytes": "1048576\n"}, 1 << 20),
        ({"sys/fs/cgroup/memory/memory.limit_in_bytes": f"{1 << 62}\n"}, None),
        ({"proc/self/cgroup": "0::/pod\n", "sys/fs/cgroup/pod/memory.max": "1048576\n"}, 1 << 20),
    ],
)
def test_a_memory_limit_counts(tmp_path, files, limit):
    machine = memory_limit(str(tmp_path))
    assert machine > 1 << 28
    _write(tmp_path, files)
    assert memory_limit(str(tmp_path)) == (limit or machine)
