"""Work of the exit handler: completes the run record and calls a webhook."""

import http.client
import json
import os
import urllib.error
import urllib.request
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from components.errors import UserError
from components.metrics import GATE_METRICS
from components.progress import log
from components.registry.registry import Registry
from components.registry.run_records import FAILED, RunRecord

# For all of a call, from finding the address on.
_DEADLINE_SECONDS = 10.0

# A site's own, and often secret: so not a parameter, which every reader of a run can see.
WEBHOOK = "TWOTOWER_WEBHOOK"


def call_webhook(text: str) -> None:
    """Posts the JSON {"text": `text`}, which Slack, Mattermost and Google Chat take, to the site's webhook.

    Takes ten seconds at most. A failure is logged and not raised. The URL is never logged: it holds a secret.
    """
    url = os.environ.get(WEBHOOK)
    if not url:
        return
    if not url.startswith(("https://", "http://")):
        log("the webhook was not called: its URL must begin with https://")
        return
    faults = SimpleQueue[str]()
    # The timeout of urllib is for each wait alone, and none is for finding the address.
    Thread(target=lambda: faults.put(_post(url, text)), daemon=True).start()
    try:
        fault = faults.get(timeout=_DEADLINE_SECONDS)
    except Empty:
        fault = f"it did not answer within {_DEADLINE_SECONDS:g} s"
    if fault:
        log(f"the webhook has not taken the message: {fault}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect as the answer: no other place is to have the message."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _post(url: str, text: str) -> str:
    """Returns why `url` did not take `text`, "" if it did. Nothing of the answer's body is read."""
    request = urllib.request.Request(
        url, data=json.dumps({"text": text}).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=_DEADLINE_SECONDS):
            return ""  # the status is 2xx
    except urllib.error.HTTPError as answer:
        answer.close()
        redirected = ", and redirects are not followed" if 300 <= answer.code < 400 else ""
        return f"it answered {answer.code} {http.client.responses.get(answer.code, '')}".strip() + redirected
    except Exception as error:  # whatever it is, the run has ended well
        cause = getattr(error, "reason", error)
        return type(cause if isinstance(cause, Exception) else error).__name__


def complete_record(registry: str, run_id: str, error: str) -> str:
    """Writes a record if the run has none, and returns a sentence about its end."""
    try:
        store = Registry(registry)
        record = store.runs.read(run_id)
        if record is None:
            record = _failure(store, error, run_id)
            store.runs.write(record, {})
        else:
            store.runs.report(record)
        return _sentence(record)
    except UserError as problem:
        return f"run {run_id} has ended, and its record cannot be kept: {problem}"


def _failure(registry: Registry, error: str, run_id: str) -> RunRecord:
    # Kubeflow does not tell an exit handler whether the run failed or was cancelled.
    reason = error or "the run did not reach its verdict (failed or cancelled); see the log of its last step"
    # A publisher that dies between its last writes leaves a champion without a record.
    entry = registry.champion_log.of_run(run_id)
    if entry is None:
        return RunRecord(run_id=run_id, outcome=FAILED, reason=reason)
    reason = f"its version is the champion, but the publisher failed after that: {reason}"
    return RunRecord(
        run_id=run_id, outcome=FAILED, reason=reason, version=entry.version, sequence=entry.sequence
    )


def _sentence(record: RunRecord) -> str:
    figures = {metric.name: record.metrics.get(metric.name) for metric in GATE_METRICS}
    known = ", ".join(f"{name} {value:.4f}" for name, value in figures.items() if value is not None)
    words = ["run", record.run_id, record.outcome, record.version, f"({known})" if known else ""]
    return f"{' '.join(filter(None, words))}: {record.reason}"
