"""How fast the published index answers, beside the notebook's way and plain numpy.

    python benchmarks/serving.py [--movies 17770] [--users 143458] [--ratings 17300000] [--world DIR]
        [--many-movies 1000000]

A world with long-tailed activity and popularity is generated, and the default model is trained on it for two
steps (the arithmetic of serving does not depend on what was learned) and exported. Three ways to give one
user, and a batch of 256, the best 100 movies are timed in turn, so that a busy machine slows all alike:

- index: `recommend` of the published index: exact, without what the user has rated, with bias, titles and
  predicted ratings.
- notebook: a Keras model of `StringLookup` and `Embedding` under TFRS's `factorized_top_k.BruteForce` over
  string ids. It knows neither biases nor what the user has rated, and predicts no ratings.
- numpy: the query vector by the index's scoring model, then a product, a mask and a partition. No ratings.

Then `twotower batch` recommends 100 movies to every user, and exact search and ScaNN (where it is installed)
are set side by side on a catalogue of a million movies, of generated vectors; with filters too, which leave
movies at random, or whole genres and so of some users' favourites none. The load of the machine stands
beside each figure: more than the benchmark's own means that others slowed it down.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
import tensorflow_recommenders as tfrs

from components.errors import UserError
from components.export.manifest import SCANN
from components.export.search import Chosen, SampleQueries, choose
from components.export.top_k import BiasedBruteForce
from components.train.scoring import ScoringModel
from components.vocabulary.interactions import Interactions, UserRatings
from components.vocabulary.vocabulary import Vocabulary

K, BATCH, NOTEBOOK_DIMENSION = 100, 256, 32
# Of the generated catalogue: genres, the width of its vectors (that of a model of so many movies), and the
# ratings of each user who asks.
GENRES, MANY_DIMENSION, RATED = 300, 32, 100
# The shares of the movies, and of the genres, that filters leave.
LEFT, LEFT_GENRES = (0.001, 0.04, 0.06, 0.2, 0.7), (0.1, 0.3, 0.7)
SPLIT = {"kind": "random", "seed": 0, "validation_fraction": 0.1, "test_fraction": 0.1}
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


def write_world(directory: Path, movies: int, users: int, ratings: int) -> None:
    """Writes `vocabulary` and `interactions` with about so many ratings."""
    random = np.random.default_rng(0)
    activity = np.minimum(random.lognormal(0, 1.1, users) * ratings / users / 1.8, movies / 3) + 1
    rows = np.repeat(np.arange(users), activity.astype(int))
    # The cube of a uniform draw: the first movies are the popular ones.
    keys = np.unique(rows * movies + (random.random(len(rows)) ** 3 * movies).astype(int))
    side = random.choice(len(SHARES), len(keys), p=list(SHARES.values()))
    (directory / "interactions").mkdir(parents=True)
    counts = {}
    for number, split in enumerate(SHARES):
        owner, movie = np.divmod(keys[side == number], movies)
        stars = random.integers(1, 6, len(movie))
        counts[split] = len(movie)
        for part, values in {
            "movies": movie.astype(np.int32),
            "ratings": stars.astype(np.float32),
            "offsets": np.searchsorted(owner, np.arange(users + 1)).astype(np.int64),
        }.items():
            np.save(directory / "interactions" / f"{split}.{part}.npy", values)
    sizes = {"format": 1, "training_users": users, "users": users, "movies": movies}
    scale = {"rating_scale": [1.0, 5.0], "rating_mean": 3.0}
    summary = {**sizes, **scale, "splits": counts, "split": SPLIT, "fingerprint": "benchmark"}
    (directory / "interactions" / "interactions.json").write_text(json.dumps(summary))
    write_vocabulary(directory / "vocabulary", sizes)


def write_vocabulary(directory: Path, sizes: dict[str, int]) -> None:
    directory.mkdir()
    user_ids = [str(6 + 7 * user) for user in range(sizes["users"])]
    movie_ids = [str(1 + movie) for movie in range(sizes["movies"])]
    titles = [f"The Adventures of Number {movie}" for movie in movie_ids]
    years = pa.array(np.full(len(movie_ids), 1999), pa.int32())
    pq.write_table(pa.table({"user_id": user_ids}), directory / "users.parquet")
    pq.write_table(
        pa.table({"movie_id": movie_ids, "title": titles, "year": years}), directory / "movies.parquet"
    )
    (directory / "vocabulary.json").write_text(json.dumps(sizes))


def twotower(*words: str) -> None:
    """Runs a subcommand in a process of its own, so that it leaves its own peak of memory."""
    subprocess.run([sys.executable, "-m", "pipelines.cli", *words], check=True)


def step_record(directory: Path) -> str:
    record = json.loads((directory / "step.json").read_text())
    return f"{record['seconds']:.0f} s, {record['peak_memory_bytes'] / 1e9:.1f} GB"


def notebook_index(vocabulary: Vocabulary) -> tfrs.layers.factorized_top_k.BruteForce:
    users = vocabulary.user_ids.astype(str)
    user_model = tf.keras.Sequential(
        [
            tf.keras.layers.StringLookup(vocabulary=users, mask_token=None),
            tf.keras.layers.Embedding(len(users) + 1, NOTEBOOK_DIMENSION),
        ]
    )
    vectors = tf.random.stateless_normal([len(vocabulary.movie_ids), NOTEBOOK_DIMENSION], [1, 2])
    index = tfrs.layers.factorized_top_k.BruteForce(user_model)
    index.index(vectors, tf.constant(vocabulary.movie_ids.astype(str)))
    index(tf.constant(users[:1]), k=K)
    return index


def ways(directory: Path) -> dict[str, Callable[[np.ndarray], object]]:
    """Each way as a function of user positions."""
    vocabulary = Vocabulary.load(directory / "vocabulary")
    known = Interactions.load(directory / "interactions").known()
    scoring = ScoringModel.load(directory / "model")
    recommend = tf.saved_model.load(str(directory / "index")).signatures["recommend"]
    notebook = notebook_index(vocabulary)
    k, everything = tf.constant(K), tf.constant("all")

    def by_numpy(users):
        history = known.select(users)
        scores = scoring.query(vocabulary.user_ids[users], history) @ scoring.vectors.T + scoring.biases
        scores[history.owners, history.movies] = -np.inf
        best = np.argpartition(-scores, K, axis=1)[:, :K]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        return vocabulary.movie_ids[np.take_along_axis(best, order, axis=1)]

    def ids(users):
        return tf.constant(vocabulary.user_ids[users].tolist())

    return {
        "index": lambda users: recommend(user_id=ids(users), k=k, ratings=everything),
        "notebook": lambda users: notebook(ids(users), k=K),
        "numpy": by_numpy,
    }


def measure(answers: dict[str, Callable[[np.ndarray], object]], users: int, size: int, rounds: int) -> None:
    """Prints milliseconds a request of `size` users for each way, and the ratio to the index's."""
    random = np.random.default_rng(0)
    times: dict[str, list[float]] = {name: [] for name in answers}
    for number in range(rounds + 5):
        asked = random.integers(0, users, size)
        for name, answer in answers.items():
            started = time.perf_counter()
            answer(asked)
            if number >= 5:
                times[name].append((time.perf_counter() - started) * 1e3)
    for name, values in times.items():
        p50, p99 = np.percentile(values, [50, 99])
        ratio = p50 / np.median(times["index"])
        print(f"{size:4} users  {name:9} p50 {p50:7.2f} ms  p99 {p99:7.2f} ms", end="")
        print(f"  {size / p50 * 1e3:8,.0f} users/s  {ratio:5.2f} x the index's time{load()}")


