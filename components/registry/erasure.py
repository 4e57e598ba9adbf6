"""Proof that no version of a registry holds certain users, from the user ids of its indexes and models."""

import html
import itertools
import re
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from components.documents import decode_object
from components.errors import UserError
from components.progress import Progress
from components.registry.registry import Registry
from components.registry.versions import INDEX, MODEL
from components.saved_models import stored_strings
from components.storage import NotFoundError, StoredFile, is_remote, version_key
from components.train.artifact import MODEL_FILE
from components.vocabulary.data_summary import USERS_FILE, id_hashes, load_readers

# An index has its user ids in this variable of its graph, and in these arrays; earlier releases only in the
# graph, an index without histories in neither.
_USER_IDS = "_histories/_user_ids"
_ENDS, _TEXT = "arrays/user_id.ends.npy", "arrays/user_id.text.npy"
_WITH_USERS = ("variables/", _ENDS, _TEXT)
_AT_ONCE = 1 << 20
# A heading of the page of a run, which shows a few users.
_SHOWN_USER = re.compile(r"<h3>User (.*?) <span")
_PAGE = "report.html"


Kind = Literal["version", "copy", "page"]


class Holder(NamedTuple):
    """A part of a registry that holds users, or may hold them."""

    kind: Kind
    name: str  # the version, the number of a copy for servers, or the run
    place: str  # path or URI
    users: int  # of those asked about; 0 if it cannot be told
    doubt: str  # why it cannot be told; "" if it can


class Erasure:
    """The search for some users in a registry."""

    def __init__(self, registry: Registry, user_ids: Collection[str]) -> None:
        self._registry, self._ids = registry, frozenset(name.encode() for name in user_ids)
        self._hashes = np.unique(id_hashes(sorted(user_ids)))
        self._found_in_index: dict[tuple[StoredFile, ...], int] = {}

    def objection(self, version: str) -> str:
        """Returns a sentence that says why no training may begin at a version's weights; "" if it may."""
        try:
            count = self._in_model(version)
        except UserError as error:
            return f"The version {version} may have read ratings of users to forget: {error}."
        if not count:
            return ""
        return (
            f"The version {version} has read ratings of {count:,} of the {len(self._ids):,} users to forget."
        )

    def holders(self) -> Iterator[Holder]:
        """Yields the versions, the copies for servers and the pages of runs that hold one of the users.

        A version that is under way has no manifest yet, and is not looked at.
        """
        registry = self._registry
        versions, copies, runs = registry.versions, registry.serving, registry.runs
        parts: list[tuple[Kind, str, str, Callable[[str], int]]] = [
            *(("version", name, versions.uri(name), self._in_version) for name in versions.ids()),
            *(("copy", name, copies.uri(name), self._in_copy) for name in copies.names()),
            *(("page", name, runs.uri(name, _PAGE), self._in_page) for name in runs.ids()),
        ]
        with Progress("forgotten", total=len(parts), unit="parts") as progress:
            for kind, name, place, count_in in parts:
                users, doubt = 0, ""
                try:
                    users = count_in(name)
                except UserError as error:
                    doubt = str(error)
                if users or doubt:
                    yield Holder(kind, name, place, users, doubt)
                progress.advance()

    def _in_version(self, version: str) -> int:
        return max(self._in_index(version), self._in_model(version))

    def _in_index(self, version: str) -> int:
        return self._in_files(version_key(version, INDEX))

    def _in_copy(self, name: str) -> int:
        return self._in_files(f"serving/{name}")

    def _in_files(self, directory: str) -> int:
        """Counts the users in the index at a key; a copy of one that was read is not read again."""
        storage = self._registry.storage
        keys = sorted(key for part in _WITH_USERS for key in storage.list(f"{directory}/{part}"))
        same = tuple(storage.stat(key) for key in keys)
        if same not in self._found_in_index:
            found = set[bytes]()
            with self._local(directory, keys) as index:
                for ids in itertools.chain(stored_strings(index, _USER_IDS), _mapped_ids(index)):
                    found |= self._ids.intersection(ids)
            self._found_in_index[same] = len(found)
        return self._found_in_index[same]

    def _in_model(self, version: str) -> int:
        """Counts the users whose ratings a version's weights have read, also those that they began at.

        Raises `UserError` if no record says so.
        """
        directory, storage = version_key(version, MODEL), self._registry.storage
        if storage.exists(f"{directory}/{USERS_FILE}"):
            with self._local(directory, [f"{directory}/{USERS_FILE}"]) as model:
                try:
                    return int(np.isin(self._hashes, load_readers(model / USERS_FILE)).sum())
                except (ValueError, EOFError) as error:
                    raise UserError(f"{storage.uri(directory)}/{USERS_FILE} is damaged") from error
        uri = f"{storage.uri(directory)}/{MODEL_FILE}"
        record = decode_object(
            storage.read_bytes(f"{directory}/{MODEL_FILE}"), uri, "restore it from a backup"
        )
        start = record.get("start") or {}
        if start.get("version"):
            raise UserError(
                f"{version}, of an earlier release, began at the weights of {start['version']}, and has no "
                "record of whose ratings these have read"
            )
        return self._in_index(version)

    def _in_page(self, run: str) -> int:
        try:
            page = self._registry.runs.document(run, _PAGE).decode("utf-8", "replace")
        except NotFoundError:
            return 0
        shown = {html.unescape(name).encode() for name in _SHOWN_USER.findall(page)}
        return len(self._ids & shown)

    @contextmanager
    def _local(self, directory: str, keys: Sequence[str]) -> Iterator[Path]:
        """Yields a local directory with the files of `directory` that are at `keys`."""
        storage = self._registry.storage
        if not is_remote(storage.root):
            yield Path(storage.uri(directory))
            return
        with tempfile.TemporaryDirectory(prefix="twotower-verify-") as scratch:
            for key in keys:
                target = Path(scratch, key.removeprefix(f"{directory}/"))
                target.parent.mkdir(parents=True, exist_ok=True)
                storage.download_file(key, target)
            yield Path(scratch)


