"""Small generated worlds and models that are tables, for broken_challengers.py: nothing is trained."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from components.evaluate.champion import NO_PAST, ChampionComparison
from components.evaluate.gate import GateSettings
from components.evaluate.held_out import HeldOut
from components.evaluate.measure import evaluate_challenger
from components.evaluate.verdict import STRICT, ComparedChampion, Verdict
from components.metrics import gate_k
from components.vocabulary.interactions import UserRatings
from components.vocabulary.vocabulary import Vocabulary

MOVIES = (30, 60, 90, 100, 110, 120, 200)
SCALES = ((1.0, 5.0), (0.5, 5.0), (1.0, 10.0), (0.0, 100.0), (-10.0, 10.0))
# Refusals in retrieval, in the order of the list alone, in ratings, and of what is no number.
RETRIEVAL, ORDER = {"top_100_vs_popularity"}, {"ndcg_10_vs_popularity", "ndcg_10_vs_champion"}
RATINGS, FINITE = {"rmse_vs_global_mean"}, {"finite"}


@dataclass(frozen=True)
class TableModel:
    """A scoring model of tables `scores` and `stars`, [users, movies]."""

    scores: np.ndarray
    stars: np.ndarray

    @property
    def movie_ids(self) -> np.ndarray:
        return np.array([f"m{movie}" for movie in range(self.scores.shape[1])], object)

    @property
    def vectors(self) -> np.ndarray:
        return np.eye(self.scores.shape[1], dtype=np.float32)

    @property
    def biases(self) -> np.ndarray:
        return np.zeros(self.scores.shape[1], np.float32)

    def query(self, user_ids: Any, history: UserRatings) -> np.ndarray:
        queries: np.ndarray = self.scores[_rows(user_ids)]
        return queries

    def rate(self, user_ids: Any, history: UserRatings, pair_row: Any, pair_movie: Any) -> np.ndarray:
        rated: np.ndarray = self.stars[_rows(user_ids)[pair_row], pair_movie]
        return rated


def _rows(user_ids: Any) -> np.ndarray:
    return np.array([int(str(user)[1:]) for user in user_ids], np.int64)


@dataclass(frozen=True)
class InfiniteVector(TableModel):
    """One movie's vector is not finite."""

    @property
    def vectors(self) -> np.ndarray:
        vectors = super().vectors
        vectors[-1, -1] = np.inf
        return vectors


