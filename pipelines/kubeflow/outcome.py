"""Outcome of a run on the cluster: from its record in the registry, else from the log of `notify`."""

from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from components.errors import UserError
from components.registry.run_records import CANCELLED, FAILED, RunRecord, RunRecords
from components.step import StepOutcome, last_outcome
from components.storage import is_remote
from pipelines.kubeflow.client import state_of
from pipelines.kubeflow.runs import registry_of
from pipelines.kubeflow.step_pods import RunPods

CANCELLED_REASON = "the run was cancelled"

_NOTIFY = "notify"
_TELL_THE_END = (_NOTIFY, "publish", "refuse", "prepare")
_LINES = 500  # the launcher adds its own, some for each output of the step


class RunEnd(NamedTuple):
    """Outcome of a run, as text and tables."""

    text: str  # the outcome, the version and the reason; or why they are not known
    tables: list[Any]  # of the verdict, for rich; none if the run did not come to one


def read_outcome(run: Any, pods: RunPods) -> RunEnd:
    """Reads the outcome of a run that has ended, and records that it was cancelled if it was."""
    registry, cancelled = registry_of(run), state_of(run) == CANCELLED
    place = f"{registry.rstrip('/')}/runs/{run.run_id}"
    try:
        record = mark_cancelled(run) or _records(registry).read(run.run_id)
        if record is not None:
            sentence = _sentence(record.outcome, record.version, record.reason)
            return RunEnd(sentence, _tables(registry, run.run_id))
        tried = "it is not there as seen from here"
    except UserError as error:
        tried = str(error)
    told = _told(run, pods)
    if told is not None:
        if cancelled and told.outcome == FAILED:  # which the exit handler is not told
            return RunEnd(_sentence(CANCELLED, told.version, CANCELLED_REASON), [])
        return RunEnd(_sentence(told.outcome, told.version, told.reason), [])
    ways = [f"registry: {tried}", *(f"{way}: {why}" for way, why in pods.missing.items())]
    text = f"the run's record is {place}; not read from here: {'; '.join(ways)}; see `{pods.kubectl_logs}`"
    return RunEnd(text, [])


def _told(run: Any, pods: RunPods) -> StepOutcome | None:
    """Returns the last outcome of a step that says how the run ended; None if no log can be read.

    That is the exit handler's, unless the run was retried: then it does not run again.
    """
    last_first = [step for step in reversed(pods.steps(run)) if step in _TELL_THE_END]
    for step in last_first or [_NOTIFY]:
        with suppress(UserError):
            told = last_outcome(pods.log(run, step, _LINES).lines)
            if told is not None and told.outcome:
                return told
    return None


def mark_cancelled(run: Any) -> RunRecord | None:
    """Writes into the record of a cancelled run that it was cancelled, unless it had its verdict before.

    Returns the record; None if the run was not cancelled, or has no record in reach. Raises `UserError` if
    the registry cannot be read or written.
    """
    if state_of(run) != CANCELLED:
        return None
    registry = registry_of(run)
    records = _records(registry)
    record = records.read(run.run_id)
    if record is None and is_remote(registry):
        record = RunRecord(run_id=run.run_id, outcome=FAILED, reason="")
    if record is None or record.outcome != FAILED:
        return record
    reason = CANCELLED_REASON
    if record.version:
        reason = f"its version is the champion, but {reason} before the publisher had ended"
    record = msgspec.structs.replace(record, outcome=CANCELLED, reason=reason)
    records.write(record, {})
    return record


def _records(registry: str) -> RunRecords:
    from components.registry.registry import Registry

    return Registry(registry).runs


def _sentence(outcome: str, version: str, reason: str) -> str:
    return f"{' '.join(filter(None, [outcome, version]))}: {reason}"


def _tables(registry: str, run_id: str) -> list[Any]:
    from components.documents import decode
    from components.evaluate.console import verdict_tables
    from components.evaluate.verdict import VERDICT_FILE, Verdict
    from components.storage import NotFoundError

    try:
        data = _records(registry).document(run_id, VERDICT_FILE)
    except NotFoundError:  # the run failed before its verdict
        return []
    return verdict_tables(decode(data, Verdict, f"{VERDICT_FILE} of the run {run_id}"))