def _mapped_ids(index: Path) -> Iterator[list[bytes]]:
    """Yields, in parts, the user ids in the arrays of an index. Raises `UserError` if they are damaged."""
    if not (index / _ENDS).is_file():
        return
    try:
        ends, text = (np.load(index / name, mmap_mode="r") for name in (_ENDS, _TEXT))
    except (ValueError, EOFError) as error:
        raise UserError(f"{index / _ENDS}, or the file of texts beside it, is damaged") from error
    for start in range(0, len(ends) - 1, _AT_ONCE):
        places = ends[start : start + _AT_ONCE + 1].tolist()
        part = text[places[0] : places[-1]].tobytes()
        yield [part[one - places[0] : after - places[0]] for one, after in itertools.pairwise(places)]


def describe_holders(registry: Registry, user_ids: Collection[str]) -> list[str]:
    """Returns a line, with the cure, for each part of a registry that holds one of the users."""
    entries = registry.champion_log.readable()[0]
    version_of = {str(entry.sequence): entry.version for entry in entries}
    champion = entries[-1].version if entries else ""
    lines = []
    for kind, name, place, users, doubt in Erasure(registry, user_ids).holders():
        text = f"{place} holds {users:,} of the {len(user_ids):,} users to forget"
        if doubt:
            text = f"{place} may hold users to forget: {doubt}"
        version = version_of.get(name, "") if kind == "copy" else name
        cure = f"`twotower prune {version} --registry {registry.root}` deletes it"
        if kind == "page":
            cure = "delete it"
        elif not version:
            cure = f"`twotower verify --repair --registry {registry.root}` deletes it"
        elif version == champion:
            cure = f"it is served: publish another by `twotower run --forget FILE`; then {cure}"
        lines.append(f"{text}; {cure}")
    return lines
