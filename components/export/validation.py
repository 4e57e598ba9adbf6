"""Validates an index in a fresh process: compares its answers with those of the model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.errors import UserError
from components.export.answers import TOLERANCE, ask_in_fresh_process, record_answers
from components.export.arrays import GIVEN
from components.export.manifest import ALL, BRUTE_FORCE, TRAIN, IndexValidation
from components.export.warmup import Request
from components.train.scoring import ScoringModel
from components.vocabulary.interactions import UserRatings


@dataclass(frozen=True)
class Sample:
    """Sample of users with their histories."""

    user_ids: list[str]  # strings [n]; the last one is the id of no user
    histories: dict[str, UserRatings]  # the ratings of these users for each value of the input `ratings`
    given: bool = False  # true if the index holds no ratings: requests bring them

    def complete(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Returns the inputs of a signature, with the ratings of its users if a request brings them."""
        if not self.given or "user_id" not in inputs:
            return inputs
        users = [inputs["user_id"]] if isinstance(inputs["user_id"], str) else inputs["user_id"]
        rows = [self.user_ids.index(user) for user in dict.fromkeys(users)]
        history = self.histories[inputs.get("ratings", ALL)].select(rows)
        given = (array.tolist() for array in history.arrays)
        return {**inputs, **dict(zip(GIVEN, given, strict=True))}


