"""The runs of a registry for a terminal."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from components.errors import UserError
from components.registry.run_records import FAILED, PUBLISHED, REFUSED, SUPERSEDED, RunRecord

_METRICS = {"top_100_accuracy_unseen": "top-100", "rmse": "RMSE"}
_STYLES = {PUBLISHED: "green", REFUSED: "red", FAILED: "red", SUPERSEDED: "yellow"}


def runs_list(records: Sequence[RunRecord], root: str) -> Iterator[RenderableType]:
    """Two entries a run: when and how it ended with its figures, and why. Fits into 80 columns.

    Raises:
      UserError: if there are no records.
    """
    if not records:
        raise UserError(
            f"{root} holds no run records; name another registry, or start a run by `twotower run`"
        )
    headings = " ".join(f"{title:>7}" for title in _METRICS.values())
    yield Text(f"{'ended (UTC)':<16} {'outcome':<10} {headings}  run", style="bold")
    for record in records:
        figures = " ".join(_figure(record.metrics.get(metric)) for metric in _METRICS)
        line = Text(f"{record.time[:16].replace('T', ' ')} ")
        line.append(f"{record.outcome:<10}", style=_STYLES.get(record.outcome, ""))
        line.append(f" {figures}  {record.run_id}")
        yield line
        version = f"{record.version}: " if record.version else ""
        yield Padding(Text(version + record.reason, style="dim"), (0, 0, 0, 4))


def _figure(value: float | None) -> str:
    return f"{'-' if value is None else f'{value:.4f}':>7}"
