"""Whether the gate refuses models that are broken, each by the right rule, and lets an equal one pass.

    python benchmarks/broken_challengers.py
    python benchmarks/broken_challengers.py MODEL INTERACTIONS VOCABULARY [--seeds N] [--train-settings JSON]
    python benchmarks/broken_challengers.py MODEL INTERACTIONS VOCABULARY --challengers MODEL [MODEL ...]

Without arguments: generated worlds of 30 to 200 movies, few users and other rating scales (small_worlds.py).
MODEL is a good model, the champion, trained on INTERACTIONS with VOCABULARY (the directories that a run left;
the figures in docs/verdict.md are of MovieLens 1M). Most challengers are the champion behind a wrapper that
spoils one thing; the one with a hundredth of the data is trained. With --seeds, a champion is trained with
the settings given and then N challengers that differ from it in nothing but the seed: a tenth of them may be
refused by chance. With --challengers, such models are at hand. Ends with status 1 if a verdict is not what it
should be.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf
from small_worlds import verdicts

from components.documents import plain
from components.evaluate.step import evaluate
from components.evaluate.verdict import load_verdict
from components.metrics import CHAMPION
from components.train.scoring import HISTORY_INPUTS, PAIR_INPUTS, save
from components.train.step import train
from components.vocabulary.data_summary import DataSummary
from components.vocabulary.interactions import Interactions, UserRatings, part_file
from components.vocabulary.vocabulary import Vocabulary


class Wrapped(tf.Module):
    """The champion's scoring model with another answer to some questions."""

    def __init__(self, model: Path, names: Vocabulary, data: Interactions) -> None:
        super().__init__()
        self._loaded = tf.saved_model.load(str(model / "saved_model"))
        self._signatures = self._loaded.signatures
        found = self._signatures["candidates"]()
        self.movies, self.users = len(names.movie_ids), names.user_ids
        self._movie_ids = tf.Variable(found["movie_id"], trainable=False)
        self._vectors = tf.Variable(found["vector"], trainable=False)
        self._biases = tf.Variable(found["bias"], trainable=False)
        self.scale = data.rating_scale
        tested = np.bincount(data.split("test").movies, minlength=self.movies)
        self.untested = int(np.argmin(tested))
        order = np.random.default_rng(0).permutation(self.movies).astype(np.int32)
        self.shuffled = tf.Variable(order, trainable=False)

    @tf.function(input_signature=HISTORY_INPUTS)
    def query(self, user_id, history_movie, history_rating, history_row_splits):
        inputs = {
            "user_id": user_id,
            "history_movie": history_movie,
            "history_rating": history_rating,
            "history_row_splits": history_row_splits,
        }
        return {"query": self.spoil_query(inputs)}

    @tf.function(input_signature=[])
    def candidates(self):
        vectors, biases = self.spoil_candidates(self._vectors.read_value(), self._biases.read_value())
        return {"movie_id": self._movie_ids.read_value(), "vector": vectors, "bias": biases}

    @tf.function(input_signature=[*HISTORY_INPUTS, *PAIR_INPUTS])
    def rate(self, user_id, history_movie, history_rating, history_row_splits, pair_row, pair_movie):
        inputs = {
            "user_id": user_id,
            "history_movie": history_movie,
            "history_rating": history_rating,
            "history_row_splits": history_row_splits,
            "pair_row": pair_row,
            "pair_movie": pair_movie,
        }
        return {"rating": self.spoil_ratings(inputs)}

    def spoil_query(self, inputs: dict[str, Any]) -> tf.Tensor:
        return self._signatures["query"](**inputs)["query"]

    def spoil_candidates(self, vectors: tf.Tensor, biases: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return vectors, biases

    def spoil_ratings(self, inputs: dict[str, Any]) -> tf.Tensor:
        return self._signatures["rate"](**inputs)["rating"]


class ShuffledRetrieval(Wrapped):
    """Ratings good, retrieval spoilt: each movie has another one's vector."""

    def spoil_candidates(self, vectors, biases):
        return tf.gather(vectors, self.shuffled), tf.gather(biases, self.shuffled)


class ShuffledLabels(ShuffledRetrieval):
    """Each movie stands for another one altogether."""

    def spoil_ratings(self, inputs):
        return super().spoil_ratings({**inputs, "pair_movie": tf.gather(self.shuffled, inputs["pair_movie"])})


class SpoiltRatings(Wrapped):
    """Retrieval good, ratings spoilt: the best movies get the fewest stars."""

    def spoil_ratings(self, inputs):
        return sum(self.scale) - super().spoil_ratings(inputs)


class ReversedLists(Wrapped):
    """The same 100 movies as ever, the last one first."""

    def spoil_query(self, inputs):
        scores = super().spoil_query(inputs) @ tf.transpose(self._vectors) + self._biases
        rows = tf.ragged.row_splits_to_segment_ids(inputs["history_row_splits"])
        seen = tf.stack([tf.cast(rows, tf.int32), inputs["history_movie"]], axis=1)
        scores = tf.tensor_scatter_nd_update(scores, seen, tf.fill(tf.shape(rows), np.float32(-1e9)))
        ranks = tf.argsort(tf.argsort(scores, direction="DESCENDING"))
        return tf.cast(tf.where(ranks < 100, ranks, -ranks), tf.float32)

    def spoil_candidates(self, vectors, biases):
        return tf.eye(self.movies), tf.zeros([self.movies])


class NanOutsideTheTestRows(Wrapped):
    """No stars for a movie that has no test row."""

    def spoil_ratings(self, inputs):
        return tf.where(
            inputs["pair_movie"] == self.untested, np.float32("nan"), super().spoil_ratings(inputs)
        )


class PopularityOnly(Wrapped):
    """Whatever a user has rated is not read."""

    def spoil_query(self, inputs):
        return super().spoil_query(_forgotten(inputs))

    def spoil_ratings(self, inputs):
        return super().spoil_ratings(_forgotten(inputs))


class Memorised(Wrapped):
    """Recommends what a user has rated, and rates all else by the mean."""

    def spoil_query(self, inputs):
        rows = tf.ragged.row_splits_to_segment_ids(inputs["history_row_splits"])
        known = tf.gather(tf.eye(self.movies), inputs["history_movie"])
        return tf.math.unsorted_segment_sum(known, rows, tf.size(inputs["user_id"]))

    def spoil_candidates(self, vectors, biases):
        return tf.eye(self.movies), tf.zeros([self.movies])

    def spoil_ratings(self, inputs):
        return tf.fill(tf.shape(inputs["pair_row"]), np.float32(np.mean(self.scale)))


class AllEqual(Wrapped):
    """One score for every movie."""

    def spoil_candidates(self, vectors, biases):
        return tf.zeros_like(vectors), tf.zeros_like(biases)


class NanForOneUser(Wrapped):
    """No number for one user with test rows."""

    def spoil_query(self, inputs):
        hit = tf.equal(inputs["user_id"], str(self.users[len(self.users) // 2]))
        return tf.where(hit[:, tf.newaxis], np.float32("nan"), super().spoil_query(inputs))


def _forgotten(inputs: dict[str, Any]) -> dict[str, Any]:
    return {
        **inputs,
        "history_movie": inputs["history_movie"][:0],
        "history_rating": inputs["history_rating"][:0],
        "history_row_splits": tf.zeros_like(inputs["history_row_splits"]),
    }


# Challenger -> the rules one of which has to be named as the reason.
BROKEN: dict[type[Wrapped], set[str]] = {
    ShuffledLabels: {"top_100_vs_popularity"},
    PopularityOnly: {"top_100_vs_champion", "rmse_vs_bias"},
    SpoiltRatings: {"rmse_vs_global_mean"},
    ShuffledRetrieval: {"top_100_vs_popularity"},
    Memorised: {"top_100_vs_popularity"},
    AllEqual: {"top_100_vs_popularity"},
    NanForOneUser: {"finite"},
    NanOutsideTheTestRows: {"finite"},
    ReversedLists: {"ndcg_10_vs_popularity", "ndcg_10_vs_champion"},
}
OF_A_HUNDREDTH = {"top_100_vs_popularity", "rmse_vs_bias", "top_100_vs_champion"}


def hundredth(interactions: Path, target: Path) -> Path:
    """The same data with a hundredth of the training and validation rows."""
    shutil.copytree(interactions, target, ignore=shutil.ignore_patterns("baselines.npz"))
    data, random = Interactions.load(interactions), np.random.default_rng(0)
    summary = json.loads((target / "interactions.json").read_text())
    for split in ("train", "validation"):
        rows = data.split(split)
        chosen = np.flatnonzero(random.random(len(rows.movies)) < 0.01)
        few = UserRatings.group(rows.owners[chosen], rows.movies[chosen], rows.ratings[chosen], data.users)
        for part in ("offsets", "movies", "ratings"):
            np.save(target / part_file(split, part), getattr(few, part))
        summary["splits"][split] = len(chosen)
    (target / "interactions.json").write_text(json.dumps(summary))
    return target


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("inputs", nargs="*", type=Path, metavar="MODEL INTERACTIONS VOCABULARY")
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--challengers", nargs="+", type=Path, default=[], metavar="MODEL")
    parser.add_argument("--train-settings", type=json.loads, default={})
    arguments = parser.parse_args()
    if len(arguments.inputs) not in (0, 3):
        parser.error("give MODEL INTERACTIONS VOCABULARY, or none of them")
    if not arguments.inputs:
        reports = [_report(name, plain(one), rules) for name, one, rules in verdicts()]
        sys.exit(0 if all(reports) else 1)
    arguments.model, arguments.interactions, arguments.vocabulary = arguments.inputs
    with tempfile.TemporaryDirectory() as place:
        judge = at_hand if arguments.challengers else seeds if arguments.seeds else broken
        right = judge(arguments, Path(place))
    sys.exit(0 if right else 1)


def broken(arguments: argparse.Namespace, place: Path) -> bool:
    """Judges every broken challenger; whether each verdict is the right one."""
    names, data = Vocabulary.load(arguments.vocabulary), Interactions.load(arguments.interactions)
    champion = place / "champion"
    shutil.copytree(arguments.model, champion)
    DataSummary.of(data.known(), names.user_ids, names.movie_ids, data.rating_scale).save(champion)
    right = True
    for kind, rules in BROKEN.items():
        challenger = place / kind.__name__
        save(kind(champion, names, data), challenger / "saved_model")
        right &= _report(kind.__name__, _judged(arguments, challenger, champion, place), rules)
    few = place / "few"
    train(
        interactions=str(hundredth(arguments.interactions, place / "hundredth")),
        vocabulary=str(arguments.vocabulary),
        output=str(few),
        train_settings=arguments.train_settings,
    )
    return right & _report("OneHundredth", _judged(arguments, few, champion, place), OF_A_HUNDREDTH)


def seeds(arguments: argparse.Namespace, place: Path) -> bool:
    """Judges models that differ in the seed alone; whether at most a tenth of them are refused."""
    refused = 0
    for seed in range(arguments.seeds + 1):
        train(
            interactions=str(arguments.interactions),
            vocabulary=str(arguments.vocabulary),
            output=str(place / str(seed)),
            train_settings=arguments.train_settings,
            seed=seed,
        )
        if seed:
            refused += _is_refused(arguments, place / str(seed), place / "0", place)
    print(f"{refused} of {arguments.seeds} refused")
    return bool(refused <= arguments.seeds / 10)


def at_hand(arguments: argparse.Namespace, place: Path) -> bool:
    """Judges models that were trained before; whether at most a tenth of them are refused."""
    models = arguments.challengers
    refused = sum(_is_refused(arguments, model, arguments.model, place) for model in models)
    print(f"{refused} of {len(models)} refused")
    return refused <= len(models) / 10


def _is_refused(arguments: argparse.Namespace, model: Path, champion: Path, place: Path) -> bool:
    verdict = _judged(arguments, model, champion, place)
    print(f"{model.name}: {verdict['reason']}", flush=True)
    for rule in verdict["rules"]:
        if rule["against"] == CHAMPION and rule["margin"]:
            print(f"  {rule['verdict']:9} {rule['name']}: {rule['why']}", flush=True)
    return not verdict["blessed"]


def _judged(arguments: argparse.Namespace, model: Path, champion: Path, place: Path) -> dict[str, Any]:
    evaluate(
        model=str(model),
        champion=str(champion),
        interactions=str(arguments.interactions),
        vocabulary=str(arguments.vocabulary),
        output=str(place / "evaluation"),
    )
    return plain(load_verdict(place / "evaluation"))


def _report(name: str, verdict: dict[str, Any], rules: set[str]) -> bool:
    failed = [rule["name"] for rule in verdict["rules"] if rule["verdict"] == "fail"]
    right = failed[0] in rules if failed else not rules
    print(f"{'ok   ' if right else 'WRONG'} {name}: {', '.join(failed[:4]) or 'nothing'} fails", flush=True)
    return right


if __name__ == "__main__":
    main()
