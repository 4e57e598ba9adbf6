"""Finds movies by id or title, and formats their titles."""

import difflib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence

from components.errors import UserError

_WITH_YEAR = re.compile(r"(?P<title>.+?)\s*\((?P<year>\d{4})\)$")
_ARTICLE_BEHIND = re.compile(r"(?P<title>.+), (?P<article>the|an?)$")
_BRACKETS = re.compile(r"[()]")
_CANDIDATES_SHOWN = 10
_SUGGESTIONS = 5
# The least similarity, 0 to 1, of a title that is suggested.
_SIMILARITY = 0.6


class Titles:
    """Search for movies by id or title, in any case, with or without the year in brackets."""

    def __init__(self, movie_ids: Sequence[str], titles: Sequence[str], years: Sequence[int]) -> None:
        self._movie_ids, self._titles, self._years = movie_ids, titles, years
        self._row_of = {movie_id: row for row, movie_id in enumerate(movie_ids)}
        self._rows_of_title, self._rows_of_part = defaultdict(list), defaultdict(list)
        for row, title in enumerate(titles):
            self._rows_of_title[_normalised(title)].append(row)
            # MovieLens: Amelie (Fabuleux destin d'Amélie Poulain, Le).
            for part in filter(str.strip, _BRACKETS.split(title) if "(" in title else ()):
                self._rows_of_part[_normalised(part)].append(row)

    def find(self, text: str) -> int:
        """Finds the row of the movie with the id `text`, or else of the one movie with that title.

        Raises `UserError` if there is none (the nearest titles are named), or more than one (all are listed).
        """
        if text in self._row_of:
            return self._row_of[text]
        rows = self._by_title(text)
        if not rows:
            raise UserError(f'no movie has the id or the title "{text}"{self._nearest(text)}')
        if len(rows) > 1:
            raise UserError(
                f'"{text}" is the title of {len(rows)} movies: {self._listed(rows)}; give the id instead'
            )
        return rows[0]

    def only(self, title: str, year: int = 0) -> str:
        """Returns the id of the one movie with this title, or id, and year if that is known; else "".

        Catalogues differ by a year in some movies: so the nearest year counts, if it is one off.
        """
        rows = [self._row_of[title]] if title in self._row_of else self._by_title(title)
        for off in (0, 1) if year else ():
            of_year = [row for row in rows if self._years[row] and abs(self._years[row] - year) == off]
            if of_year:
                rows = of_year
                break
        else:
            rows = [row for row in rows if not (year and self._years[row])]
        return self._movie_ids[rows[0]] if len(rows) == 1 else ""

    def _by_title(self, text: str) -> list[int]:
        rows = self._with_title(text)
        with_year = _WITH_YEAR.match(text.strip())
        if rows or with_year is None:
            return rows
        same_title = self._with_title(with_year["title"])
        return [row for row in same_title if self._years[row] == int(with_year["year"])]

    def _with_title(self, text: str) -> list[int]:
        wanted = _normalised(text)
        return self._rows_of_title.get(wanted) or self._rows_of_part.get(wanted, [])

    def _nearest(self, text: str) -> str:
        wanted = _normalised(text)
        containing = [title for title in self._rows_of_title if len(wanted) > 2 and wanted in title]
        alike = difflib.get_close_matches(wanted, self._rows_of_title, n=_SUGGESTIONS, cutoff=_SIMILARITY)
        nearest = list(dict.fromkeys([*alike, *sorted(containing, key=len)]))[:_SUGGESTIONS]
        if not nearest:
            return "; `twotower history USER` shows ids and titles"
        return f"; did you mean {self._listed([self._rows_of_title[title][0] for title in nearest])}?"

    def _listed(self, rows: Sequence[int]) -> str:
        shown = [self._named(row) for row in rows[:_CANDIDATES_SHOWN]]
        more = len(rows) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "")

    def _named(self, row: int) -> str:
        return f"{titled(self._titles[row], self._years[row])} [id {self._movie_ids[row]}]"


def titled(title: str, year: int) -> str:
    """Adds the year in brackets to a title, if it is known and the title does not have it."""
    return f"{title} ({year})" if year and f"({year})" not in title else title


def _normalised(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text.casefold())  # é is e and a mark
    plain = " ".join("".join(letter for letter in letters if not unicodedata.combining(letter)).split())
    behind = _ARTICLE_BEHIND.match(plain)
    return f"{behind['article']} {behind['title']}" if behind else plain
