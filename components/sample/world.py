"""Generates users, movies and ratings by popularity and genre preference, and writes them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.errors import UserError
from components.progress import log

Generator = np.random.Generator
AnyFloats = npt.NDArray[np.floating[Any]]
Integers = npt.NDArray[np.integer[Any]]
Pairs = tuple[Integers, Integers]

# With one unit more preference, a movie is watched e^1.5 = 4.5 times as often.
_PREFERENCE_IN_CHOICE = 1.5
# Cells of the table users x movies that are held at a time, 4 bytes each; and draws held at a time.
_CELLS = 16_000_000
_DRAWS = 4_000_000
# A larger table is not filled: it would take minutes, and most of it is not watched.
_LARGEST_TABLE = 2_000_000_000
# Users who watch more than this share of the movies would draw the same ones again and again.
_SPARSE = 0.05


def choices(
    random: Generator,
    preferences: AnyFloats,
    activity: Integers,
    genres: Integers,
    popularity: AnyFloats,
    by_draws: bool = False,
) -> Iterator[Pairs]:
    """Yields the users and the movies that they watch, both int64 [t], block by block.

    A user's first movie is drawn by weight, popularity times e^(1.5 preference); so is the next among the
    others, and so on. Either by a race or draw by draw, which gives the same distribution and is faster where
    users watch a small part of many movies.

    Args:
      preferences: float32 [users, genres].
      activity: int64 [users], number of movies that each user watches.
      genres: int8 [movies]; popularity: float32 [movies], positive.
      by_draws: lets all who watch a small part of the movies draw, however few users there are.
    """
    liking = np.exp(_PREFERENCE_IN_CHOICE * preferences)
    everyone, movies = np.arange(len(activity)), len(popularity)
    racing = everyone
    if by_draws or len(activity) * movies > _LARGEST_TABLE:
        sparse = activity <= _SPARSE * movies
        racing = everyone[~sparse]
        draw = _Draws(random, genres, popularity)
        # In blocks of users that watch about `_DRAWS` movies together.
        number = np.cumsum(activity[sparse]) // _DRAWS
        for users in np.split(everyone[sparse], np.flatnonzero(np.diff(number)) + 1):
            rows, columns = draw.distinct(liking[users], activity[users])
            yield users[rows], columns
    for start in range(0, len(racing), step := max(1, _CELLS // movies)):
        users = racing[start : start + step]
        rows, columns = _race(random, liking[users], activity[users], genres, popularity)
        yield users[rows], columns


def _race(
    random: Generator, liking: AnyFloats, activity: Integers, genres: Integers, popularity: AnyFloats
) -> Pairs:
    """Chooses by a race in which each movie takes an exponential time at a rate equal to its weight.

    The first n to arrive are a weighted sample without replacement (Efraimidis & Spirakis 2006).
    """
    times = random.standard_exponential((len(liking), len(popularity)), dtype=np.float32)
    times /= liking[:, genres]
    times /= popularity
    latest = np.take_along_axis(np.sort(times, axis=1), activity[:, None] - 1, axis=1)
    rows, columns = np.nonzero(times <= latest)
    return rows, columns


class _Draws:
    """Chooses movie by movie; a movie that the user has watched already is drawn again."""

    def __init__(self, random: Generator, genres: Integers, popularity: AnyFloats) -> None:
        self._random = random
        self._by_genre = np.argsort(genres, kind="stable")
        self._ends = np.cumsum(popularity[self._by_genre], dtype=np.float64)
        last = np.searchsorted(genres[self._by_genre], np.arange(genres.max() + 2))
        self._limits = np.concatenate([[0.0], self._ends])[last]

    def distinct(self, liking: AnyFloats, activity: Integers) -> Pairs:
        """Draws `activity` different movies for each row of `liking`; returns rows and movies."""
        keys: Integers = np.zeros(0, np.int64)
        missing, movies = activity, len(self._ends)
        while missing.any():
            rows = np.repeat(np.arange(len(activity)), missing + missing // 4 + (missing > 0))
            drawn = rows * movies + self._draw(liking, rows)
            keys = _first(np.concatenate([keys, drawn]), activity, movies)
            missing = activity - np.bincount(keys // movies, minlength=len(activity))
        return np.divmod(keys, movies)

    def _draw(self, liking: AnyFloats, rows: Integers) -> Integers:
        """Draws a movie for each of `rows`: first the genre, then a movie of it."""
        shares = np.cumsum(liking[:, : len(self._limits) - 1] * np.diff(self._limits), axis=1)
        shares /= shares[:, -1:]
        genre = (self._random.random((len(rows), 1)) >= shares[rows]).sum(axis=1)
        low, high = self._limits[genre], self._limits[genre + 1]
        place = np.searchsorted(self._ends, low + self._random.random(len(rows)) * (high - low), "right")
        drawn: Integers = self._by_genre[np.minimum(place, len(self._ends) - 1)]
        return drawn


def _first(keys: Integers, activity: Integers, movies: int) -> Integers:
    """Keeps the first different movies of each row, at most its `activity`, in the order of the draws."""
    _, places = np.unique(keys, return_index=True)
    keys = keys[np.sort(places)]
    rows = keys // movies
    order = np.argsort(rows, kind="stable")
    starts = np.searchsorted(rows[order], np.arange(len(activity)))
    rank = np.arange(len(keys)) - starts[rows[order]]
    kept: Integers = keys[np.sort(order[rank < activity[rows[order]]])]
    return kept


# Genre -> the first words of its titles, and their subjects.
_WORDS = {
    "space": (
        "Galactic Orbital Lunar Stellar Martian Cosmic Interstellar Solar",
        "Voyage Station Armada Colony Eclipse Comet Signal Odyssey Asteroid",
    ),
    "western": (
        "Dusty Lonesome Prairie Outlaw Frontier Desert Rattlesnake Gunsmoke",
        "Saddle Sheriff Stampede Showdown Canyon Ranch Rider Saloon Posse",
    ),
    "romance": (
        "Tender Secret Endless Moonlit Parisian Stolen First Summer",
        "Kiss Sweetheart Wedding Embrace Valentine Promise Romance Bouquet Serenade",
    ),
    "horror": (
        "Haunted Bloody Cursed Screaming Midnight Undead Grim Rotting",
        "Crypt Cellar Nightmare Vampire Coffin Asylum Ghoul Exorcism Graveyard",
    ),
    "comedy": (
        "Goofy Clumsy Awkward Hilarious Silly Runaway Accidental Bumbling",
        "Roommates Vacation Prank In-Laws Butler Mix-Up Babysitter Reunion Clown",
    ),
    "crime": (
        "Crooked Cold Deadly Undercover Hardboiled Guilty Ruthless Smoking",
        "Detective Heist Alibi Mobster Verdict Witness Ransom Informer Getaway",
    ),
    "war": (
        "Fallen Iron Last Burning Brave Forgotten Silent Muddy",
        "Battalion Trench Regiment Bunker Platoon Submarine Armistice Convoy Siege",
    ),
    "family": (
        "Little Magic Fuzzy Cuddly Enchanted Playful Tiny Merry",
        "Puppy Penguin Teddy Kitten Pony Dragonling Toyshop Treehouse Elf",
    ),
    "documentary": (
        "Inside Vanishing Hidden Wild Ancient Living Modern Rare",
        "Glaciers Archive Rainforest Pyramids Reef Economy Orchestra Migration Fossils",
    ),
    "musical": (
        "Dancing Singing Broadway Tapping Swinging Golden Jazzy Velvet",
        "Chorus Melody Ballroom Trumpet Cabaret Rhapsody Encore Footlights Duet",
    ),
}
GENRES = {genre: (openings.split(), subjects.split()) for genre, (openings, subjects) in _WORDS.items()}


def genre_of(title: str) -> str:
    """Finds the genre of a generated title by its words; "" for another title."""
    words = title.replace(",", "").split()
    for genre, (_, subjects) in GENRES.items():
        if any(word in subjects for word in words):
            return genre
    return ""


Floats = npt.NDArray[np.float32]

# Parameters of the world, in stars unless stated otherwise.
_MEAN = 3.2
_USER_BIAS = 0.3
_MOVIE_BIAS = 0.3
_PREFERENCE = 0.75
_NOISE = 0.6
# Popularity falls as a power of the rank, activity is log-normal: the long tails of real ratings.
_POPULARITY_EXPONENT = 0.8
_ACTIVITY_SPREAD = 1.0


@dataclass(frozen=True)
class World:
    """Users and movies, with preferences by genre."""

    genres: npt.NDArray[np.int8]  # int8 [movies], an index into `GENRES`
    popularity: Floats  # float32 [movies], relative; 0 for movies that nobody rates
    movie_bias: Floats  # float32 [movies], stars
    user_bias: Floats  # float32 [users], stars
    preferences: Floats  # float32 [users, genres], standard normal: how much a user likes a genre
    activity: npt.NDArray[np.int64]  # int64 [users], number of movies that each user rates


def create(random: Generator, users: int, movies: int, rated_movies: int, ratings: int) -> World:
    """Draws a world in which `users` give `ratings` ratings to `rated_movies` of the `movies`."""
    popularity = np.zeros(movies, np.float32)
    rated = random.permutation(movies)[:rated_movies]
    popularity[rated] = np.arange(1, rated_movies + 1) ** -_POPULARITY_EXPONENT
    return World(
        genres=random.permutation(np.arange(movies) % len(GENRES)).astype(np.int8),
        popularity=popularity,
        movie_bias=_normal(random, movies) * _MOVIE_BIAS,
        user_bias=_normal(random, users) * _USER_BIAS,
        preferences=_normal(random, (users, len(GENRES))),
        activity=_activity(random, users, rated_movies, ratings),
    )


def _activity(random: Generator, users: int, most: int, total: int) -> npt.NDArray[np.int64]:
    """Draws the number of ratings of each user: log-normal, from 1 to `most`, `total` together."""
    shares = random.lognormal(sigma=_ACTIVITY_SPREAD, size=users)
    low, high = 0.0, float(most) / shares.min()
    for _ in range(100):
        scale = (low + high) / 2
        counts = np.clip(scale * shares, 1, most).astype(np.int64)
        low, high = (scale, high) if counts.sum() <= total else (low, scale)
    counts = np.clip(low * shares, 1, most).astype(np.int64)
    # After rounding down a few ratings remain, fewer than the users that can take one more.
    takers = np.flatnonzero(counts < most)[: total - int(counts.sum())]
    counts[takers] += 1
    return counts


def rate(random: Generator, world: World) -> tuple[Integers, Integers, Integers]:
    """Draws ratings: users int32, movies int32 and stars int8 [ratings], sorted by movie as Netflix's are."""
    rated = np.flatnonzero(world.popularity)
    chosen = choices(random, world.preferences, world.activity, world.genres[rated], world.popularity[rated])
    blocks = []
    for user, column in chosen:
        movie = rated[column]
        blocks.append((user.astype(np.int32), movie.astype(np.int32), _stars(random, world, user, movie)))
    user, movie, stars = (np.concatenate(part) for part in zip(*blocks, strict=True))
    order = np.argsort(movie, kind="stable")
    return user[order], movie[order], stars[order]


