"""A person's own ratings, as Letterboxd, IMDb and Trakt export them, on an index's movies and scale."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from components.errors import UserError
from components.ingest.dataset import Scale, usual_scale
from components.ingest.layouts import plain
from components.recommend.titles import Titles

# What a column may be called, without case, spaces and punctuation; the first that is there counts.
_TITLES = ("title", "name", "movietitle", "filmtitle", "movie", "film", "movieid")
_RATINGS = ("yourrating", "rating", "myrating", "stars", "score")
_YEARS = ("year", "releaseyear")
# Columns that only one service writes -> the scale of its ratings.
_SCALES: Mapping[str, Scale] = {"yourrating": (1, 10), "letterboxduri": (0.5, 5), "ratedat": (1, 10)}


class OwnRatings(NamedTuple):
    """Ratings of one person, as far as their movies are in the catalogue."""

    stars: dict[str, float]  # movie id -> rating on the index's scale
    missing: list[str]  # titles that are no movie of the catalogue, or several
    scale: Scale  # of the file


def read_own_ratings(file: str, titles: Titles, scale: Scale, given: Scale | None = None) -> OwnRatings:
    """Reads the ratings of one person from a CSV file with a header, or JSON, with a title in each row.

    Stars are mapped linearly from the file's scale, `given` or found in it, to `scale`. Rows without a rating
    are left out; of several ratings of a movie the last counts.

    Raises:
      UserError: if the file cannot be read, names no titles and ratings, or none of its movies is known.
    """
    rows = [{plain(str(name)): value for name, value in row.items()} for row in _rows(file)]
    title, rating, year = (
        next((name for name in names if any(name in row for row in rows)), "")
        for names in (_TITLES, _RATINGS, _YEARS)
    )
    if not title or not rating:
        columns = ", ".join(rows[0]) if rows else "nothing"
        raise UserError(
            f"--history {file} needs a column title and a column rating; it has {columns[:200]}: name the "
            "ratings file of a Letterboxd, IMDb or Trakt export"
        )
    rated = [(row, number) for row in rows if (number := _number(row.get(rating))) is not None]
    known = next((_SCALES[name] for name in _SCALES if name in rows[0]), None)
    low, high = given or known or usual_scale([number for _, number in rated])
    stars: dict[str, float] = {}
    missing: list[str] = []
    for row, number in rated:
        if not low <= number <= high:
            raise UserError(
                f"--history {file}: {row.get(title)} has the rating {number:g}, which is not on the scale "
                f"{low:g} to {high:g}; name another with --rating-scale"
            )
        name, of_year = str(row.get(title) or ""), _number(row.get(year))
        if found := titles.only(name, int(of_year or 0)):
            stars[found] = scale[0] + (number - low) / (high - low) * (scale[1] - scale[0])
        else:
            missing.append(f"{name} ({of_year:.0f})" if of_year else name)
    if not stars:
        raise UserError(
            f"--history {file}: none of its {len(rated)} rated movies is in the catalogue; it needs their "
            "titles as the catalogue has them, or its ids"
        )
    return OwnRatings(stars, missing, (low, high))


def _rows(file: str) -> list[dict[str, Any]]:
    try:
        text = Path(file).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--history {file} cannot be read; name a CSV or JSON file in UTF-8") from error
    try:
        if text.lstrip()[:1] == "[":
            return [_flat(one) for one in json.loads(text)]
        if text.lstrip()[:1] == "{":
            return [_flat(json.loads(line)) for line in text.splitlines() if line.strip()]
        first = text.partition("\n")[0]
        delimiter = max(",;\t", key=first.count)
        return list(csv.DictReader(io.StringIO(text), delimiter=delimiter, restkey="more"))
    except (ValueError, AttributeError, csv.Error) as error:
        raise UserError(f"--history {file} is damaged ({error}); export it again") from error


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Takes the fields of a movie that is an object of its own, as Trakt writes them, into its row."""
    inner: Iterable[Mapping[str, Any]] = (value for value in row.values() if isinstance(value, dict))
    return {**{name: value for one in inner for name, value in one.items()}, **_plain_values(row)}


def _plain_values(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not isinstance(value, dict | list)}


def _number(value: Any) -> float | None:
    try:
        return float(str(value).replace(",", "."))
    except ValueError:
        return None
