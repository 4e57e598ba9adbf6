"""Weights chosen on validation rows: of the item-item path in the scores, of biases alone in the ratings."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from components.progress import log
from components.train.item_item import Blend, Spectrum
from components.train.replicas import sum_over_workers
from components.train.sampled_head import Draw, SampledRatings, predict_by_draw
from components.train.svd_init import sample_users, singular_vectors
from components.train.training_data import RatedCatalogue
from components.vocabulary.interactions import UserRatings, chunks

Array = npt.NDArray[Any]
# Gives the towers' scores, float32 [n, movies], of n histories in rows of the model's tables.
Towers = Callable[[UserRatings], Any]

# A user of n ratings has n^2 pairs of movies; this power of 1 / n in the ratings makes them count as n^1.5.
# On validation rows it brings .002 of top-100 accuracy on MovieLens 1M, .001 on smaller sets; 1/2 no more.
_EVENNESS = 0.25
# Tried: ridges, in ratings, and standard deviations of the path's scores, in those of the towers'. The last
# ridge is too much: with it, the one before has two neighbours and is chosen less by chance. With the last
# weights little but the path counts: where a few movies are most of the ratings (FilmTrust) it is best alone.
RIDGES = (10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
WEIGHTS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 6.4, 25.6)
# Lengths of the lists whose hits are counted: the mean over several varies less than one.
_LISTS = (50, 100, 200)
# The gain must be so many standard errors. Where ratings are too few for the path, half of the random halves
# of the validation rows show some gain; with this rule the other half of the rows loses nothing.
_SURE = 1.5
# Users times movies that are compared at once.
_COMPARED = 1 << 22
# The share of biases alone must be so many standard errors from 0, and so much that it is worth its columns.
_SURE_OF_BIASES, _LEAST_SHARE = 2.0, 0.05


def decompose(parts: Sequence[UserRatings], catalogue: RatedCatalogue, rank: int, seed: int) -> Spectrum:
    """Decomposes the ratings of all `parts`, or of random users where there are very many."""
    random = np.random.default_rng(seed)
    read = catalogue.encode(parts, sample_users(np.sum([part.counts for part in parts], axis=0), random))
    rated = read.seen(len(catalogue.known_counts))
    counts = read.counts
    weights = (counts.mean() / np.maximum(counts, 1)) ** _EVENNESS
    rated.data *= np.repeat(weights, counts).astype(np.float32)
    found = singular_vectors(rated, min(rank, *rated.shape), random)
    diagonal = np.bincount(read.movies, np.square(rated.data), minlength=rated.shape[1])
    return Spectrum(np.square(found.values), found.right, diagonal)


def choose(spectrum: Spectrum, known: UserRatings, held_out: UserRatings, towers: Towers) -> Blend | None:
    """Chooses ridge and weight on validation rows; None where the path does not surely help.

    The gains of each ridge are averaged with its neighbours', and the weight is where the parabola through
    the best weight and its neighbours is greatest, so that chance decides less: on MovieLens 1M, a tenth of
    it and latest-small a choice on half of the users brings the other half .0002 to .0005 more accuracy than
    the best point of a grid smoothed in both directions.

    Args:
      spectrum: of ratings without the validation rows.
      known: histories of n users, at least one, in rows of the model's tables.
      held_out: their validation rows, likewise.
      towers: gives the scores that the path is added to.
    """
    gains, scales = _measure_gains(spectrum, known, held_out, towers)
    padded = np.pad(gains.sum(axis=0)[:, 1:], ((1, 1), (0, 0)), mode="edge")
    smooth = 2.0 * padded[1:-1] + padded[:-2] + padded[2:]
    best, column = divmod(int(np.argmax(smooth)), len(WEIGHTS))
    weight = float(np.exp(np.interp(_peak(smooth[best], column), np.arange(len(WEIGHTS)), np.log(WEIGHTS))))
    gain, rows = gains[:, best, column + 1], held_out.counts
    mean = gain.sum() / rows.sum()
    error = np.sqrt(np.sum(np.square(gain - mean * rows))) / rows.sum()
    sure = bool(mean > _SURE * error)
    gained = f"adds {mean:.4f} (standard error {error:.4f}) to the accuracy on validation rows"
    left_out = "" if sure else "; it is left out"
    log(f"item-item path: ridge {RIDGES[best]:g}, weight {weight:.2g} {gained}{left_out}")
    return Blend(RIDGES[best], weight * float(scales[best])) if sure else None


def _peak(values: Array, best: int) -> float:
    """Returns where the parabola through the greatest of `values` and its two neighbours is greatest."""
    if not 0 < best < len(values) - 1:
        return float(best)
    before, middle, after = values[best - 1 : best + 2]
    curvature = 2.0 * middle - before - after
    return best + 0.5 * float((after - before) / curvature) if curvature > 0 else float(best)


def _measure_gains(
    spectrum: Spectrum, known: UserRatings, held_out: UserRatings, towers: Towers
) -> tuple[Array, Array]:
    """Returns how many more hits each user has, [users, ridges, weights + 1], the first weight being 0.

    And for each ridge the standard deviation of the towers' scores over that of the path's, among movies that
    are not in the history.
    """
    tried = [spectrum.factors(ridge) for ridge in RIDGES]
    counts, scales = held_out.counts, np.zeros(len(RIDGES))
    hits = np.zeros((len(counts), len(RIDGES), len(WEIGHTS) + 1))
    for part in chunks(len(counts), int(np.clip(_COMPARED // len(spectrum.diagonal), 1, 256))):
        users = np.arange(part.start, part.stop)
        history, asked = known.select(users), held_out.select(users)
        scores, paths = np.array(towers(history)), [one.scores(history) for one in tried]
        scores[history.owners, history.movies] = -np.inf
        if part.start == 0:
            unseen = np.isfinite(scores)
            deviations = np.array([np.std(path[unseen]) for path in paths])
            scales = np.std(scores[unseen]) / np.maximum(deviations, 1e-12)
        for row, (path, scale) in enumerate(zip(paths, scales, strict=True)):
            for column, weight in enumerate((0.0, *WEIGHTS)):
                found = _hits(scores + np.float32(weight * scale) * path, asked)
                hits[part, row, column] = np.bincount(asked.owners, found, len(users))
    return hits - hits[:, :, :1], scales


def _hits(scores: Array, asked: UserRatings) -> Array:
    """Returns for each of the movies `asked` the share of the lists that it is in; ties count against it."""
    own = scores[asked.owners, asked.movies]
    # Itself is one of them.
    above = [np.count_nonzero(scores[user] >= score) for user, score in zip(asked.owners, own, strict=True)]
    lists = np.minimum(_LISTS, scores.shape[1])
    shares: Array = np.mean(np.array(above)[:, np.newaxis] <= lists, axis=1)
    return shares


def fall_back(
    sampled: SampledRatings, trained_on: UserRatings, parts: Iterable[tuple[Array, UserRatings, UserRatings]]
) -> None:
    """Gives biases of users and movies alone a share in the ratings, where validation rows surely ask for it.

    The share is that of the least squared error, a regression of the head's errors on the differences. On
    Ciao (98,143 movies of 2 ratings each on average) biases alone are closer than the draws, and both
    together closer than either.

    Args:
      sampled: the trained head; its `biases` are set.
      trained_on: what it has read, in rows of the model's tables, all users.
      parts: of the validation rows: users, what is known of them, and what is asked for.
    """
    biases, sums = Draw.of_biases(trained_on, sampled.draws[0]), np.zeros(4)
    for users, history, asked in parts:
        mean = sampled.ratings(users, history, asked)
        difference = predict_by_draw(biases, history.arrays, asked.arrays).numpy() - mean
        error = asked.ratings - mean
        sums += [error @ error, error @ difference, difference @ difference, len(error)]
    squares, product, spread, rows = sum_over_workers(sums)
    if not rows:
        return
    share = float(np.clip(product / max(spread, 1e-12), 0.0, 1.0))
    standard_error = float(np.sqrt(squares / rows / max(spread, 1e-12)))
    if share >= max(_SURE_OF_BIASES * standard_error, _LEAST_SHARE):
        sampled.biases = share, biases
        log(f"rating head: {share:.2f} of it are biases of users and movies alone")
