"""The page's table of steps, and how it is completed."""

import html

import pytest

from components.display import duration
from components.report.templates import in_order, steps_of, table, with_steps
from components.step import StepRecord

RECORDS = [
    StepRecord(step="train", seconds=768.2, peak_memory_bytes=3 * 2**30),
    StepRecord(step="ingest", seconds=1.25, peak_memory_bytes=300 * 2**20),
]
LATER = "Later steps are on the page of the run"


def test_what_is_put_on_a_page_is_read_from_it():
    page = f"<p>above\n{table(RECORDS)}<p>below\n"
    assert steps_of(page) == RECORDS[::-1]
    assert "<td>Training</td>" in page
    assert "12 min 48 s" in page
    assert "3.0 GB" in page
    assert LATER in page


@pytest.mark.parametrize("last", ["publish", "refuse"])
def test_a_page_is_completed(last):
    page = f"<p>above\n{table(RECORDS[:1])}<p>below\n"
    records = [*RECORDS, StepRecord(step=last, seconds=2.0, peak_memory_bytes=2**20)]
    completed = with_steps(page, records)
    assert [step.step for step in steps_of(completed)] == ["ingest", "train", last]
    assert LATER not in completed
    assert completed.startswith("<p>above\n<section")
    assert completed.endswith("</section><p>below\n")
    assert completed.count("<section") == 1


def test_another_page_stays_as_it_is():
    page = f"<p>{html.escape(str(table(RECORDS)))}"
    assert steps_of(page) == []
    assert with_steps(page, RECORDS) == page


def test_names_stay_text():
    strange = [StepRecord(step="<b>\"'&\\1</section>", seconds=1.0, peak_memory_bytes=1)]
    page = with_steps(str(table(RECORDS)), strange)
    assert steps_of(page) == strange
    assert "<b>" not in page
    assert page.count("</section>") == 1


def test_steps_are_ordered_as_the_pipeline_runs_them_the_first_record_of_each():
    names = ["export", "mine", "evaluate", "champion", "fingerprint", "train"]
    records = [StepRecord(step=name, seconds=place, peak_memory_bytes=1) for place, name in enumerate(names)]
    again = [StepRecord(step=name, seconds=99, peak_memory_bytes=1) for name in ("train", "export")]
    ordered = in_order([*records, *again])
    assert [step.step for step in ordered] == [
        "fingerprint",
        "champion",
        "train",
        "evaluate",
        "export",
        "mine",
    ]
    assert {step.seconds for step in ordered} == set(range(6))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.4, "59.4 s"), (59.96, "1 min 0 s"), (239.7, "4 min 0 s"), (3700, "61 min 40 s")],
)
def test_a_duration_is_rounded_for_people(seconds, text):
    assert duration(seconds) == text