def rate_by_user(
    random: Generator, world: World, first: int, stop: int
) -> tuple[Integers, Integers, Integers]:
    """Draws the ratings of the users from `first` up to `stop` as `rate` does, sorted by user, then movie."""
    rated = np.flatnonzero(world.popularity)
    preferences, activity = world.preferences[first:stop], world.activity[first:stop]
    of_movies = world.genres[rated], world.popularity[rated]
    chosen = [*choices(random, preferences, activity, *of_movies, by_draws=True)]
    user, column = (np.concatenate(part) for part in zip(*chosen, strict=True))
    order = np.lexsort((column, user))
    user, movie = user[order] + first, rated[column[order]]
    return user.astype(np.int32), movie.astype(np.int32), _stars(random, world, user, movie)


def _stars(random: Generator, world: World, user: Integers, movie: Integers) -> Integers:
    liking = _MEAN + world.user_bias[user] + world.movie_bias[movie]
    liking += _PREFERENCE * world.preferences[user, world.genres[movie]] + _NOISE * _normal(random, len(user))
    stars: Integers = np.clip(np.rint(liking), 1, 5).astype(np.int8)
    return stars


def _normal(random: Generator, shape: int | tuple[int, ...]) -> Floats:
    return random.standard_normal(shape, dtype=np.float32)


