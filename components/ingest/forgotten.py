"""Users to forget: the file that names them, and their ratings, which go into no output."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from components.errors import UserError
from components.ingest.database import one_row
from components.ingest.dataset import ForgottenUsers
from components.ingest.inputs import open_all
from components.ingest.rejects import RejectReason
from components.ingest.settings import WHOLE_NUMBER, ReadOptions
from components.progress import log

FLAG = "--forget"

# Between two fields of a line, whatever its layout; an id may hold some of these itself.
_BETWEEN_FIELDS = re.compile(r"""[\s,;|:"'{}\[\]]+""")


@dataclass(frozen=True)
class ForgetList:
    """Users whose ratings are left out; an empty list is no list."""

    user_ids: frozenset[str] = frozenset()
    id_type: str = "text"  # as `ReadOptions` has it

    @classmethod
    def read(cls, names: str, options: ReadOptions, scratch: Path, flag: str = FLAG) -> Self:
        """Reads the users in files, one a line, their ids as those of text tables; "" names none.

        Args:
          names: paths, gs:// or s3:// URIs, several by comma, or a pattern.
          options: of reading ids.
          scratch: directory for copies of objects in a bucket.
          flag: names the files, for messages.

        Raises `UserError` if a file cannot be read or is no text, or no user is named.
        """
        if not names:
            return cls()
        files = open_all(names, flag, scratch)
        for file in files:
            if file.is_parquet:
                raise UserError(f"{flag} {file.name} is a Parquet file; name a text file, one user id a line")
        ids = {_unquoted(line) for file in files for _, line in file.lines()} - {*options.missing}
        if not ids:
            raise UserError(
                f"{flag} {names} names no user; put one user id on each line, or leave the flag out"
            )
        return cls(frozenset(map(options.id_of, ids)), options.id_type)

    @property
    def fingerprint(self) -> str:
        """Changes with the users; "" if there are none."""
        if not self.user_ids:
            return ""
        return hashlib.sha256("\n".join(sorted(self.user_ids)).encode()).hexdigest()

    def is_named_in(self, text: str) -> bool:
        """Tests if a line may name one of the users, in whatever field."""
        if not self.user_ids:
            return False
        id_of = ReadOptions(id_type=self.id_type).id_of
        words = {id_of(word) for word in _BETWEEN_FIELDS.split(text)}
        return not words.isdisjoint(self.user_ids) or any(one in text for one in self._divided)

    @cached_property
    def _divided(self) -> list[str]:
        """The ids that hold something that may stand between fields."""
        return [one for one in self.user_ids if _BETWEEN_FIELDS.search(one)]

    @contextmanager
    def withheld(self) -> Iterator[None]:
        """Keeps the users out of a `UserError` of the block, which may show a line of a file."""
        try:
            yield
        except UserError as error:
            shown = re.sub(r"('[^']*'|\"[^\"]*\")", self._hide, str(error))
            raise UserError(shown) from None

    def _hide(self, quoted: re.Match[str]) -> str:
        return "(a line of a user to forget)" if self.is_named_in(quoted[0][1:-1]) else quoted[0]


def _unquoted(line: str) -> str:
    text = line.strip(" \t")
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].replace('""', '"').strip(" \t")
    return text


def leave_out(connection: Any, forget: ForgetList) -> ForgottenUsers:
    """Marks the rows of the table `rows` that are of users to forget, and says in the log how many.

    None of these rows is kept, rejected or listed, whatever is wrong with it.
    """
    if not forget.user_ids:
        return ForgottenUsers()
    import pyarrow as pa

    listed = sorted(forget.user_ids)
    connection.register("forget_list", pa.table({"user_id": listed}))
    no_rows = ", ".join(
        f"{reason:d}" for reason in (RejectReason.MOVIE_LINE, RejectReason.HEADER, RejectReason.BLANK)
    )
    connection.execute(
        f"""
        UPDATE rows SET reason = {RejectReason.FORGOTTEN_USER:d}
        WHERE reason NOT IN ({no_rows}) AND user_id IN (SELECT user_id FROM forget_list)
        """
    )
    users, rows = one_row(
        connection,
        f"""
        SELECT count(DISTINCT user_id), count(*) FROM rows WHERE reason = {RejectReason.FORGOTTEN_USER:d}
        """,
    )
    counts = ForgottenUsers(listed=len(listed), users=users, rows=rows)
    log(f"{FLAG}: {counts}")
    for hint in _hints(connection, forget) if users < len(listed) else ():
        log(f"{FLAG}: {hint}")
    connection.unregister("forget_list")
    return counts


def _hints(connection: Any, forget: ForgetList) -> Iterator[str]:
    """Yields a line for each way of writing ids by which listed users without ratings would have some."""
    number = f"regexp_replace(user_id, '{WHOLE_NUMBER}', '\\1')"
    causes = {"lower(user_id)": "if capital and small letters were the same; write them as the ratings do"}
    if forget.id_type != "int":
        causes = {number: "with --id-type int"} | causes
    for form, cure in causes.items():
        (found,) = one_row(
            connection,
            f"""
            SELECT count(DISTINCT user_id) FROM forget_list
            WHERE user_id NOT IN (SELECT user_id FROM rows WHERE reason = {RejectReason.FORGOTTEN_USER:d})
                AND {form} IN (
                    SELECT {form} FROM (SELECT DISTINCT user_id FROM rows WHERE user_id IS NOT NULL)
                )
            """,
        )
        if found:
            yield f"{found:,} of those without ratings would have some {cure}"
