"""The documentation says what the code does."""

import importlib.util
import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PAGES = sorted([_ROOT / "README.md", _ROOT / "CHANGELOG.md", *(_ROOT / "docs").glob("*.md")])


def test_the_reference_of_the_command_line_is_fresh():
    spec = importlib.util.spec_from_file_location("cli_reference", _ROOT / "docs" / "cli.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.TARGET.read_text("utf-8") == module.reference(), "stale: run `make docs`"


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_every_verb_and_subcommand_that_a_page_names_exists(page):
    from pipelines.cli import COMMANDS

    text = page.read_text("utf-8")
    verbs = set(re.findall(r"^([a-z-]+):", (_ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= verbs
    assert set(re.findall(r"`(?:\S*/)?twotower ([a-z-]+)", text)) <= set(COMMANDS)
