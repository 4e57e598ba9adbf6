"""Compares exported indexes on the same rows, on none of which either was trained."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from components.errors import UserError
from components.evaluate.champion import ChampionComparison, DataChange, Opener
from components.evaluate.held_out import HeldOut, NamedRatings, read_ratings
from components.evaluate.verdict import ComparedChampion
from components.export.manifest import NONE, check_rules, load_index, read_manifest
from components.export.mapped_index import MappedIndex
from components.ingest.dataset import SplitSettings
from components.ingest.settings import Feedback, ReadOptions
from components.progress import log
from components.vocabulary.attributes import Attributes
from components.vocabulary.conditions import NO_RULES, NUMBERS, Rules
from components.vocabulary.data_summary import DataSummary
from components.vocabulary.interactions import UserRatings, chunks
from components.vocabulary.vocabulary import Vocabulary

if TYPE_CHECKING:
    from components.train.scoring import ScoringModel

Array = npt.NDArray[Any]

_USERS_AT_ONCE = 4096


@dataclass(frozen=True)
class IndexedModel:
    """The model, catalogue and ratings of an exported index."""

    scoring: "ScoringModel"  # the model that the index serves
    movie_ids: Array  # str objects [M], the catalogue
    titles: Array  # str objects [M]
    years: Array  # int32 [M], 0 where unknown
    trained: NamedRatings  # the ratings that the model may have been trained on
    held_out: NamedRatings  # the test rows
    rating_scale: tuple[float, float]  # in stars
    fingerprint: str  # of the data
    split: SplitSettings  # of the data
    feedback: Feedback  # of the data
    kinds: dict[str, str]  # of the attributes' columns, by name
    _loaded: Any = field(repr=False)  # the signatures hold the loaded object's variables only weakly

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Reads the index at `directory`. Raises `UserError` if there is none, or it cannot be loaded."""
        from components.train import scoring

        manifest, loaded = load_index(directory)
        catalogue = {name: value.numpy() for name, value in loaded.signatures["catalogue"]().items()}
        mapped = MappedIndex(manifest, directory.joinpath)
        if manifest.histories == NONE:
            raise UserError(
                f"{directory} holds no users and ratings (--histories none); evaluate its model with --model"
            )
        read = _mapped_ratings(mapped) if mapped.has_users else _ratings(loaded.signatures)
        movie_ids = _text(catalogue["movie_id"])
        trained, held_out = (NamedRatings(read[0], movie_ids, part) for part in read[1:])
        return cls(
            # The name under which the index keeps the scoring model whole.
            scoring=scoring.ScoringModel(loaded._scoring.signatures),
            movie_ids=movie_ids,
            titles=_text(catalogue["title"]),
            years=catalogue["year"].astype(np.int32),
            trained=trained,
            held_out=held_out,
            rating_scale=manifest.rating_scale,
            fingerprint=manifest.fingerprint,
            split=manifest.split,
            feedback=manifest.feedback,
            kinds=manifest.attributes,
            _loaded=loaded,
        )

    def attributes(self, movie_ids: Array) -> Attributes:
        """Returns the attributes of the movies of a larger catalogue, str objects [M]."""
        answer = {name: value.numpy() for name, value in self._loaded.signatures["attributes"]().items()}
        columns, written = _text(answer["column"]), _text(answer["value"])
        row_of = {movie: row for row, movie in enumerate(movie_ids)}
        rows = np.array([row_of[movie] for movie in self.movie_ids], np.int32)
        values = {
            name: written[columns == name].astype(np.float64 if kind == NUMBERS else object)
            for name, kind in self.kinds.items()
        }
        return Attributes(len(movie_ids), values, answer["row_splits"], rows[answer["row"]])


# The users, the ratings that the model may have been trained on, and the held-out ones.
_Read = tuple[Array, UserRatings, UserRatings]


def _mapped_ratings(mapped: MappedIndex) -> _Read:
    """Reads all ratings from the arrays of an index."""
    users = np.array(mapped.user_ids, object)
    history = mapped.read(np.arange(len(users)))
    return users, *_divide(len(users), history.owners, history.movies, history.ratings, history.held_out)


