"""Titles and years of generated movies."""

import numpy as np
import numpy.typing as npt

from components.sample.words import GENRES

# In the Netflix movie table, 1 title in 38 belongs to more than one movie.
_ONE_TITLE_TWICE_IN = 40
_FIRST_YEAR, _LAST_YEAR = 1950, 2005


def titles(random: np.random.Generator, genres: npt.NDArray[np.int8]) -> list[str]:
    """A title for each movie, made of the words of its genre; a few are shared by two movies."""
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
    """A year of release for each movie, recent ones oftener."""
    ages = random.exponential(12.0, movies).astype(np.int32)
    return np.maximum(_LAST_YEAR - ages, _FIRST_YEAR)
