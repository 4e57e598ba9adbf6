"""A registry, the ways in which one may be damaged, and what its commands may do then."""

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verdicts import write_verdict

from components.registry.registry import Registry
from components.registry.run_records import RunRecord, SeenChampion
from components.registry.versions import GateDecision, Provenance

RUNS = ("run-1", "run-2", "run-3", "run-4")

# Documents that are no document of ours.
HOSTILE = [
    b"",
    b"{",
    b"{}",
    b"[]",
    b"null",
    b"1",
    b'"text"',
    b"NaN",
    b"\xff\xfe{}",
    b"\xef\xbb\xbf{}",
    b"\0" * 64,
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"[" * 500 + b"]" * 500,
    b'{"a":' * 500 + b"1" + b"}" * 500,
    b'{"format": 1}',
    b'{"format": 2}',
    b'{"format": [1]}',
    b'{"schema_version": 1}',
    b'{"format": 1e999}',
]

# Values in the place of others.
VALUES: list[Any] = [
    *(
        None,
        True,
        -1,
        0,
        1,
        2,
        7,
        10**6,
        2**63,
        2**70,
        10**400,
        0.5,
        1e308,
        [],
        {},
        [[]],
        {"": {}},
        {"a": None},
    ),
    *("", "x", "../../x", "/etc/passwd", "\0", "a\nb", "\ud7ff", "x" * 5000),
    *("2026-01-01", "9999-12-31T23:59:59+00:00"),
]


def build(root: Path, work: Path) -> str:
    """Makes a registry with three champions, a rollback, a superseded version and a refused run.

    Returns the version that is served.
    """
    registry = Registry(str(root))
    versions = []
    for run_id in RUNS:
        source = work / run_id
        for name, content in {
            "model/saved_model/saved_model.pb": "the towers",
            "model/model.json": "{}",
            "index/saved_model.pb": f"the index of {run_id}",
            "index/variables/variables.index": f"the numbers of {run_id}",
            "index/manifest.json": "{}",
            "report.html": "<html>",
            "statistics.json": json.dumps({"rows_read": 10, "movies": 7, "split": {"kind": "random"}}),
        }.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(content)
        write_verdict(source, metrics={"challenger": {"rmse": 0.9}, "baselines": {"bias": {"rmse": 1.0}}})
        decision = GateDecision(blessed=True, gate="enforce", reason="Good enough.")
        facts = Provenance(
            run_id=run_id,
            fingerprint="12-34",
            settings={"epochs": 3},
            metrics={"rmse": 0.9},
            verdict=decision,
        )
        sources = {name: source / name for name in ("model", "index", "report.html")}
        versions.append(registry.versions.add(facts, sources).version)
        sequence = 0
        if run_id != RUNS[-1]:
            entry = registry.champion_log.append(
                registry.champion_log.end(), versions[-1], "published", run_id
            )
            registry.serving.complete(entry)
            sequence = entry.sequence
        record = RunRecord(
            run_id=run_id,
            outcome="published" if sequence else "superseded",
            reason="Good enough.",
            version=versions[-1],
            sequence=sequence,
            champion=SeenChampion(version="", sequence=0),
            metrics={"rmse": 0.9},
            settings={"epochs": 3},
        )
        files = ("verdict.json", "statistics.json", "report.html")
        registry.runs.write(record, {name: source / name for name in files})
    registry.runs.write(RunRecord(run_id="refused", outcome="refused", reason="Not good enough."), {})
    return registry.rollback(versions[1]).version


def without_checksums(root: Path) -> None:
    """Makes the documents those of an earlier release."""
    for path in root.rglob("*.json"):
        document = json.loads(path.read_bytes())
        document.pop("checksum", None)
        path.write_text(json.dumps(document))