def _ratings(signatures: Any) -> _Read:
    """Reads all ratings from the SavedModel of an earlier release, which has no arrays."""
    import tensorflow as tf

    user_ids = signatures["users"]()["user_id"].numpy()
    row_of = {movie: row for row, movie in enumerate(signatures["catalogue"]()["movie_id"].numpy().tolist())}
    parts: list[tuple[Array, ...]] = []
    for users in chunks(max(len(user_ids), 1), _USERS_AT_ONCE):
        answer = signatures["history"](user_id=tf.constant(user_ids[users], tf.string))
        found = {name: values.numpy() for name, values in answer.items()}
        rated = np.array([row_of[movie] for movie in found["movie_id"].tolist()], np.int32)
        parts.append((np.diff(found["row_splits"]), rated, found["rating"], found["held_out"]))
    counts, movies, stars, held_out = map(np.concatenate, zip(*parts, strict=True))
    owners = np.repeat(np.arange(len(user_ids)), counts)
    return _text(user_ids), *_divide(len(user_ids), owners, movies, stars, held_out)


def _divide(
    users: int, owners: Array, movies: Array, stars: Array, held_out: Array
) -> tuple[UserRatings, UserRatings]:
    trained, held = (
        UserRatings.group(owners[chosen], movies[chosen], stars[chosen], users)
        for chosen in (~held_out, held_out)
    )
    return trained, held


def _text(values: Array) -> Array:
    """Decodes bytes to strings; the same id of many rows is one object."""
    words: dict[bytes, str] = {}
    return np.array([words.setdefault(value, value.decode("utf-8")) for value in values.tolist()], object)


class ComparedIndexes(NamedTuple):
    """The model of an index and its comparison with that of another one: inputs of `evaluate_challenger`."""

    challenger: Opener
    trained: DataSummary
    comparison: ChampionComparison
    held_out: HeldOut
    vocabulary: Vocabulary
    indexed: IndexedModel


def compare_indexes(
    index: str,
    against: str,
    registry: str,
    ratings: str,
    columns: str,
    forget: str,
    ingest_settings: dict[str, Any],
    rules: Rules = NO_RULES,
) -> ComparedIndexes:
    """Prepares the evaluation of the model of an index beside that of another one.

    Both read the same: the ratings that either may have been trained on. Neither is measured on any of these.
    Raises `UserError` if something cannot be read, or no row is left to measure on.

    Args:
      index: an index directory, a version of `registry`, or "champion" for the one that it serves.
      against: likewise; "" for none.
      ratings: files of held-out ratings; "" for the test rows that the indexes hold.
      columns: of these files, where their layout is not known.
      forget: files that name users whose ratings in these files are left out; "" for none.
      ingest_settings: options of reading them, by name.
      rules: which `index` has to be able to follow.
    """
    directory = _directory(index, registry)
    check_rules(read_manifest(directory), rules)
    mine = IndexedModel.load(directory)
    theirs = IndexedModel.load(_directory(against, registry)) if against else None
    both = [mine, theirs] if theirs else [mine]
    if theirs and mine.feedback != theirs.feedback:
        raise UserError(
            f"--index {index} is of {mine.feedback}, --against {against} is not; compare like with like"
        )
    known = [one.trained for one in both]
    wanted = [one.held_out for one in both]
    if ratings:
        options = replace(ReadOptions.read(ingest_settings), feedback=mine.feedback)
        wanted = [read_ratings(ratings, columns, mine.rating_scale, options, forget)]
    names, held_out = _common_world(both, known, wanted)
    if len(held_out.pairs.movies) == 0:
        raise UserError(
            f"{ratings or index} has no rating that the indexes were not trained on; "
            "name held-out ratings with --ratings"
        )
    held_out = replace(held_out, fingerprint=mine.fingerprint, split=mine.split, feedback=mine.feedback)
    trained = _summary(mine, held_out, names)
    comparison = _comparison(trained, theirs, against, held_out, names)
    return ComparedIndexes(lambda: mine.scoring, trained, comparison, held_out, names, mine)


