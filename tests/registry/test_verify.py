"""Whatever is not as published is named."""

import re
import shutil
from pathlib import Path

import pytest

from components.registry.registry import Registry
from components.registry.verification import verify


def test_a_whole_registry_has_no_faults(place: str, promote, add_version) -> None:
    registry = Registry(place)
    manifests = [promote(registry, "run-1"), promote(registry, "run-2"), add_version(registry, "run-3")]
    found = verify(registry)
    assert found.faults == []
    assert (found.versions, found.served) == (3, 2)
    served = [manifest.part("index") for manifest in manifests[:2]]
    all_files = [file for manifest in manifests for file in manifest.part("").values()]
    all_files += [file for files in served for file in files.values()]
    assert (found.files, found.bytes) == (len(all_files), sum(file.size for file in all_files))
    assert verify(registry, download=True) == found


def test_every_fault_is_named(place: str, promote) -> None:
    registry = Registry(place)
    first, second = (promote(registry, f"run-{number}").version for number in (1, 2))
    storage = registry.storage
    storage.write_bytes(f"versions/{first}/index/saved_model.pb", b"flipped")
    storage.delete(f"versions/{first}/report.html")
    storage.write_bytes(f"versions/{second}/index/extra", b"")
    storage.write_bytes("serving/2/variables/variables.index", b"numberz")
    storage.write_bytes("champion/000001.json", b"{")
    faults = verify(registry).faults
    expected = [
        r"champion/000001\.json is not JSON",
        rf"versions/{first}/index/saved_model\.pb is corrupt: it has 7 bytes",
        rf"versions/{first}/report\.html is missing",
        rf"versions/{second}/index/extra is not in the manifest",
        r"serving/2/variables/variables\.index is corrupt",
    ]
    assert len(faults) == len(expected)
    for pattern in expected:
        assert any(re.search(pattern, fault) for fault in faults), pattern


def test_a_broken_manifest_is_one_fault(place: str, promote) -> None:
    registry = Registry(place)
    first = promote(registry, "run-1").version
    promote(registry, "run-2")
    registry.storage.write_bytes(f"versions/{first}/manifest.json", b"{}")
    faults = verify(registry).faults
    assert {re.sub(r".*/versions", "versions", fault).split()[0].rstrip(":") for fault in faults} == {
        f"versions/{first}/manifest.json"
    }


@pytest.mark.parametrize(
    ("lost", "fault"),
    [
        ("serving/2/saved_model.pb", "serving/2 is not complete; `twotower verify --repair"),
        ("versions/{}/manifest.json", "the champion {} is missing; serve another version"),
    ],
)
def test_a_champion_that_cannot_be_served_is_a_fault(place: str, promote, lost: str, fault: str) -> None:
    registry = Registry(place)
    second = [promote(registry, f"run-{number}").version for number in (1, 2)][1]
    registry.storage.delete(lost.format(second))
    [found] = verify(registry).faults
    assert fault.format(second) in found


def test_a_link_in_the_place_of_an_old_copy_is_a_fault(tmp_path: Path, promote) -> None:
    registry = Registry(str(tmp_path / "registry"))
    for number in (1, 2):
        promote(registry, f"run-{number}")
    copy = tmp_path / "registry" / "serving" / "1"
    shutil.rmtree(copy)
    copy.symlink_to("/etc/hostname")
    [fault] = verify(registry).faults
    assert str(copy) in fault
    assert "replace the link" in fault


def test_a_lost_entry_of_the_log_is_a_fault(place: str, promote) -> None:
    registry = Registry(place)
    for number in range(3):
        promote(registry, f"run-{number}")
    registry.storage.delete("champion/000002.json")
    [found] = verify(registry).faults
    assert "champion/000002.json is missing; restore it from a backup" in found


def test_a_byte_that_flips_in_the_bucket_is_found_by_reading_it(gcs_bucket: str, gcs_server, promote) -> None:
    registry = Registry(gcs_bucket)
    version = promote(registry, "run").version
    folder = gcs_server.root / gcs_bucket.removeprefix("gs://") / "versions" / version
    for name in ("index/saved_model.pb", "report.html"):
        content = bytearray((folder / name).read_bytes())
        content[0] ^= 1
        (folder / name).write_bytes(content)
    faults = verify(registry, download=True).faults
    assert [re.sub(r".*versions/\S+?/(\S+) is corrupt.*", r"\1", fault) for fault in faults] == [
        "index/saved_model.pb",
        "report.html",
    ]


def test_an_entry_of_the_log_under_another_number_is_a_fault(place: str, promote) -> None:
    registry = Registry(place)
    for number in (1, 2):
        promote(registry, f"run-{number}")
    registry.storage.write_bytes("champion/000001.json", registry.storage.read_bytes("champion/000002.json"))
    [fault] = verify(registry).faults
    assert "champion/000001.json says that it is number 2; delete it, or restore it" in fault


def test_a_registry_without_a_champion_has_no_faults(place: str, add_version) -> None:
    registry = Registry(place)
    add_version(registry, "run-1")
    found = verify(registry)
    assert (found.versions, found.served, found.faults) == (1, 0, [])