@dataclass
class Damage:
    """Damage to a registry, at random."""

    root: Path
    chance: random.Random

    def do(self) -> str:
        """Does one thing; returns what."""
        kinds: list[Callable[[], str]] = [
            *[self._document] * 3,
            *[self._value] * 6,
            *[self._lost_key] * 2,
            *[self._bits] * 4,
            self._cut,
            *[self._lost_file] * 2,
            self._lost_directory,
            *[self._swap] * 2,
            self._swapped_directories,
            *[self._another_name] * 3,
            self._no_file,
            self._link,
            *[self._stray] * 3,
        ]
        return self.chance.choice(kinds)()

    def _file(self, pattern: str = "*") -> Path:
        """Any file; the directory is drawn first, so that the few entries of the log come up often."""
        tops = [top for top in sorted(self.root.iterdir()) if any(p.is_file() for p in top.rglob(pattern))]
        top = self.chance.choice(tops)
        return self.chance.choice(sorted(path for path in top.rglob(pattern) if path.is_file()))

    def _directory(self) -> Path:
        return self.chance.choice(sorted(path for path in self.root.rglob("*") if path.is_dir()))

    def _said(self, verb: str, *paths: Path) -> str:
        return f"{verb} {', '.join(str(path.relative_to(self.root)) for path in paths)}"

    def _document(self) -> str:
        path = self._file("*.json")
        content = self.chance.choice(HOSTILE)
        path.write_bytes(content)
        return self._said(f"wrote {content[:40]!r} to", path)

    def _value(self) -> str:
        path = self._file("*.json")
        document = json.loads(path.read_bytes())
        if not document:
            return self._document()
        place, value = self._place(document), self.chance.choice(VALUES)
        before = place[0][place[1]]
        place[0][place[1]] = value
        path.write_text(json.dumps(document))
        return self._said(f"put {str(value)[:40]!r} in the place of {str(before)[:40]!r} into", path)

    def _lost_key(self) -> str:
        path = self._file("*.json")
        document = json.loads(path.read_bytes())
        if not document:
            return self._document()
        holder, key = self._place(document)
        del holder[key]
        path.write_text(json.dumps(document))
        return self._said(f"lost {key} of", path)

    def _place(self, document: Any) -> tuple[Any, Any]:
        """A place of a value at any depth: what holds it, and its key."""
        holder = document
        while True:
            key = self.chance.choice(sorted(holder) if isinstance(holder, dict) else range(len(holder)))
            if not holder[key] or not isinstance(holder[key], dict | list) or self.chance.random() < 0.3:
                return holder, key
            holder = holder[key]

    def _bits(self) -> str:
        path = self._file()
        data = bytearray(path.read_bytes())
        for _ in range(self.chance.randint(1, 3)):
            data[self.chance.randrange(len(data))] ^= 1 << self.chance.randrange(8)
        path.write_bytes(data)
        return self._said("flipped bits of", path)

    def _cut(self) -> str:
        path = self._file()
        data = path.read_bytes()
        path.write_bytes(data[: self.chance.randrange(len(data))])
        return self._said("cut", path)

    def _lost_file(self) -> str:
        path = self._file()
        path.unlink()
        return self._said("lost", path)

    def _lost_directory(self) -> str:
        path = self._directory()
        shutil.rmtree(path)
        return self._said("lost", path)

    def _swap(self) -> str:
        one = self._file()
        others = sorted(path for path in self.root.rglob(one.name) if path.is_file())
        other = self.chance.choice(others)
        if one.parent.name == "champion":
            other = self.chance.choice(sorted(one.parent.iterdir()))
        contents = one.read_bytes(), other.read_bytes()
        other.write_bytes(contents[0])
        one.write_bytes(contents[1])
        return self._said("swapped", one, other)

    def _swapped_directories(self) -> str:
        parent = self.root / self.chance.choice(["versions", "serving", "runs"])
        one, other = self.chance.sample(sorted(path for path in parent.iterdir() if path.is_dir()), 2)
        one.rename(self.root / "moved")
        other.rename(one)
        (self.root / "moved").rename(other)
        return self._said("swapped", one, other)

    def _another_name(self) -> str:
        path = self._file() if self.chance.random() < 0.3 else self._file("0*.json")
        names = [
            "0000002.json",
            "000000.json",
            "999999.json",
            "000006.json",
            "x",
            "00000٣.json",
            f"{path.name} ",
            "é",
        ]
        new = path.with_name(self.chance.choice(names))
        if self.chance.random() < 0.5:
            path.rename(new)
        else:
            shutil.copyfile(path, new)
        return self._said("gave another name to", path, new)

    def _no_file(self) -> str:
        path = self._file()
        path.unlink()
        kind = self.chance.choice(["directory", "pipe", "socket"])
        if kind == "directory":
            path.mkdir()
        else:
            os.mkfifo(path)
        return self._said(f"made a {kind} of", path)

    def _link(self) -> str:
        path = self._directory() if self.chance.random() < 0.5 else self._file()
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        target = self.chance.choice(
            [Path("/etc"), Path("/etc/hostname"), path, Path("nothing"), self.root.parent]
        )
        path.symlink_to(target)
        return self._said(f"made a link to {target} of", path)

    def _stray(self) -> str:
        first = min(path.name for path in (self.root / "versions").iterdir())
        id_ = "20260101-000000-00000000"
        names = [
            *(f"serving/{name}/saved_model.pb" for name in ("9" * 20, "5", "007", "-1", "tmp")),
            *("serving/999/x", "serving/x", "serving/1/\udcff"),
            *("champion/9.json", "champion/readme", f"champion/{'9' * 200}.json", "champion/\udcff"),
            *("runs/x/run.json", "runs/.x/run.json", "runs/run.json", f"runs/{'x' * 210}/run.json"),
            *("versions/x/manifest.json", f"versions/{id_}/manifest.json", f"versions/{id_}/x"),
            *(f"versions/{id_}0/manifest.json", f"versions/{first}/index/\udcff", "x"),
        ]
        name = self.chance.choice(names)
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.chance.choice([b"", b"{}", b"x"]))
        return f"added {name[:80]!r}"
