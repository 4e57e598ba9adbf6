"""Options of reading users' files: flags of each command that reads such, and `ingest_settings` by name."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from components.declaration import inputs_of
from components.errors import UserError

# Name of the dict that carries the options through the pipeline.
INGEST_SETTINGS = "ingest_settings"


@dataclass(frozen=True)
class ReadOptions:
    """Reading of users' files, where the usual does not fit.

    Args:
      missing_ids: Ids of users and movies in text files that mean that there is none, several by comma,
        exactly as they are written; "" takes every id as it is.
    """

    missing_ids: str = "NULL,NaN,None,NA,\\N"

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Makes the options of `values`, by name.

        Raises `UserError` if a name is unknown or a value is not one that the option takes.
        """
        declared = inputs_of(cls)
        for name, value in values.items():
            if name not in declared:
                nearest = difflib.get_close_matches(name, declared, n=1, cutoff=0.0)[0]
                raise UserError(f"--ingest-settings: there is no setting {name!r}; did you mean {nearest!r}?")
            if not isinstance(value, declared[name].type):
                raise UserError(f"--ingest-settings: {name} is {value!r}; give a text in quotes")
            declared[name].check(value)
        return cls(**values)

    @property
    def missing(self) -> list[str]:
        """Ids that mean that there is none, the empty one among them."""
        return ["", *filter(None, self.missing_ids.split(","))]
