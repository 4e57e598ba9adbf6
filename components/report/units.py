"""Figures in people's units: stars, movies found of 100, minutes."""

from components.evaluate.names import BIAS, ERRORS, FACTORS, words

# Names that would take a picture's whole width.
_SHORT = {BIAS: "biases", FACTORS: "factorisation"}


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
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def quantile_name(quantile: str) -> str:
    """A quantile, "0" to "1", as people say it."""
    return {"0": "least", "0.5": "half", "1": "most"}.get(quantile, f"{100 * float(quantile):g}%")


def size(count: int) -> str:
    """Bytes as people say them."""
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.0f} MB"


def plain(scorer: str) -> str:
    """A scorer's name where it stands alone, short."""
    return _SHORT.get(scorer, words(scorer).removeprefix("the "))
