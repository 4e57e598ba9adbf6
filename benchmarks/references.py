"""The strongest single-purpose methods that we know, on the data sets and the splits of `quality.py`.

    pip install -e '.[benchmarks]'
    python benchmarks/references.py FOLDER [data set …] [--methods ease-tuned myfm myfm-probit]

Fits each method to the known rows (training and validation), measures it on the test rows with the code of
`evaluate`, and stores the figures in references.json beside this file. EASE's weight of the L2 penalty is
chosen on validation rows; myFM has nothing to tune. One busy core: EASE takes seconds, myFM half a minute for
90,000 ratings and half an hour for a million.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from data_sets import DATA, checksum, encode

from components.evaluate.held_out import Batch, HeldOut
from components.evaluate.ranking import Answers, Predictions
from components.evaluate.scoring import score
from components.evaluate.user_sums import user_sums
from components.metrics import ACCURACY, NDCG, RECALL, RMSE, TOP_100_UNSEEN
from components.vocabulary.interactions import Interactions, UserRatings
from components.vocabulary.vocabulary import Vocabulary, load_encoded

Array = npt.NDArray[Any]

FILE = Path(__file__).with_name("references.json")
# Top-100 accuracy whatever the size of the catalogue, since that is what the references are compared in.
METRICS = (TOP_100_UNSEEN, ACCURACY.format(100), RECALL.format(10), NDCG.format(10), RMSE)


class Measured(NamedTuple):
    """A method's metrics on the test rows, and how its settings were chosen."""

    metrics: dict[str, float]
    chosen: str


class Ease:
    """EASE (Steck 2019) for any weight of the L2 penalty, from one decomposition of the ratings.

    With X'X = V diag(s) V', the inverse of X'X + l I is (I - V diag(s / (s + l)) V') / l. Where users are
    fewer than movies, the smaller X X' gives V.
    """

    def __init__(self, known: UserRatings, movies: int) -> None:
        """Decomposes who rated what in `known`."""
        seen = known.seen(movies)
        wide = known.users < movies
        gram = (seen @ seen.T if wide else seen.T @ seen).toarray().astype(np.float64)
        strengths, vectors = np.linalg.eigh(gram)
        kept = strengths > 1e-9 * strengths[-1]
        strengths, vectors = strengths[kept], vectors[:, kept]
        self._strengths = strengths
        self._vectors = ((seen.T @ vectors) / np.sqrt(strengths) if wide else vectors).astype(np.float32)
        self._unrated = np.bincount(known.movies, minlength=movies) == 0
        self.regularise(1000.0)

    def regularise(self, l2: float) -> None:
        """Sets the weight of the L2 penalty."""
        self._shrunk = (self._vectors * (self._strengths / (self._strengths + l2))).astype(np.float32)
        self._diagonal = 1 - np.einsum("md,md->m", self._shrunk, self._vectors)

    def predict(self, batch: Batch) -> Predictions:
        seen = batch.history.seen(len(self._unrated))
        rated = seen.toarray()
        scores = rated - (rated - (seen @ self._vectors) @ self._shrunk.T) / self._diagonal
        scores[:, self._unrated] = -np.inf
        return Predictions(scores.astype(np.float32), None)


# The weights among which EASE's is chosen; the best one lies between the ends on all data sets here.
EASE_L2 = tuple(10.0 * 2**step for step in range(13))


def ease(interactions: Interactions, vocabulary: Vocabulary) -> Measured:
    """Measures EASE with the weight that ranks validation rows best."""
    movies, train = interactions.movies, interactions.split("train")
    scale = interactions.rating_scale
    validation = HeldOut.of(interactions.split("validation"), train, vocabulary, scale)
    fitted, found = Ease(train, movies), {}
    for l2 in EASE_L2:
        fitted.regularise(l2)
        found[l2] = _metrics(score(fitted, validation, f"EASE {l2:g}"), validation)[TOP_100_UNSEEN]
    best = max(found, key=lambda l2: found[l2])
    held_out = HeldOut.test_of(interactions, vocabulary)
    fitted = Ease(held_out.known, movies)
    fitted.regularise(best)
    chosen = f"L2 {best:g} of {EASE_L2[0]:g} to {EASE_L2[-1]:g} on validation rows"
    return Measured(_metrics(score(fitted, held_out, "EASE"), held_out), chosen)


# Of an ordered scale; a finer one is rated by regression alone.
_MOST_LEVELS = 20


def myfm(interactions: Interactions, vocabulary: Vocabulary) -> Measured:
    """Measures myFM's regression."""
    return _measure_myfm(interactions, vocabulary, _regress)


def myfm_probit(interactions: Interactions, vocabulary: Vocabulary) -> Measured | None:
    """Measures myFM's ordered probit; None where the scale has more than 20 levels."""
    levels = len(np.unique(interactions.split("train").ratings))
    return _measure_myfm(interactions, vocabulary, _order) if levels <= _MOST_LEVELS else None