class World(NamedTuple):
    """Ratings drawn from latent tastes, and the model that knows these. The last movie has no test row,
    and neither has the last user."""

    held_out: HeldOut
    vocabulary: Vocabulary
    truth: TableModel

    @classmethod
    def draw(cls, users: int, movies: int, scale: tuple[float, float] = (1.0, 5.0), seed: int = 0) -> "World":
        """Whom a movie suits watches it, and rates it well; a third of the movies, a quarter for testing."""
        random = np.random.default_rng(seed)
        suits = random.normal(size=(users, 3)) @ random.normal(size=(movies, 3)).T
        scores = 1.2 * suits + 1.5 * random.normal(size=movies)
        width = scale[1] - scale[0]
        stars = np.clip(scale[0] + width * (0.6 + 0.15 * suits), *scale)
        drawn = np.argsort(-(scores + random.gumbel(size=scores.shape)), axis=1)[:, : movies // 3]
        owners, items = np.repeat(np.arange(users), drawn.shape[1]), drawn.ravel()
        given = np.clip(stars[owners, items] + 0.1 * width * random.normal(size=len(items)), *scale)
        test = (random.random(len(items)) < 0.25) & (items != movies - 1) & (owners != users - 1)
        asked, known = (
            UserRatings.group(owners[rows], items[rows], given[rows].astype(np.float32), users)
            for rows in (test, ~test)
        )
        truth = TableModel(scores.astype(np.float32), stars.astype(np.float32))
        names = Vocabulary(
            user_ids=np.array([f"u{user}" for user in range(users)], object),
            movie_ids=truth.movie_ids,
            titles=truth.movie_ids,
            years=np.full(movies, 2000, np.int32),
            training_users=users,
        )
        return cls(HeldOut.of(asked, known, names, scale), names, truth)

    def judge(self, challenger: TableModel, gate: str = "enforce") -> Verdict:
        """The verdict on a challenger beside the model that knows the truth as the champion."""
        return evaluate_challenger(
            challenger=lambda: challenger,  # type: ignore[arg-type, return-value]
            trained=None,
            comparison=ChampionComparison(
                ComparedChampion(exists=True, version="truth"),
                opener=lambda: self.truth,  # type: ignore[arg-type, return-value]
            ),
            past=NO_PAST,
            held_out=self.held_out,
            vocabulary=self.vocabulary,
            settings=GateSettings(strict=gate == STRICT),
            gate=gate,
            seed=0,
        ).verdict


def _reversed(scores: np.ndarray, held_out: HeldOut) -> np.ndarray:
    """The same lists of k unseen movies, the last one first."""
    scores = scores.copy()
    scores[held_out.known.owners, held_out.known.movies] = -1e6
    order = np.argsort(-scores, axis=1)
    ranks = np.argsort(order, axis=1)
    k = gate_k(scores.shape[1])
    return np.where(ranks < k, ranks, -ranks).astype(np.float32)


def _with(table: np.ndarray, rows: Any, columns: Any, value: float) -> np.ndarray:
    table = table.copy()
    table[rows, columns] = value
    return table


Spoil = Callable[[World, np.random.Generator], TableModel]
_EVERY = slice(None)

# Name -> what is done to the good model, and the rules one of which has to be named as the reason.
BROKEN: dict[str, tuple[Spoil, set[str]]] = {
    "constant": (lambda w, _: replace(w.truth, scores=np.zeros_like(w.truth.scores)), RETRIEVAL),
    "random": (
        lambda w, random: replace(
            w.truth, scores=random.normal(size=w.truth.scores.shape).astype(np.float32)
        ),
        RETRIEVAL,
    ),
    "least popular first": (lambda w, _: replace(w.truth, scores=-_popularity(w)), RETRIEVAL),
    "popularity": (
        lambda w, _: replace(w.truth, scores=_popularity(w)),
        {"top_100_vs_champion", "ndcg_10_vs_champion"},
    ),
    "lists reversed": (
        lambda w, _: replace(w.truth, scores=_reversed(w.truth.scores, w.held_out)),
        ORDER,
    ),
    "stars reversed": (
        lambda w, _: replace(w.truth, stars=sum(w.held_out.rating_scale) - w.truth.stars),
        RATINGS,
    ),
    "NaN stars, no test row": (
        lambda w, _: replace(w.truth, stars=_with(w.truth.stars, _EVERY, -1, np.nan)),
        FINITE,
    ),
    "NaN vector, no test row": (
        lambda w, _: replace(w.truth, scores=_with(w.truth.scores, -1, 0, np.nan)),
        FINITE,
    ),
    "infinite query": (lambda w, _: replace(w.truth, scores=_with(w.truth.scores, 0, 0, -np.inf)), FINITE),
    "infinite movie": (lambda w, _: InfiniteVector(w.truth.scores, w.truth.stars), FINITE),
}


def _popularity(world: World) -> np.ndarray:
    counts = np.bincount(world.held_out.known.movies, minlength=len(world.held_out.movie_ids))
    return np.broadcast_to(counts.astype(np.float32), world.truth.scores.shape).copy()


def verdicts() -> Iterator[tuple[str, Verdict, set[str]]]:
    """Yields each case, its verdict, and the rules that may be the reason; none for a model that is good."""
    for movies in MOVIES:
        yield from _all_broken(f"{movies} movies", World.draw(1500, movies))
    for scale in SCALES:
        world = World.draw(1500, 120, scale)
        yield from _all_broken(f"stars from {scale[0]:g} to {scale[1]:g}", world)
    yield "20 users: good", (few := World.draw(20, 90)).judge(few.truth), {"enough_test_rows"}
    for users in (100, 300):
        world, random = World.draw(users, 60), np.random.default_rng(1)
        noisy = world.truth.scores + 0.7 * random.normal(size=world.truth.scores.shape).astype(np.float32)
        verdict = world.judge(replace(world.truth, scores=noisy), gate=STRICT)
        yield f"{users} users: a little worse, strict", verdict, {"top_100_vs_champion", *ORDER}


def _all_broken(place: str, world: World) -> Iterator[tuple[str, Verdict, set[str]]]:
    yield f"{place}: good", world.judge(world.truth), set()
    for name, (spoil, rules) in BROKEN.items():
        yield f"{place}: {name}", world.judge(spoil(world, np.random.default_rng(0))), rules
