"""Finds movies by id or title, and formats their titles."""

import difflib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence

from components.errors import UserError

_WITH_YEAR = re.compile(r"(?P<title>.+?)\s*\((?P<year>\d{4})\)$")
_ARTICLE_BEHIND = re.compile(r"(?P<title>.+), (?P<article>the|an?)$")
_CANDIDATES_SHOWN = 10
_SUGGESTIONS = 5
# The least similarity, 0 to 1, of a title that is suggested.
_SIMILARITY = 0.6


class Titles:
    """Search for movies by id or title, in any case, with or without the year in brackets."""

    def __init__(self, movie_ids: Sequence[str], titles: Sequence[str], years: Sequence[int]) -> None:
        self._movie_ids, self._titles, self._years = movie_ids, titles, years
        self._row_of = {movie_id: row for row, movie_id in enumerate(movie_ids)}
        self._rows_of_title = defaultdict(list)
        for row, title in enumerate(titles):
            self._rows_of_title[_normalised(title)].append(row)

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

    def _by_title(self, text: str) -> list[int]:
        rows = self._rows_of_title.get(_normalised(text), [])
        with_year = _WITH_YEAR.match(text.strip())
        if rows or with_year is None:
            return rows
        same_title = self._rows_of_title.get(_normalised(with_year["title"]), [])
        return [row for row in same_title if self._years[row] == int(with_year["year"])]

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
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    behind = _ARTICLE_BEHIND.match(plain)
    return f"{behind['article']} {behind['title']}" if behind else plain
