"""A run or a version in a few lines for a terminal."""

from collections.abc import Iterator

from components.registry.lookup import Found
from components.registry.run_records import PUBLISHED
from components.report.headline import headline


def summary(found: Found) -> Iterator[str]:
    """How it ended, and why."""
    record = found.record
    if record is not None:
        version = (
            f": {record.version}, number {record.sequence} of the champion log" if record.sequence else ""
        )
        yield f"run {record.run_id} {record.outcome}{version}"
    elif found.manifest is not None:
        yield f"version {found.name}, whose run has no record any more"
    if found.verdict:
        head = headline(found.verdict)
        yield from (head.title, *(reason.text for reason in head.reasons), *head.hints)
    elif record is not None and record.outcome != PUBLISHED:
        yield record.reason