METHODS: dict[str, Callable[[Interactions, Vocabulary], Measured | None]] = {
    "ease-tuned": ease,
    "myfm": myfm,
    "myfm-probit": myfm_probit,
}


def _measure_myfm(interactions: Interactions, vocabulary: Vocabulary, rate: Callable[..., Array]) -> Measured:
    held_out = HeldOut.test_of(interactions, vocabulary)
    rank, samples = (32, 300) if len(held_out.known.movies) > 500_000 else (16, 200)
    asked = interactions.split("test").select(np.arange(interactions.users))
    stars = rate(held_out.known, asked, interactions.movies, rank, samples)
    answers = Answers(ratings=np.clip(stars, *interactions.rating_scale).astype(np.float32))
    return Measured(_metrics(answers, held_out), f"rank {rank}, {samples} samples, none left out")


def _regress(known: UserRatings, asked: UserRatings, movies: int, rank: int, samples: int) -> Array:
    library, blocks, shapes = _factorisation_machine(known, movies)
    model = library.MyFMRegressor(rank=rank, random_seed=42)
    stars = known.ratings.astype(np.float64)
    model.fit(None, stars, X_rel=blocks(known), group_shapes=shapes, n_iter=samples, n_kept_samples=samples)
    predicted: Array = model.predict(None, blocks(asked))
    return predicted


def _order(known: UserRatings, asked: UserRatings, movies: int, rank: int, samples: int) -> Array:
    library, blocks, shapes = _factorisation_machine(known, movies)
    model = library.MyFMOrderedProbit(rank=rank, random_seed=42)
    levels, places = np.unique(known.ratings, return_inverse=True)
    model.fit(None, places, X_rel=blocks(known), group_shapes=shapes, n_iter=samples, n_kept_samples=samples)
    predicted: Array = model.predict_proba(None, blocks(asked)) @ levels
    return predicted


def _factorisation_machine(known: UserRatings, movies: int) -> tuple[Any, Callable[..., Any], list[int]]:
    """Returns the library, a function that makes the relation blocks of ratings, and the groups' sizes.

    A user is one-hot, with the movies that the user rated; a movie is one-hot, with its raters.
    """
    try:
        import myfm as library
    except ImportError as error:
        raise SystemExit("myfm is not installed; pip install -e '.[benchmarks]'") from error
    seen = known.seen(movies)
    of_users, of_movies = features(seen), features(seen.T)

    def blocks(ratings: UserRatings) -> list[Any]:
        rows = ((ratings.owners, of_users), (ratings.movies, of_movies))
        return [library.RelationBlock(places.astype(np.int64), block) for places, block in rows]

    return library, blocks, [known.users, movies, movies, known.users]


def features(seen: Any) -> Any:
    """Returns a one-hot column for each row of `seen`, sparse [n, m], and its columns over sqrt(count)."""
    from scipy import sparse

    counts = np.maximum(np.asarray(seen.sum(axis=1)).ravel(), 1)
    scaled = sparse.diags(1 / np.sqrt(counts)) @ sparse.csr_matrix(seen)
    return sparse.hstack([sparse.eye(seen.shape[0]), scaled], format="csr")


def _metrics(answers: Answers, held_out: HeldOut) -> dict[str, float]:
    found = user_sums(answers, held_out).metrics()
    return {name: found[name] for name in METRICS if name in found}


def stored(data: str, rows: str) -> dict[str, dict[str, Any]]:
    """Returns the stored figures by method for the data set `data`, if they are of these very `rows`."""
    return {method: one for method, one in _read().get(data, {}).items() if one["rows"] == rows}


def _read() -> dict[str, Any]:
    figures: dict[str, Any] = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", default=list(DATA), metavar="data set")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    arguments = parser.parse_args()
    for name in arguments.names:
        with tempfile.TemporaryDirectory() as place:
            interactions, vocabulary = load_encoded(*encode(name, arguments.folder, Path(place)))
            for method in arguments.methods:
                started = time.process_time()
                measured = METHODS[method](interactions, vocabulary)
                if measured is None:
                    continue
                seconds = time.process_time() - started
                _store(name, method, measured, checksum(interactions), seconds)


def _store(data: str, method: str, measured: Measured, rows: str, seconds: float) -> None:
    figures = _read()
    figures.setdefault(data, {})[method] = {
        "rows": rows,
        "metrics": {name: round(value, 4) for name, value in measured.metrics.items()},
        "processor_seconds": round(seconds),
        "chosen": measured.chosen,
        "command": f"python benchmarks/references.py FOLDER {data} --methods {method}",
        "version": f"myfm {version('myfm')}" if method.startswith("myfm") else f"numpy {np.__version__}",
    }
    FILE.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    print(f"{data}: {method}: {measured.metrics}; {measured.chosen}; {seconds:.0f} s of processor")


if __name__ == "__main__":
    main()
