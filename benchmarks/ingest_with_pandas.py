"""The job of `ingest` and `vocabulary` done with pandas: all in memory, no rejects listed."""

from pathlib import Path

import numpy as np
import pandas as pd


def run(ratings: list[Path], movies: Path, target: Path) -> None:
    """Validates, joins, deduplicates, divides and encodes ratings, string ids and all, into `target`."""
    prize = movies.name == "movie_titles.csv"
    rows = pd.concat([(read_prize if prize else read_table)(file) for file in ratings], ignore_index=True)
    table = read_titles(movies) if prize else pd.read_csv(movies, dtype={"Movie_ID": str, "Name": str})
    rows = rows[rows["Rating"].between(1, 5) & rows["Movie_ID"].isin(table["Movie_ID"])]
    rows = rows.drop_duplicates(["User_ID", "Movie_ID"], keep="last")
    side = pd.util.hash_pandas_object(rows[["User_ID", "Movie_ID"]], index=False).to_numpy() / 2.0**64
    parts = {
        "test": rows[side < 0.1],
        "validation": rows[(side >= 0.1) & (side < 0.19)],
        "train": rows[side >= 0.19],
    }
    for name, part in parts.items():
        part.to_parquet(target / f"{name}.parquet")
    users = pd.Index(parts["train"]["User_ID"].unique()).sort_values()
    users = users.append(pd.Index(rows["User_ID"].unique()).difference(users))
    catalogue = pd.Index(table["Movie_ID"])
    for name, part in parts.items():
        user, movie = users.get_indexer(part["User_ID"]), catalogue.get_indexer(part["Movie_ID"])
        order = np.lexsort((movie, user))
        np.save(target / f"{name}.movies.npy", movie[order].astype(np.int32))
        np.save(target / f"{name}.ratings.npy", part["Rating"].to_numpy()[order])
        offsets = np.concatenate([[0], np.cumsum(np.bincount(user, minlength=len(users)))])
        np.save(target / f"{name}.offsets.npy", offsets)


def read_table(file: Path) -> pd.DataFrame:
    """The Netflix files as on Kaggle."""
    return pd.read_csv(file, dtype={"User_ID": str, "Rating": np.float32, "Movie_ID": str})


def read_prize(file: Path) -> pd.DataFrame:
    """The original files: a line `MOVIE:` above the ratings of each movie."""
    names = ["User_ID", "Rating", "Date"]
    rows = pd.read_csv(file, names=names, dtype={"User_ID": str, "Rating": np.float32, "Date": str})
    above = rows["Rating"].isna()
    rows["Movie_ID"] = rows["User_ID"].where(above).str.rstrip(":").ffill()
    rows = rows[~above].copy()
    rows["Date"] = pd.to_datetime(rows["Date"], format="%Y-%m-%d").astype("int64")
    return rows


def read_titles(file: Path) -> pd.DataFrame:
    """movie_titles.csv, whose titles hold commas."""
    lines = file.read_text(encoding="latin-1").splitlines()
    return pd.DataFrame([line.split(",", 2) for line in lines], columns=["Movie_ID", "Year", "Name"])
