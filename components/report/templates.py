"""Jinja templates of the report, their number formats, and the table of steps."""

import html
import json
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from components import display
from components.documents import plain
from components.metrics import short, title
from components.step import StepRecord


def environment(**options: Any) -> Environment:
    """Jinja environment for the templates of this package."""
    templates = Environment(
        loader=PackageLoader("components.report", ""),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )
    templates.filters |= {
        "number": display.number,
        "size": display.size,
        "seconds": display.duration,
        "date": display.date,
        "quantile": display.quantile,
        "short": short,
        "title_of": title,
        "setting": display.setting,
    }
    return templates


# In the order in which they end, as far as one waits for the other.
_TITLES = {
    "fingerprint": "Fingerprint",  # this and the next one in pages of 0.1.0
    "champion": "Fetching the champion",
    "prepare": "Preparation",
    "ingest": "Ingest",
    "vocabulary": "Vocabularies",
    "train": "Training",
    "evaluate": "Evaluation",
    "report": "Report",
    "export": "Export",
    "publish": "Publishing",
    "refuse": "Refusal",
}
_LAST = ("publish", "refuse")
# What a user typed cannot be taken for it: the page holds no tag of a user's.
_TABLE = re.compile(r'<section data-steps="([^"]*)">.*?</section>', re.DOTALL)


def table(records: Iterable[StepRecord]) -> Markup:
    """Renders the table as HTML, with the records themselves in an attribute, for `steps_of`."""
    steps = in_order(records)
    values = [plain(step) for step in steps]
    shown = [{**step, "title": _TITLES.get(step["step"], step["step"])} for step in values]
    return Markup(
        environment(autoescape=True)
        .get_template("steps.html")
        .render(records=json.dumps(values), steps=shown, ended=any(step.step in _LAST for step in steps))
    )


def steps_of(page: str) -> list[StepRecord]:
    """Reads the records in the page's table; none if it is another page than `report` makes."""
    found = _TABLE.search(page)
    return msgspec.json.decode(html.unescape(found[1]), type=list[StepRecord]) if found else []


def with_steps(page: str, records: Iterable[StepRecord]) -> str:
    """Replaces the records in the page's table by `records`."""
    made = table(records)
    return _TABLE.sub(lambda _: made, page, count=1)


def in_order(records: Iterable[StepRecord]) -> list[StepRecord]:
    """Sorts the records as the pipeline runs the steps, the first one of each; unknown steps come last."""
    by_step: dict[str, StepRecord] = {}
    for record in records:
        by_step.setdefault(record.step, record)
    known = [by_step.pop(step) for step in _TITLES if step in by_step]
    return [*known, *by_step.values()]
