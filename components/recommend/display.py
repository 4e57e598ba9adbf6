"""Tables for people, tab-separated lines for pipes, JSON for machines."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from components.recommend.titles import printable

Row = Sequence[str]


def show_json(value: Any) -> None:
    """Prints `value` as one JSON document."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False))


def note(message: str) -> None:
    """Prints a line about the answer beside it, so that a pipe carries the answer only."""
    click.echo(message, err=True)


def show_table(heading: str, columns: Row, rows: Sequence[Row], numbers: Sequence[str] = ()) -> None:
    """Prints rows: a table with `heading` on a terminal, else tab-separated lines below the column names.

    Args:
      numbers: the columns that are aligned to the right.
    """
    clean = [[printable(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for line in [list(columns), *clean]:
            click.echo("\t".join(line))
        return
    from rich.console import Console

    Console().print(table(heading, columns, clean, numbers))


def table(heading: str, columns: Row, rows: Sequence[Row], numbers: Sequence[str] = ()) -> Any:
    """A `rich.table.Table` that fits 80 columns: long titles are folded, figures never."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # Text, not str: a title such as "[REC]" is no markup.
    result = Table(title=Text(printable(heading)), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        is_number = name in numbers
        result.add_column(name, justify="right" if is_number else "left", no_wrap=is_number, overflow="fold")
    for row in rows:
        result.add_row(*(Text(printable(cell)) for cell in row))
    return result


def stars(rating: float) -> str:
    """A rating as people read it."""
    return f"{rating:.1f}"