# In the Netflix movie table, 1 title in 38 belongs to more than one movie.
_ONE_TITLE_TWICE_IN = 40
_FIRST_YEAR, _LAST_YEAR = 1950, 2005


def titles(random: np.random.Generator, genres: npt.NDArray[np.int8]) -> list[str]:
    """Makes a title for each movie from the words of its genre; a few are shared by two movies."""
    names = [""] * len(genres)
    for place, (openings, subjects) in enumerate(GENRES.values()):
        movies = np.flatnonzero(genres == place)
        pairs = random.permutation(len(openings) * len(subjects))
        for count, movie in enumerate(movies):
            part, pair = divmod(count, len(pairs))
            opening, subject = divmod(int(pairs[pair]), len(subjects))
            name = f"{openings[opening]} {subjects[subject]}"
            names[movie] = f"{name}, Part {part + 1}" if part else name
        for movie in movies[_ONE_TITLE_TWICE_IN - 1 :: _ONE_TITLE_TWICE_IN]:
            names[movie] = names[random.choice(movies)]
    return names


def years(random: np.random.Generator, movies: int) -> npt.NDArray[np.int32]:
    """Draws a year of release for each movie, recent ones more often."""
    ages = random.exponential(12.0, movies).astype(np.int32)
    return np.maximum(_LAST_YEAR - ages, _FIRST_YEAR)


