"""Figures in people's units: stars, movies found of 100, minutes."""

from components.evaluate.names import ERRORS


def figure(value: float, metric: str, digits: int | None = None) -> str:
    """A value of `metric` as people say it: stars, or movies of 100."""
    if metric in ERRORS:
        return f"{value:.{2 if digits is None else digits}f}"
    return f"{100 * value:.{digits or 0}f}"


def apart(value: float, other: float, metric: str) -> tuple[str, str]:
    """Two values, with as many digits as it takes to tell them apart, within reason."""
    fewest = 2 if metric in ERRORS else 0
    for digits in range(fewest, fewest + 3):
        pair = figure(value, metric, digits), figure(other, metric, digits)
        if pair[0] != pair[1]:
            break
    return pair


def sentence(text: str) -> str:
    """`text` with a capital letter first."""
    return text[:1].upper() + text[1:]


def duration(seconds: float) -> str:
    """A time as people say it."""
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{minutes:.0f} min {rest:.0f} s" if minutes else f"{rest:.1f} s"
