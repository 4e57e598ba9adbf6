"""The templates of this room, and how they write figures."""

from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from components.evaluate.names import words
from components.report.headline import in_words
from components.report.units import duration, quantile_name, sentence, size

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def environment(**options: Any) -> Environment:
    """Jinja's, for the templates in this room."""
    templates = Environment(
        loader=FunctionLoader(_template),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )
    templates.filters |= {
        "number": _number,
        "size": size,
        "seconds": duration,
        "date": _date,
        "quantile": quantile_name,
        "words": words,
        "sentence": sentence,
        "setting": _setting,
        "in_words": in_words,
    }
    return templates


def _template(name: str) -> str:
    return resources.files("components.report").joinpath(name).read_text(encoding="utf-8")


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _setting(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _date(seconds: int) -> str:
    """The day of a time in seconds since 1970."""
    try:
        return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%d}"
    except OverflowError:  # thousandths of a second, perhaps
        return f"second {seconds:,} since 1970"