def recommend_to_all(directory: Path, users: int) -> None:
    """Prints how long `twotower batch` takes, start and end of the process included."""
    started = time.perf_counter()
    words = ["--users", "all", "--k", str(K), "--output", str(directory / "recommendations.parquet")]
    twotower("batch", *words, "--index", str(directory / "index"))
    seconds = time.perf_counter() - started
    print(f"batch: {users:,} users in {seconds:.1f} s, {users / seconds:,.0f} users/s{load()}")


def search_many(movies: int) -> None:
    """Prints recall and latency of exact search and ScaNN, for one query of a generated catalogue."""
    random = np.random.default_rng(0)
    genres = random.normal(size=(GENRES, MANY_DIMENSION)).astype(np.float32)
    spread = 0.4 * random.normal(size=(movies, MANY_DIMENSION)).astype(np.float32)
    of_movie = random.integers(0, GENRES, movies)
    vectors = genres[of_movie] + spread
    biases = np.log1p(random.lognormal(2, 2, movies)).astype(np.float32)
    queries = 0.7 * genres[random.integers(0, GENRES, 100)]
    queries += 0.3 * random.normal(size=queries.shape).astype(np.float32)
    rated = (random.random((len(queries), RATED)) ** 3 * movies).astype(np.int32)
    row_splits = np.arange(len(queries) + 1) * RATED
    questions = SampleQueries(
        queries, UserRatings(rated.ravel(), np.full(rated.size, 3.0, np.float32), row_splits)
    )
    try:
        chosen = choose(SCANN, vectors, biases, lambda: questions)
    except UserError as error:
        print(f"{movies:,} movies: {error}")
        return
    measured = chosen.measured
    print(f"{movies:,} movies, one query{load()}")
    print(f"  exact  p50 {measured.brute_force_p50_ms:7.2f} ms  recall@{K} 1")
    print(f"  ScaNN  p50 {measured.scann_p50_ms:7.2f} ms  recall@{K} {measured.recall_at_100:.4f}")
    filter_many(chosen, vectors, biases, of_movie, questions)


