"""`twotower describe --json` of the files of the corpus, and that no row is lost in any of them."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner
from corpus import KINDS
from corpus_files import FILES
from corpus_implicit import IMPLICIT_KINDS
from ratings_files import write

from components.errors import UserError
from components.ingest.step import describe

ALL = KINDS | FILES | IMPLICIT_KINDS


def test_the_corpus_has_many_kinds() -> None:
    assert len(ALL) == len(KINDS) + len(FILES) + len(IMPLICIT_KINDS) >= 120


@pytest.mark.parametrize("name", ALL)
def test_the_answer_is_the_expected_one(tmp_path: Path, name: str) -> None:
    kind = ALL[name]
    words = ["--ratings", _place(tmp_path / "ratings", kind.ratings), "--json", *kind.flags]
    if kind.movies is not None:
        words += ["--movies", write(tmp_path / "movies", kind.movies)]
    if kind.error:
        with pytest.raises(UserError, match=re.escape(kind.error)) as refused:
            CliRunner().invoke(describe, words, catch_exceptions=False)
        assert "\n" not in str(refused.value)
        return
    done = CliRunner().invoke(describe, words, catch_exceptions=False)
    answer = json.loads(done.stdout)
    assert answer["rows_read"] == answer["rows_kept"] + sum(answer["rejected_by_reason"].values())
    assert {field: answer[field] for field in kind.says} == kind.says
    assert re.search(kind.refusal or "^$", answer["refusal"] or "")
    assert re.search(kind.notice or "^$", "".join(answer["notices"]))


def _place(path: Path, content: str | bytes | Mapping[str, bytes]) -> str:
    """Writes a file, or a directory of files."""
    if not isinstance(content, Mapping):
        return write(path, content)
    for name, of_file in content.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        write(path / name, of_file)
    return str(path)
