"""Kinds of the corpus without stars: events, counts, likes, and stars that are dropped."""

import math

import numpy as np
from corpus import ROWS, USERS, Kind, catalogue, rejected, rows, scaled
from ratings_files import parquet

FLAGS = ("--feedback", "implicit")
ONE = 1 + math.log(2)  # the weight of one event


def weighs(*counts: float) -> dict[str, object]:
    """The answer where each user has so many events with each movie, `counts` in turn."""
    weights = [1 + math.log(1 + count) for count in counts]
    levels = {f"{weight:g}": ROWS // len(counts) for weight in sorted(weights)}
    return {"feedback": "implicit", "rating_histogram": levels}


def up_to(count: float) -> dict[str, object]:
    """The answer where the most events of a user with a movie are so many."""
    return {"rating_scale": [1.0, float(np.float32(1 + math.log(1 + count)))]}


EVENTS = rows("{u},{m},{t}", "user,item,timestamp")
LIKED = {
    "user": [row // USERS for row in range(ROWS)],
    "movie": [row % USERS for row in range(ROWS)],
    "liked": [row % 2 == 0 for row in range(ROWS)],
}
# Hours of play: most are few, and a few are very many.
HOURS = scaled(lambda _, place: 22_733 if place % 20 == 0 else 1 + place % 4)

IMPLICIT_KINDS: dict[str, Kind] = {
    "events": Kind(EVENTS, flags=FLAGS, says=rejected() | weighs(1)),
    "events, not named": Kind(EVENTS, error="has no column for the rating: its first line is"),
    "events, and what would help": Kind(EVENTS, error="add --feedback implicit"),
    "events that are repeated": Kind(
        EVENTS + EVENTS.partition("\n")[2],
        flags=FLAGS,
        says=weighs(2)
        | {"rows_read": 2 * ROWS, "rows_kept": ROWS, "rejected_by_reason": {"duplicate": ROWS}},
    ),
    "events of movies that are unknown": Kind(
        EVENTS,
        "\n".join(catalogue().splitlines()[:11]),
        flags=(*FLAGS, "--max-reject-rate", "1"),
        says=rejected(unknown_movie=ROWS // 2),
    ),
    "plays": Kind(
        rows(lambda user, movie, place: f"{user},{movie},{1 + place % 2}", "user_id,item_id,plays"),
        flags=FLAGS,
        says=rejected() | weighs(1, 2),
    ),
    "hours": Kind(HOURS, notice="the greatest is 22733: if they are counts"),
    "hours, as counts": Kind(HOURS, flags=FLAGS, says=rejected() | up_to(22_733)),
    "plays of few": Kind(
        rows(lambda user, movie, place: f"{user},{movie},{place % 4}", "user_id,item_id,plays"),
        flags=FLAGS,
        says=rejected(not_rated=ROWS // 4) | up_to(3),
    ),
    "counts in a column that is named": Kind(
        rows(lambda user, movie, place: f"{user},{movie},{1 + place % 2}", "a,b,c"),
        flags=(*FLAGS, "--columns", "user=a,movie=b,rating=c"),
        says=rejected() | weighs(1, 2),
    ),
    "likes": Kind(scaled(lambda _, place: place % 2), flags=FLAGS, says=rejected(not_rated=ROWS // 2)),
    "parquet, likes": Kind(
        parquet(LIKED),
        flags=FLAGS,
        says=rejected(not_rated=ROWS // 2),
    ),
    "parquet, likes as ratings": Kind(
        parquet({**LIKED, "rating": LIKED["liked"]}),
        says=rejected(rating_not_a_number=ROWS),
        refusal="add --feedback implicit",
    ),
    "parquet, events": Kind(
        parquet({name: LIKED[name] for name in ("user", "movie")}), flags=FLAGS, says=rejected() | weighs(1)
    ),
    "parquet, events that are not named": Kind(
        parquet({name: LIKED[name] for name in ("user", "movie")}),
        error="if its rows are plays, likes or purchases, without stars, add --feedback implicit",
    ),
    "json lines, events": Kind(
        rows(lambda user, movie, _: f'{{"user": "u{user}", "item": {movie}}}'),
        flags=FLAGS,
        says=rejected() | weighs(1),
    ),
    "events without a header": Kind(rows("{u}\t{m}\t{t}"), flags=FLAGS, says=rejected() | weighs(1)),
    "counts without a header": Kind(
        rows(lambda user, movie, place: f"{user}\t{movie}\t{100 * place + 1}"),
        flags=FLAGS,
        says=rejected() | up_to(100 * (ROWS - 1) + 1),
    ),
    "stars that are dropped": Kind(
        rows("{u},{r},{m}", "User_ID,Rating,Movie_ID"),
        flags=FLAGS,
        says=rejected() | weighs(1),
        notice="the ratings from 1 to 5 look like stars, which --feedback implicit drops",
    ),
    "a scale of no stars": Kind(
        EVENTS, flags=(*FLAGS, "--rating-scale", "1,5"), error="--rating-scale 1,5 is of stars"
    ),
    "a feedback that is none": Kind(EVENTS, flags=("--feedback", "clicks"), error="--feedback clicks: give"),
}