RATINGS_FILE = "ratings.csv"
MOVIES_FILE = "movies.csv"
# Ids are drawn from a range so many times larger than the number of users: they have gaps, as real ones.
_USER_ID_GAPS = 18


def check(users: int, movies: int, ratings: int, rated_movies: int) -> None:
    """Raises `UserError` unless such a world can be made."""
    for flag, value in (("--users", users), ("--movies", movies), ("--ratings", ratings)):
        if value < 1:
            raise UserError(f"{flag} {value} must be at least 1")
    if not 0 < rated_movies <= movies:
        raise UserError(f"--rated-movies {rated_movies} must be from 1 to --movies {movies}, or 0 for all")
    if not users <= ratings <= users * rated_movies:
        raise UserError(
            f"--ratings {ratings} must be from {users} (one a user) to {users * rated_movies} "
            "(each user rates each movie); change it, --users or --movies"
        )


def write(directory: Path, users: int, movies: int, ratings: int, rated_movies: int, seed: int) -> None:
    """Writes ratings.csv (User_ID,Rating,Movie_ID) and movies.csv (Movie_ID,Year,Name)."""
    import pyarrow as pa
    from pyarrow import csv

    random = np.random.default_rng(seed)
    log(f"drawing {ratings:,} ratings by {users:,} users of {rated_movies:,} movies")
    generated = create(random, users, movies, rated_movies, ratings)
    user, movie, stars = rate(random, generated)
    user_ids = draw_user_ids(random, users)
    log(f"writing {directory.name}")
    columns = {"User_ID": user_ids[user], "Rating": stars, "Movie_ID": movie + 1}
    csv.write_csv(pa.table(columns), directory / RATINGS_FILE, csv.WriteOptions(quoting_header="none"))
    write_movies(random, directory, generated)


def draw_user_ids(random: Generator, users: int) -> npt.NDArray[np.int32]:
    """Draws an id for each user."""
    return random.permutation(users * _USER_ID_GAPS)[:users].astype(np.int32) + 1


def write_movies(random: Generator, directory: Path, world: World) -> None:
    """Writes movies.csv."""
    import pyarrow as pa

    movies = len(world.genres)
    table = pa.table(
        {
            "Movie_ID": np.arange(1, movies + 1),
            "Year": years(random, movies),
            "Name": titles(random, world.genres),
        }
    )
    # As most tools write it: quotes only where a title needs them.
    table.to_pandas().to_csv(directory / MOVIES_FILE, index=False, lineterminator="\n")
