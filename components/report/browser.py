"""Pages as local files, and in a browser."""

import tempfile
import webbrowser
from pathlib import Path

from components.errors import UserError
from components.registry.lookup import Found
from components.registry.registry import Registry
from components.storage import NotFoundError, is_remote

_PAGE = "report.html"


def local_page(registry: Registry, found: Found, output: str = "") -> str:
    """A local file with the page of a run or version: where it lies, or a copy.

    It is copied if it lies in Google Cloud Storage, or if an `output` is named.

    Raises:
      UserError: if it has no page.
    """
    key = f"{found.key}/{_PAGE}"
    place = registry.storage.uri(key)
    try:
        registry.storage.stat(key)
    except NotFoundError as error:
        raise UserError(f"{place} does not exist: {_why(found)}") from error
    if not output and not is_remote(registry.root):
        return place
    target = Path(output) if output else Path(tempfile.mkdtemp(prefix="twotower-"), f"{found.name}.html")
    registry.storage.download_file(key, target)
    return str(target)


def show(page: str) -> None:
    """Shows a local page in the user's browser.

    Raises:
      UserError: if there is none that can be started.
    """
    if not webbrowser.open(Path(page).resolve().as_uri()):
        raise UserError(f"no browser could be started here; copy {page} to where there is one")


def _why(found: Found) -> str:
    record = found.record
    if record is None:
        return "it was deleted; restore it from a backup"
    return f"the run {record.run_id} {record.outcome} before it had a page; name another run"
