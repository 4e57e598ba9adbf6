"""Limits of control groups, from files as the kernel writes them."""

import os

import pytest

from components.machine import available_cpus, available_memory, memory_limit


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


@pytest.mark.parametrize(
    ("groups", "free"),
    [
        ({}, 4_000 * 1024),
        ({"memory.max": "max\n", "memory.current": "9", "memory.stat": ""}, 4_000 * 1024),
        ({"memory.max": "3000\n", "memory.current": "2000\n", "memory.stat": "inactive_file 500\n"}, 1_500),
        ({"memory.max": "3000\n", "memory.current": "4000\n", "memory.stat": ""}, 0),
        (
            {
                "memory/memory.limit_in_bytes": "3000\n",
                "memory/memory.usage_in_bytes": "2000\n",
                "memory/memory.stat": "inactive_file 7\ntotal_inactive_file 200\n",
            },
            1_200,
        ),
    ],
)
def test_free_memory_is_what_machine_and_groups_leave(tmp_path, groups, free) -> None:
    _write(tmp_path, {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    4000 kB\n"})
    _write(tmp_path, {f"sys/fs/cgroup/{name}": text for name, text in groups.items()})
    assert available_memory(str(tmp_path)) == free
