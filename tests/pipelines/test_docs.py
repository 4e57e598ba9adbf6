"""The documentation says what the code does."""

import html
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from components.documents import plain
from components.step import last_outcome
from pipelines.cli import COMMANDS, twotower

_ROOT = Path(__file__).parents[2]
_DOCS = _ROOT / "docs"
_PAGES = sorted([*_ROOT.glob("*.md"), *_DOCS.glob("*.md")])
_LINKS = re.compile(r"\]\(([^)#:]*)(?:#([^)]*))?\)")


@pytest.mark.process
@pytest.mark.parametrize("generator", ["cli.py", "settings.py"])
def test_a_generated_reference_is_fresh(generator):
    # In a process of its own: a command keeps the help flags of the first context that it meets.
    read = f"found = runpy.run_path({str(_ROOT / 'docs' / generator)!r})"
    compare = "sys.exit(found['TARGET'].read_text('utf-8') != found['reference']())"
    fresh = subprocess.run([sys.executable, "-c", f"import runpy, sys; {read}; {compare}"], check=False)
    assert fresh.returncode == 0, "stale: run `make docs`"


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page):
    for link, heading in _LINKS.findall(page.read_text("utf-8")):
        target = page.parent / link if link else page
        assert target.exists(), link
        assert not heading or heading in _headings(target), f"{link}#{heading}"


def _headings(page):
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", html.unescape(page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_index_lists_every_page():
    listed = {link for link, _ in _LINKS.findall((_DOCS / "README.md").read_text("utf-8"))}
    assert {page.name for page in _DOCS.glob("*.md")} - {"README.md"} <= listed


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_every_verb_and_subcommand_that_a_page_names_exists(page):
    text = page.read_text("utf-8")
    verbs = set(re.findall(r"^([a-z-]+):", (_ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)) <= verbs
    assert set(re.findall(r"`(?:\S*/)?twotower ([a-z][a-z-]*)", text)) <= set(COMMANDS)


def _commands():
    """The lines of twotower in the blocks of all pages, as words; those with a gap (…) stand for many."""
    for page in _PAGES:
        for block in re.findall(r"```(?:bash|sh)\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                called = re.match(r"(?:\$RUN |\S*/)?twotower (.*)", line)
                if called and "…" not in line:
                    words = shlex.split(called[1], comments=True)
                    yield pytest.param(words, id=f"{page.stem}: {line[:70]}")


@pytest.mark.parametrize("words", list(_commands()))
def test_every_command_of_a_page_can_be_typed(words):
    command, context = twotower, click.Context(twotower, **twotower.context_settings)
    while isinstance(command, click.Group):
        name, command, words = command.resolve_command(context, words)
        context = click.Context(command, info_name=name)
    command.make_context(command.name, list(words))


def test_the_outcome_of_a_step_is_read_as_the_page_shows_it():
    (line,) = re.findall(r'^\{"step": .*\}$', (_DOCS / "kubeflow.md").read_text("utf-8"), re.MULTILINE)
    assert plain(last_outcome([line])) == json.loads(line)


def test_the_architecture_lists_every_package_upstream_first_and_all_shared_code():
    contract = (_ROOT / ".importlinter").read_text("utf-8").partition("layers =\n")[2]
    layers = re.findall(r"^    (.+)$", contract.partition("containers")[0], re.MULTILINE)
    upstream_first = [name for layer in reversed(layers) for name in layer.split(" | ")]
    page = (_DOCS / "architecture.md").read_text("utf-8").partition("## A package")[0]
    listed = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert sorted(listed) == sorted(upstream_first)
    packages = [name for name in upstream_first if (_ROOT / "components" / name).is_dir()]
    assert [name for name in listed if name in packages] == packages
