"""From input files to a RatingsDataset, in the order in which it happens."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import UserError
from components.ingest import catalogue, inputs, judge, layouts, rejects, rows, statistics
from components.ingest.database import one_row
from components.ingest.dataset import FORMAT, MOVIES_FILE, REJECTS_FILE, SPLITS
from components.ingest.reasons import Reason
from components.ingest.split import GREATEST_HASH, SplitSettings
from components.progress import log


@dataclass(frozen=True)
class Limits:
    """Bounds on what is taken; 0 rows sets none."""

    max_train_rows: int
    max_test_rows: int
    max_reject_rate: float


def prepare(
    connection: Any,
    ratings: str,
    movies: str,
    test_ratings: str,
    split: SplitSettings,
    limits: Limits,
    directory: Path,
) -> dict[str, Any]:
    """Writes all of a RatingsDataset but its statistics, which it returns."""
    scale = (1.0, 5.0)
    table = catalogue.read(inputs.open_all(movies, "--movies")[0])
    catalogue.create_table(connection, table)
    catalogue.write(connection, directory / MOVIES_FILE)
    _read(connection, ratings, test_ratings)
    judge.keep(connection, scale, split)
    rejected = rejects.write(connection, directory / REJECTS_FILE)
    kept = one_row(connection, "SELECT count(*) FROM judged WHERE reason = 0")[0]
    rows_read = kept + rejected.total
    log(f"{rows_read:,} rows read, {kept:,} kept, {rejected.total:,} rejected")
    rejected.check_rate(rows_read, limits.max_reject_rate)
    splits = _write_splits(connection, limits, directory)
    return {
        "format": FORMAT,
        "rows_read": rows_read,
        "rows_kept": kept,
        "rows_rejected": rejected.total,
        "rejected_by_reason": {reason.text: count for reason, count in rejected.by_reason.most_common()},
        "duplicates": rejected.by_reason[Reason.DUPLICATE],
        "rows_left_out": kept - sum(splits.values()),
        "movies": len(table.movie_ids),
        "movie_table": table.counts,
        "rating_scale": list(scale),
        "splits": splits,
        "split": {
            "kind": "given" if split.given else "random",
            "seed": split.seed,
            "validation_fraction": split.validation_fraction,
            "test_fraction": split.test_fraction,
        },
        **statistics.of_ratings(connection, [directory / f"{name}.parquet" for name in SPLITS]),
    }


def _read(connection: Any, ratings: str, test_ratings: str) -> None:
    rows.create_table(connection)
    for flag, text in (("--ratings", ratings), ("--test-ratings", test_ratings)):
        for file in inputs.open_all(text, flag) if text else []:
            log(f"reading {file.name}")
            rows.append(connection, file, layouts.detect(file), from_test=flag == "--test-ratings")


def _write_splits(connection: Any, limits: Limits, directory: Path) -> dict[str, int]:
    counts = dict(
        connection.execute("SELECT split, count(*) FROM judged WHERE reason = 0 GROUP BY split").fetchall()
    )
    available = {name: counts.get(place, 0) for place, name in enumerate(SPLITS)}
    wanted = dict(available)
    if limits.max_train_rows and limits.max_train_rows < available["train"]:
        share = limits.max_train_rows / available["train"]
        wanted["train"] = limits.max_train_rows
        wanted["validation"] = round(available["validation"] * share)
    if limits.max_test_rows:
        wanted["test"] = min(limits.max_test_rows, available["test"])
    _check_enough(wanted)
    written = {}
    for name in SPLITS:
        up_to = GREATEST_HASH
        if wanted[name] < available[name]:
            up_to = judge.greatest_hash(connection, name, wanted[name])
        written[name] = judge.write_split(connection, name, up_to, directory / f"{name}.parquet")
        log(f"{name}: {written[name]:,} rows")
    return written


def _check_enough(rows: dict[str, int]) -> None:
    short = [name for name in SPLITS if not rows[name]]
    if short:
        raise UserError(
            f"too little data: of {sum(rows.values()):,} usable ratings, none is left for {' and '.join(short)}; "
            "at least one row in each of train, validation and test is needed, so bring more ratings"
        )
