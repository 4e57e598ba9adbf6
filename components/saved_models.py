"""SavedModels: their place in a Model, and their digest."""

import hashlib
from pathlib import Path

# The directory of the SavedModel in a Model; an index is one itself.
SAVED_MODEL = "saved_model"


def saved_model_digest(directory: Path) -> str:
    """Returns a SHA-256 over the sorted paths and contents of all files in `directory`, in hexadecimal.

    In a shell there: find -type f -printf "%P\\n" | LC_ALL=C sort | xargs sha256sum | sha256sum.
    """
    lines = []
    for path in sorted(directory.rglob("*"), key=lambda path: path.relative_to(directory).as_posix()):
        if path.is_file():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            lines.append(f"{content}  {path.relative_to(directory).as_posix()}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()
