"""Options of reading users' files: their names, their flags, and the input `ingest_settings`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from ratings_files import full, ingest_text, netflix, write

from components.errors import UserError
from components.ingest.settings import ReadOptions
from components.ingest.step import describe
from pipelines.compiled import check_pipeline_inputs

ANONYMOUS = netflix([*full(), ("NULL", 3, "m1"), ("NaN", 3, "m2"), ("nan", 3, "m3"), ("u1", 3, "\\N")])


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(UserError, match="no setting 'missing_id'; did you mean 'missing_ids'"):
        check_pipeline_inputs({"ingest_settings": {"missing_id": ""}})


def test_an_option_has_its_type() -> None:
    with pytest.raises(UserError, match=r"missing_ids is \['NULL'\]; give a text"):
        ReadOptions.read({"missing_ids": ["NULL"]})


def test_ids_that_mean_none_are_rejected(tmp_path: Path) -> None:
    dataset = ingest_text(tmp_path, ANONYMOUS, max_reject_rate=1.0)
    assert dataset.statistics["rejected_by_reason"] == {"no user": 2, "no movie": 1}
    assert ("nan", "m3") in dataset.ratings()


def test_ids_that_mean_none_are_kept_on_demand(tmp_path: Path) -> None:
    dataset = ingest_text(tmp_path, ANONYMOUS, None, ingest_settings={"missing_ids": ""})
    assert {("NULL", "m1"), ("NaN", "m2"), ("u1", "\\N")} <= dataset.ratings().keys()


def test_a_flag_overrides_the_dict(tmp_path: Path) -> None:
    words = ["--ratings", write(tmp_path / "r.csv", ANONYMOUS), "--json", "--max-reject-rate", "1"]

    def rejected(*flags: str) -> dict[str, int]:
        done = CliRunner().invoke(describe, [*words, *flags], catch_exceptions=False)
        found: dict[str, int] = json.loads(done.stdout)["rejected_by_reason"]
        return found

    of_none = '{"missing_ids": ""}'
    assert rejected("--ingest-settings", of_none) == {}
    assert rejected("--ingest-settings", of_none, "--missing-ids", "nan") == {"no user": 1}
    assert rejected("--missing-ids", "nan", "--ingest-settings", of_none) == {"no user": 1}
