"""The verdict of a run on the cluster, from its record, where the registry can be read from here."""

import json
from typing import Any

from rich.console import Console
from rich.padding import Padding

from components.errors import UserError


def print_verdict(run: Any, console: Console) -> None:
    """Prints what the run record says of `run`, or why it cannot be read."""
    registry = str((run.runtime_config.parameters or {}).get("registry", "")) if run.runtime_config else ""
    place = f"{registry.rstrip('/')}/runs/{run.run_id}"
    try:
        text, tables = _read(registry, run.run_id)
    except UserError as error:
        console.print(
            f"the run's record is {place}; not read from here: {error}", soft_wrap=True, markup=False
        )
        return
    for table in tables:
        console.print(Padding(table, (1, 0, 0, 0)))
    console.print(text or f"no record of the run at {place}, as seen from here", soft_wrap=True, markup=False)


def _read(registry: str, run_id: str) -> tuple[str, list[Any]]:
    """The outcome as a line ("" if there is no record), and the tables of the verdict if there was one."""
    from components.registry.registry import Registry

    runs = Registry(registry).runs
    record = runs.read(run_id)
    if record is None:
        return "", []
    version = f" {record.version}" if record.version else ""
    text = f"{record.outcome}{version}: {record.reason}"
    return text, _tables(runs, run_id)


def _tables(runs: Any, run_id: str) -> list[Any]:
    from components.evaluate.console import verdict_tables
    from components.storage import NotFoundError

    try:
        return verdict_tables(json.loads(runs.document(run_id, "verdict.json")))
    except NotFoundError:  # the run failed before its verdict
        return []