def _directory(name: str, registry: str) -> Path:
    """Returns the local directory of an index that the user named."""
    from components.registry.registry import published_index

    if Path(name).is_dir():
        return Path(name)
    if "/" in name:
        raise UserError(f"there is no index at {name}; name an index directory, or a version of --registry")
    return published_index(registry, "" if name == "champion" else name)


def _common_world(
    indexes: list[IndexedModel], known: list[NamedRatings], wanted: list[NamedRatings]
) -> tuple[Vocabulary, HeldOut]:
    """Numbers the users and movies of all rows, and collects the wanted rows that are not known.

    A movie of no index is in the catalogue all the same: a row with it counts as missed.
    """
    catalogue: dict[str, tuple[str, int]] = {}
    for one in indexes:
        for movie, title, year in zip(one.movie_ids, one.titles, one.years.tolist(), strict=True):
            catalogue.setdefault(movie, (title, year))
    for movie in (movie for part in wanted for movie in part.movie_ids):
        catalogue.setdefault(movie, (movie, 0))
    movie_row = {movie: row for row, movie in enumerate(catalogue)}
    users = {user for part in (*known, *wanted) for user in part.user_ids[part.ratings.counts > 0]}
    user_row = {user: row for row, user in enumerate(sorted(users))}
    names = Vocabulary(
        user_ids=np.array(list(user_row), object),
        movie_ids=np.array(list(catalogue), object),
        titles=np.array([title for title, _ in catalogue.values()], object),
        years=np.array([year for _, year in catalogue.values()], np.int32),
        training_users=len(user_row),
    )
    of_known, stars_known = _keys(known, user_row, movie_row)
    of_wanted, stars_wanted = _keys(wanted, user_row, movie_row)
    new = ~np.isin(of_wanted, of_known)
    if left_out := np.count_nonzero(~new):
        log(f"{left_out:,} of {len(new):,} rows are left out: an index may have been trained on them")
    asked = _group(of_wanted[new], stars_wanted[new], names)
    read = _group(of_known, stars_known, names)
    return names, HeldOut.of(asked, read, names, indexes[0].rating_scale)


def _keys(
    parts: list[NamedRatings], user_row: dict[str, int], movie_row: dict[str, int]
) -> tuple[Array, Array]:
    """Numbers each (user, movie), int64 ascending, each once, with its stars; of several the first."""
    rows, stars = [], []
    for user_ids, movie_ids, ratings in parts:
        users = np.array([user_row.get(user, -1) for user in user_ids], np.int64)
        movies = np.array([movie_row[movie] for movie in movie_ids], np.int64)
        rows.append(users[ratings.owners] * len(movie_row) + movies[ratings.movies])
        stars.append(ratings.ratings)
    keys, first = np.unique(np.concatenate(rows), return_index=True)
    return keys, np.concatenate(stars)[first]


def _group(keys: Array, stars: Array, names: Vocabulary) -> UserRatings:
    users, movies = np.divmod(keys, max(len(names.movie_ids), 1))
    return UserRatings.group(users, movies, stars, len(names.user_ids))


def _summary(index: IndexedModel, held_out: HeldOut, names: Vocabulary) -> DataSummary:
    """Summarises the data that the index was trained on."""
    user_row = {user: row for row, user in enumerate(names.user_ids)}
    movie_row = {movie: row for row, movie in enumerate(names.movie_ids)}
    trained = _group(*_keys([index.trained], user_row, movie_row), names)
    return DataSummary.of(trained, names.user_ids, names.movie_ids, held_out.rating_scale)


def _comparison(
    trained: DataSummary, other: IndexedModel | None, version: str, held_out: HeldOut, names: Vocabulary
) -> ChampionComparison:
    if other is None:
        return ChampionComparison(
            absence="There is nothing to compare with; name another index with --against."
        )
    return ChampionComparison(
        ComparedChampion(exists=True, version=version),
        opener=lambda: other.scoring,
        data=DataChange.between(_summary(other, held_out, names), trained, held_out.rating_scale),
    )
