"""Plays of movies by users whose taste is known, from the file to the index."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from training_world import QUICK

USERS, MOVIES = 120, 60


def plays() -> Counter[tuple[str, str]]:
    """Counts of plays, user by movie: even users play even movies often, and odd ones now and then."""
    random = np.random.default_rng(5)
    appeal = 1.0 / (1.0 + np.arange(MOVIES) // 2) + 0.05
    found: Counter[tuple[str, str]] = Counter()
    for user in range(USERS):
        own = np.arange(MOVIES) % 2 == user % 2
        weights = np.where(own, 8.0, 1.0) * appeal
        for movie in random.choice(MOVIES, 14, replace=False, p=weights / weights.sum()):
            found[f"u{user}", f"m{movie}"] = 1 + int(own[movie]) * int(random.integers(0, 5))
    return found


def write_files(root: Path) -> tuple[str, str]:
    """Writes a line for each play, and the movie table."""
    events = [f"{user},{movie}\n" for (user, movie), count in plays().items() for _ in range(count)]
    np.random.default_rng(1).shuffle(events)
    ratings, movies = root / "plays.csv", root / "movies.csv"
    ratings.write_text("user,item\n" + "".join(events))
    movies.write_text("id,title\n" + "".join(f"m{movie},Movie {movie}\n" for movie in range(MOVIES)))
    return str(ratings), str(movies)


def write_world(root: Path) -> None:
    """Runs the steps from `ingest` to `export` in `root`."""
    from components.evaluate.step import evaluate
    from components.export.step import export
    from components.ingest.step import ingest
    from components.report.step import report
    from components.train.step import train
    from components.vocabulary.step import vocabulary

    ratings, movies = write_files(root)
    parts = ("dataset", "interactions", "vocabulary", "model", "evaluation", "index")
    at = {name: str(root / name) for name in parts}
    made: dict[str, Any] = {name: at[name] for name in ("model", "interactions", "vocabulary")}
    ingest(ratings=ratings, movies=movies, output=at["dataset"], ingest_settings={"feedback": "implicit"})
    vocabulary(dataset=at["dataset"], vocabulary_output=at["vocabulary"], output=at["interactions"])
    train(
        interactions=at["interactions"],
        vocabulary=at["vocabulary"],
        output=at["model"],
        train_settings=QUICK,
    )
    evaluate(**made, output=at["evaluation"])
    report(
        evaluation=at["evaluation"], model=at["model"], dataset=at["dataset"], output=str(root / "page.html")
    )
    export(**made, output=at["index"])