def make_up_sample(movies: int, levels: npt.NDArray[np.float32]) -> Sample:
    """Makes up users who rate none to half of the `movies`, for an index that is to hold nobody's ratings."""
    counts = sorted({movies * share // 8 for share in range(5)})
    rated = [np.linspace(0, movies - 1, count).astype(np.int32) for count in counts]
    owners = np.repeat(np.arange(len(counts)), counts)
    ratings = np.resize(levels, len(owners))
    train = UserRatings.group(owners, np.concatenate(rated), ratings, len(counts) + 1)
    return Sample([f"user {count}" for count in counts] + ["nobody"], {TRAIN: train, ALL: train}, given=True)


def draw_sample(user_ids: npt.NDArray[Any], known: UserRatings, held_out: UserRatings) -> Sample:
    """Draws users from the shortest known history, maybe empty, to the longest, and an unknown user."""
    by_length = np.argsort(known.counts, kind="stable")
    users = np.unique(by_length[np.linspace(0, len(by_length) - 1, 6).astype(int)])
    rows = np.append(users, -1)
    nobody = "nobody"
    while nobody in user_ids:
        nobody += "?"
    train = known.select(rows)
    everything = UserRatings.join([train, held_out.select(rows)])
    return Sample([*(str(user_ids[user]) for user in users), nobody], {TRAIN: train, ALL: everything})


def unseen_scores(scoring: ScoringModel, sample: Sample, ratings: str) -> npt.NDArray[np.float32]:
    """Scores the whole catalogue, float32 [n, M]; -inf for the movies that each user has rated."""
    history = sample.histories[ratings]
    queries = scoring.query(sample.user_ids, history)
    scores: npt.NDArray[np.float32] = queries @ scoring.vectors.T + scoring.biases
    scores[history.owners, history.movies] = -np.inf
    return scores


def stars(
    scoring: ScoringModel, sample: Sample, ratings: str, rows: npt.ArrayLike, movies: npt.ArrayLike
) -> npt.NDArray[np.float32]:
    """Predicts ratings, float32 [p], of pairs of a row of the sample and a movie (-1: an unknown one)."""
    pairs = (np.asarray(rows, np.int32), np.asarray(movies, np.int32))
    return scoring.rate(sample.user_ids, sample.histories[ratings], *pairs)


_K = 100
_TIMED_REQUESTS = 200


def validate(
    index: Path,
    scoring: ScoringModel,
    sample: Sample,
    requests: list[Request],
    max_latency_ms: float,
    search: str = BRUTE_FORCE,
) -> IndexValidation:
    """Compares the answers of the index about `sample` with those of the model, and sends `requests`.

    The answers are kept beside the index.

    The scores and ratings of an approximate `search` must be exact; the recall is measured in search.py.
    Raises `UserError` if the index cannot be loaded without this project's code, if its answers differ from
    those of the model, or if the median answer takes longer than `max_latency_ms`.
    """
    pairs = _pairs(scoring, sample)
    questions = _questions(scoring, sample, pairs, requests)
    single = [sample.complete({"user_id": [user]}) for user in sample.user_ids]
    timed = {"signature": "serving_default", "inputs": single, "repeats": _TIMED_REQUESTS}
    result = ask_in_fresh_process(index, questions, search, timed)
    answers = iter(result["answers"])
    differences = []
    for ratings in (ALL, TRAIN):
        differences.append(_compare_recommendations(scoring, sample, ratings, next(answers), search))
        expected = stars(scoring, sample, ratings, *pairs)
        differences.append(_difference("rating", next(answers)["rating"], expected))
    p50, p99 = np.percentile(result["milliseconds"], [50, 99])
    if p50 > max_latency_ms:
        raise UserError(
            f"the exported index takes {p50:.1f} ms to answer for one user, more than {max_latency_ms:g} ms; "
            "take a smaller model, or raise --max-latency-ms"
        )
    record_answers(index, questions, result["answers"])
    all_differences = np.concatenate(differences)
    return IndexValidation(
        users=len(sample.user_ids),
        answers=len(all_differences),
        largest_difference=float(all_differences.max(initial=0.0)),
        load_seconds=round(result["load_seconds"], 3),
        recommend_p50_ms=round(float(p50), 3),
        recommend_p99_ms=round(float(p99), 3),
    )


def _pairs(scoring: ScoringModel, sample: Sample) -> tuple[list[int], list[int]]:
    """Pairs each user with the first and last movie rated, those of the catalogue, and an unknown one."""
    rows, chosen = [], []
    for row in range(len(sample.user_ids)):
        own = sample.histories[ALL][row : row + 1].movies
        candidates = [*own[:1], *own[-1:], 0, len(scoring.movie_ids) - 1, -1]
        rows += [row] * len(candidates)
        chosen += [int(movie) for movie in candidates]
    return rows, chosen


def _questions(
    scoring: ScoringModel, sample: Sample, pairs: tuple[list[int], list[int]], requests: list[Request]
) -> list[dict[str, Any]]:
    rated = {
        "user_id": [sample.user_ids[row] for row in pairs[0]],
        "movie_id": [str(scoring.movie_ids[movie]) if movie >= 0 else "" for movie in pairs[1]],
    }
    questions: list[Request] = []
    for ratings in (ALL, TRAIN):
        questions.append(("recommend", {"user_id": sample.user_ids, "k": _K, "ratings": ratings}))
        questions.append(("rate", {**rated, "ratings": ratings}))
    questions += requests
    return [{"signature": name, "inputs": sample.complete(inputs)} for name, inputs in questions]


def _compare_recommendations(
    scoring: ScoringModel, sample: Sample, ratings: str, answer: dict[str, Any], search: str
) -> npt.NDArray[np.float64]:
    scores = unseen_scores(scoring, sample, ratings)
    row_of = {str(movie_id): row for row, movie_id in enumerate(scoring.movie_ids)}
    differences = []
    for row, movie_ids in enumerate(answer["movie_id"]):
        count = sum(movie_id != "" for movie_id in movie_ids)
        best = np.sort(scores[row])[::-1][: len(movie_ids)]
        if count != np.isfinite(best).sum() or len(set(movie_ids[:count])) != count:
            raise _refusal("number of movies", count, int(np.isfinite(best).sum()))
        movies = [row_of[movie_id] for movie_id in movie_ids[:count]]
        score = answer["score"][row][:count]
        expected = stars(scoring, sample, ratings, [row] * count, movies)
        if search == BRUTE_FORCE:
            differences.append(_difference("score by rank", score, best[:count]))
        differences += [
            _difference("score", score, scores[row, movies]),
            _difference("rating", answer["rating"][row][:count], expected),
        ]
    return np.concatenate(differences)


def _difference(what: str, found: npt.ArrayLike, expected: npt.ArrayLike) -> npt.NDArray[np.float64]:
    one, other = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    differences: npt.NDArray[np.float64] = np.abs(one - other) / np.maximum(1.0, np.abs(other))
    # Not `differences > TOLERANCE`: a NaN must be refused as well.
    wrong = ~(differences <= TOLERANCE)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise _refusal(what, one[first], other[first])
    return differences


def _refusal(what: str, found: float, expected: float) -> UserError:
    return UserError(
        f"the answers of the exported index differ from those of the model ({what}: {found:g} instead of "
        f"{expected:g}), so nothing was exported; this is an error of the export, please report it"
    )
