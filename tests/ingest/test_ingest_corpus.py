"""`twotower describe --json` of the files of the corpus, and that no row is lost in any of them."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from corpus import KINDS
from ratings_files import write

from components.errors import UserError
from components.ingest.step import describe


def test_the_corpus_has_many_kinds() -> None:
    assert len(KINDS) >= 60


@pytest.mark.parametrize("name", KINDS)
def test_the_answer_is_the_expected_one(tmp_path: Path, name: str) -> None:
    kind = KINDS[name]
    words = ["--ratings", write(tmp_path / "ratings", kind.ratings), "--json", *kind.flags]
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