def filter_many(
    chosen: Chosen, vectors: np.ndarray, biases: np.ndarray, genre: np.ndarray, questions: SampleQueries
) -> None:
    """Prints recall and latency of ScaNN and of exact search with filters, for one query."""
    random = np.random.default_rng(1)
    exact = BiasedBruteForce().index_with_bias(vectors, biases)
    find = [tf.function(one, reduce_retracing=True, autograph=False) for one in (exact.best, chosen.best)]
    filters = {f"{share:.1%} of the movies": random.random(len(vectors)) < share for share in LEFT}
    filters |= {
        f"{share:.0%} of the genres": np.isin(genre, random.permutation(GENRES)[: int(share * GENRES)])
        for share in LEFT_GENRES
    }
    for name, allowed in filters.items():
        given, recalls, times = tf.constant(allowed), [], []
        for number, one in enumerate(questions.each()):
            answers, taken = [], []
            for search in find:
                started = time.perf_counter()
                answers.append(search(one[0], tf.constant(K), *one[1:], given)[1].numpy())
                taken.append((time.perf_counter() - started) * 1e3)
            recalls.append(np.isin(*answers).mean())
            times += [taken] if number else []  # the first call builds the graph
        (slow, fast), recall = np.median(times, axis=0), np.mean(recalls)
        print(f"  left {np.count_nonzero(allowed):9,}, {name:22} exact p50 {slow:7.2f} ms", end="")
        print(f"  ScaNN p50 {fast:7.2f} ms  recall@{K} {recall:.4f}{load()}")


def load() -> str:
    return f"  (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--movies", type=int, default=17_770)
    parser.add_argument("--users", type=int, default=143_458)
    parser.add_argument("--ratings", type=int, default=17_300_000)
    parser.add_argument("--many-movies", type=int, default=1_000_000, help="generated ones; 0 for none")
    parser.add_argument("--only-many", action="store_true", help="leave out what needs a model")
    parser.add_argument("--world", default="", help="keep the generated world in this directory, or reuse it")
    arguments = parser.parse_args()
    if arguments.only_many:
        search_many(arguments.many_movies)
        return
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(arguments.world or scratch)
        paths = [f"--{name}={directory / name}" for name in ("vocabulary", "interactions")]
        if not (directory / "index").is_dir():
            write_world(directory, arguments.movies, arguments.users, arguments.ratings)
            settings = json.dumps({"steps": 2, "validations": 1, "validation_ratings": 5000})
            twotower("train", *paths, f"--output={directory / 'model'}", f"--train-settings={settings}")
            twotower("export", *paths, f"--model={directory / 'model'}", f"--output={directory / 'index'}")
        print(f"export: {step_record(directory / 'index')}")
        answers = ways(directory)
        measure(answers, arguments.users, 1, 300)
        measure(answers, arguments.users, BATCH, 20)
        recommend_to_all(directory, arguments.users)
    if arguments.many_movies:
        search_many(arguments.many_movies)


if __name__ == "__main__":
    main()
