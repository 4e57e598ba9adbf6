"""A model of a file system that forgets, at a power loss, what was not flushed to it.

The idea is LazyFS's (https://github.com/dsrhaslab/lazyfs). POSIX promises little: the content of a file is
there after an fsync of the file, its name after an fsync of its directory. Any other change may be there or
not, each by itself. Writes of the code under test go to a real directory, and are recorded on the way.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


@dataclass(eq=False)
class _Inode:
    """A file."""


@dataclass(eq=False)
class _Event:
    """A change of a name in a directory, or a flush.

    Attributes:
      kind: "name", "unname", "mkdir", "rmdir", "flush" (of a directory) or "write" (a flush of a file).
      path: what was changed, or the directory that was flushed.
      inode: the file that has got the name, or was flushed.
      content: of the file when it was flushed.
    """

    kind: str
    path: Path
    inode: _Inode | None = None
    content: bytes = b""


@dataclass
class ForgetfulDisk:
    """Records what happens below `root`, and rebuilds what a power loss at any moment may leave of it."""

    root: Path
    events: list[_Event] = field(default_factory=list)
    _inodes: dict[int, _Inode] = field(default_factory=dict)
    _before: dict[Path, bytes | None] = field(default_factory=dict)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Takes all that was there before for flushed."""
        for path in sorted(self.root.rglob("*")):
            self._before[path] = path.read_bytes() if path.is_file() else None
        with pytest.MonkeyPatch.context() as patch:
            records: dict[str, Callable[..., None]] = {
                "replace": lambda source, target: self._named(source, target),
                "link": lambda source, target: self._named(source, target),
                "unlink": lambda path: self._add(_Event("unname", path)),
                "mkdir": lambda path: self._add(_Event("mkdir", path)),
                "rmdir": lambda path: self._add(_Event("rmdir", path)),
                "fsync": self._flushed,
            }
            for name, record in records.items():
                patch.setattr(os, name, self._recorded(getattr(os, name), record))
            yield

    def rebuild(self, target: Path, moment: int, survives: Callable[[], bool]) -> None:
        """Writes to `target` what is left if the power fails after `moment` events.

        `survives` decides of each change that was not flushed whether it is there all the same.
        """
        past = self.events[:moment]
        files = {path: content for path, content in self._before.items() if content is not None}
        directories = {self.root, *(path for path, content in self._before.items() if content is None)}
        contents = {event.inode: event.content for event in past if event.kind == "write"}
        for place, event in enumerate(past):
            flushed = any(
                other.kind == "flush" and other.path == event.path.parent for other in past[place + 1 :]
            )
            if event.kind in ("flush", "write") or not (flushed or survives()):
                continue
            if event.kind == "name" and event.path.parent in directories:
                files[event.path] = contents.get(event.inode, b"")
            elif event.kind == "mkdir" and event.path.parent in directories:
                directories.add(event.path)
            elif event.kind == "unname":
                files.pop(event.path, None)
            elif event.kind == "rmdir":
                directories = {path for path in directories if not path.is_relative_to(event.path)}
                files = {path: file for path, file in files.items() if not path.is_relative_to(event.path)}
        shutil.rmtree(target, ignore_errors=True)
        for path in directories:
            (target / path.relative_to(self.root)).mkdir(parents=True, exist_ok=True)
        for path, content in files.items():
            (target / path.relative_to(self.root)).write_bytes(content)

    def _recorded(self, call: Callable[..., Any], record: Callable[..., None]) -> Callable[..., Any]:
        def run(*arguments: Any, dir_fd: int | None = None, **options: Any) -> Any:
            if dir_fd is not None:
                options["dir_fd"] = dir_fd
            found = [_absolute(one, dir_fd) if isinstance(one, str | Path) else one for one in arguments]
            inode = os.stat(arguments[0], dir_fd=dir_fd).st_ino if call.__name__ in ("replace", "link") else 0
            result = call(*arguments, **options)
            if call.__name__ == "mkdir":
                record(found[0])
            elif inode:
                record(inode, found[1])
            else:
                record(*found)
            return result

        return run

    def _add(self, event: _Event) -> None:
        if event.path.is_relative_to(self.root):
            self.events.append(event)

    def _named(self, inode: int, target: Path) -> None:
        # Its number may come again once the file is gone.
        self._add(_Event("name", target, self._inodes.pop(inode, _Inode())))

    def _flushed(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            self._add(_Event("flush", path))
        else:
            inode = self._inodes[status.st_ino] = _Inode()
            self._add(_Event("write", path, inode, Path(f"/proc/self/fd/{descriptor}").read_bytes()))


def _absolute(path: str | Path, dir_fd: int | None) -> Path:
    return Path(f"/proc/self/fd/{dir_fd}").readlink() / path if dir_fd is not None else Path(path).absolute()
