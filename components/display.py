"""Formats figures, durations, sizes, dates and small tables for people."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_QUANTILES = {"0": "least", "0.5": "median", "1": "most"}


def figure(value: float | None, digits: int = 4, missing: str = "-") -> str:
    """A measured value with a fixed number of digits; `missing` where there is none."""
    return missing if value is None else f"{value:.{digits}f}"


def number(value: float) -> str:
    """A count with its thousands apart, or a value with four digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def stars(rating: float) -> str:
    """A predicted or given rating."""
    return f"{rating:.1f}"


def setting(value: Any) -> str:
    """The value of a setting or of a statistic; "-" for None."""
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def percent(share: float, digits: int = 1) -> str:
    """A share, 0 to 1, in percent."""
    return f"{share:.{digits}%}"


def duration(seconds: float) -> str:
    """A time in minutes and seconds; with a tenth of a second below a minute."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def size(count: int) -> str:
    """A number of bytes in MB or GB."""
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.0f} MB"


def date(seconds: int) -> str:
    """The day of a time in seconds since 1970."""
    try:
        return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%d}"
    except OverflowError:  # thousandths of a second, perhaps
        return f"second {seconds:,} since 1970"


def quantile(position: str) -> str:
    """The name of a quantile, "0" to "1"."""
    return _QUANTILES.get(position, f"{100 * float(position):g}%")


def sentence(text: str) -> str:
    """`text` with a capital letter first."""
    return text[:1].upper() + text[1:]


def printable(text: str) -> str:
    """`text` on one line and without control characters: titles come from files that nobody has vetted."""
    return "".join(character if character.isprintable() else " " for character in text)


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]] = (),
    numbers: Sequence[str] = (),
    whole: Sequence[str] = (),
    ruled: bool = False,
) -> "Table":
    """A `rich.table.Table` that fits 80 columns: long texts are folded, figures never.

    Args:
      rows: cells that are strings are taken literally, not as markup; others are shown as `rich` does.
      numbers: the columns that are aligned to the right.
      whole: further columns that are never folded, such as ids that people copy.
      ruled: draws a line below the header.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    result = Table(
        title=Text(printable(title)) if title else None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD if ruled else None,
        pad_edge=False,
    )
    for name in columns:
        is_number = name in numbers
        result.add_column(
            name,
            justify="right" if is_number else "left",
            no_wrap=is_number or name in whole,
            overflow="fold",
        )
    for row in rows:
        result.add_row(*(Text(printable(cell)) if isinstance(cell, str) else cell for cell in row))
    return result
