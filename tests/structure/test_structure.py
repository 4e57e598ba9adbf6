"""Bounds on the shape of the code: how many files, how long, how deep, named how."""

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PATHS = sorted(path for name in ("components", "pipelines") for path in (_ROOT / name).rglob("*.py"))
_MOST_FILES = 230
_MOST_LINES = 400
_MOST_LINES_IN_ALL = 38_450
_LONGEST_CHAIN = 6
_QUESTION_WORDS = {"what", "which", "who", "whom", "whose", "how", "whether", "where", "when", "why"}


def _name(path: Path) -> str:
    return str(path.relative_to(_ROOT))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def _length(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def test_there_are_few_files() -> None:
    assert len(_PATHS) <= _MOST_FILES


def test_no_file_is_long() -> None:
    assert {_name(path): _length(path) for path in _PATHS if _length(path) > _MOST_LINES} == {}


def test_the_code_is_small() -> None:
    assert sum(map(_length, _PATHS)) < _MOST_LINES_IN_ALL


def test_no_class_name_occurs_twice() -> None:
    places = defaultdict(list)
    for path in _PATHS:
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(_name(path))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def _docstrings(path: Path) -> list[tuple[str, str]]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(_tree(path)) if isinstance(node, kinds)]
    documented = [(getattr(node, "name", "module"), ast.get_docstring(node)) for node in nodes]
    return [(name, text) for name, text in documented if text]


def test_no_docstring_begins_with_a_question_word() -> None:
    begun = [
        f"{_name(path)}: {name}: {text.splitlines()[0]}"
        for path in _PATHS
        for name, text in _docstrings(path)
        if re.split(r"\W", text.lower(), maxsplit=1)[0] in _QUESTION_WORDS
    ]
    assert begun == []


def _packages() -> list[Path]:
    return sorted({path.parent for path in _PATHS})


def _imports(path: Path, package: str) -> set[str]:
    """Names the modules of `package` that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if module == package:
                found |= {alias.name for alias in node.names}
            elif module.startswith(f"{package}."):
                found.add(module.removeprefix(f"{package}."))
        elif isinstance(node, ast.Import):
            found |= {
                a.name.removeprefix(f"{package}.") for a in node.names if a.name.startswith(f"{package}.")
            }
    return found


def _longest_chain(folder: Path) -> tuple[str, ...]:
    package = _name(folder).replace("/", ".")
    files = {path.stem: path for path in folder.glob("*.py") if path.stem != "__init__"}
    graph = {name: sorted(_imports(path, package) & files.keys() - {name}) for name, path in files.items()}

    @cache
    def longest(name: str) -> tuple[str, ...]:
        chains = [(name, *longest(other)) for other in graph[name]]
        return max(chains, key=len) if chains else (name,)

    every = [longest(name) for name in graph]
    return max(every, key=len) if every else ()


@pytest.mark.parametrize("folder", _packages(), ids=_name)
def test_the_longest_import_chain_of_a_package_is_short(folder: Path) -> None:
    chain = _longest_chain(folder)
    assert len(chain) <= _LONGEST_CHAIN, " -> ".join(chain)
