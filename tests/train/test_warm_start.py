"""A training may begin at the champion's weights: when it does, when not, and which rows it has read then."""

import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import pytest
from training_world import QUICK, two_genres

from components.errors import UserError
from components.train.settings import Settings, TrainRequest, override
from components.train.training_data import RatedCatalogue
from components.train.warm_start import NO_CANDIDATE, Candidate, find_start
from components.train.weights import Weights, WeightsHeader
from components.vocabulary.data_summary import DataSummary, HashSample, id_hashes, row_hashes
from components.vocabulary.interactions import Interactions
from components.vocabulary.vocabulary import Vocabulary, load_encoded

VERSION = "20261124-105900-3f9a1c02"
SETTINGS = override(Settings(), {**QUICK, "rating_head": "sampled", "retrieval_loss": "top-k"})


@dataclasses.dataclass
class Registry:
    """A registry with one version, made of the ratings of a world."""

    root: Path
    rows: Interactions
    names: Vocabulary
    catalogue: RatedCatalogue

    @property
    def model(self) -> Path:
        return self.root / "versions" / VERSION / "model"

    @property
    def weights(self) -> Weights:
        return Weights.load(self.model / "weights.npz")

    def change(self, **header) -> None:
        """Replaces fields of the header of the weights file."""
        weights = self.weights
        changed = msgspec.structs.replace(weights.header, **header)
        dataclasses.replace(weights, header=changed).save(self.model / "weights.npz")

    def start(self, settings: Settings = SETTINGS, rows: Interactions | None = None, **candidate):
        found = {"registry": str(self.root), "version": VERSION, **candidate}
        return find_start(Candidate(**found), settings, rows or self.rows, self.names, self.catalogue)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    world = two_genres(users=40, movies=31).write(tmp_path_factory.mktemp("world"))
    rows, names = load_encoded(world.interactions, world.vocabulary)
    return rows, names, RatedCatalogue.of(rows, names.years)


@pytest.fixture
def registry(made, tmp_path):
    rows, names, catalogue = made
    registry = Registry(tmp_path / "registry", rows, names, catalogue)
    registry.model.mkdir(parents=True)
    rated = names.movie_ids[catalogue.rows >= 0].tolist()
    header = WeightsHeader(
        settings=dataclasses.asdict(SETTINGS), split=rows.split_settings, movies=rated, first_year=2000
    )
    tables = {"candidate_0/0/embeddings": np.zeros((len(rated), SETTINGS.dimension), np.float32)}
    Weights(header, id_hashes(names.user_ids[:10]), tables).save(registry.model / "weights.npz")
    summary = DataSummary.of(rows.known(), names.user_ids, names.movie_ids, rows.rating_scale)
    summary.save(registry.model)
    return registry


def test_it_is_warm_where_everything_suits(registry, capsys):
    start, record = registry.start()
    assert start.version == record.version == VERSION
    assert record.why == f"30 of 30 rated movies have weights in the version {VERSION}."
    assert capsys.readouterr().err == f"twotower: warm start: {record.why}\n"
    np.testing.assert_array_equal(start.may_validate, np.arange(40) < 10)


def test_a_third_of_steps_and_sweeps_is_enough_unless_they_are_given(registry):
    start, _ = registry.start()
    settings = dataclasses.replace(SETTINGS, steps=2000, sweeps=120, validations=10)
    shorter = start.shorten(settings, ())
    assert (shorter.steps, shorter.warmup_steps, shorter.sweeps, shorter.validations) == (667, 4, 40, 4)
    few, given = dataclasses.replace(settings, sweeps=24), start.shorten(settings, {"steps", "sweeps"})
    assert start.shorten(few, ()).sweeps == 24
    assert (given.steps, given.sweeps, given.validations) == (2000, 120, 4)
    request = TrainRequest("default", {"epochs": 1, "sweeps": 9}, 2.0, 0.0, 1, "")
    assert {"sweeps", "rating_weight"} <= set(Candidate.of(request).given)


@pytest.mark.parametrize(
    ("theirs", "named"),
    [
        ({"split": {"seed": 2}}, "seed 2, here 1"),
        ({"split": {"kind": "time"}}, "kind time, here random"),
        ({"split": {"test_fraction": 0.2}}, "test fraction 0.2, here 0.1"),
        ({"split": {"validation_fraction": 0.2}}, "validation fraction 0.2, here 0.1"),
        ({"settings": {"dimension": 8}}, f"The dimension of the version {VERSION} is 8, here 16."),
        ({"settings": {"ensemble_size": 4}}, "ensemble_size"),
        ({"settings": {"rating_head": "regression"}}, "rating_head"),
        ({"settings": {"rating_weights": 32}}, "rating_weights"),
        ({"settings": {"retrieval_loss": "in-batch"}}, "retrieval_loss"),
        ({"settings": {"hidden_units": 7}}, "hidden_units"),
        ({"movies": [f"other {number}" for number in range(30)]}, "None of the movies"),
    ],
)
def test_it_is_cold_where_split_settings_or_movies_do_not_suit(registry, theirs, named, capsys):
    header = registry.weights.header
    if "split" in theirs:
        theirs = {"split": msgspec.structs.replace(header.split, **theirs["split"])}
    if "settings" in theirs:
        theirs = {"settings": header.settings | theirs["settings"]}
    registry.change(**theirs)
    start, record = registry.start()
    assert start is None
    assert (record.version, named in record.why) == ("", True), record.why
    assert capsys.readouterr().err == f"twotower: cold start: {record.why}\n"


@pytest.mark.parametrize(
    ("candidate", "why"),
    [
        ({"allowed": False}, "It was asked for (--warm-start never)."),
        ({"version": ""}, "There is no champion to begin at."),
        ({"refused": "It has read what is to be forgotten."}, "It has read what is to be forgotten."),
    ],
)
def test_it_is_cold_where_nobody_wants_or_has_anything_else(registry, candidate, why):
    assert registry.start(**candidate)[1].why == why


def test_without_a_candidate_no_registry_is_needed(made):
    rows, names, catalogue = made
    assert find_start(NO_CANDIDATE, SETTINGS, rows, names, catalogue)[0] is None


def test_a_version_that_is_not_there_is_a_mistake(registry):
    with pytest.raises(
        UserError, match=r"--champion-version 2026: .* has no such version; `twotower versions"
    ):
        registry.start(version="2026")


def test_a_version_of_an_earlier_release_has_no_weights(registry):
    (registry.model / "weights.npz").unlink()
    assert "has no weights.npz; those of earlier releases have none." in registry.start()[1].why


def _cut_off(file):
    file.write_bytes(file.read_bytes()[:1000])


def _drop_rows(file):
    weights = Weights.load(file)
    tables = {name: table[1:] for name, table in weights.variables.items()}
    dataclasses.replace(weights, variables=tables).save(file)


def _of_another_format(file):
    with np.load(file) as saved:
        arrays = {name: saved[name] for name in saved.files}
    text = arrays["header"].tobytes().replace(b'"format": 1', b'"format": 7')
    np.savez(file, **{**arrays, "header": np.frombuffer(text, np.uint8)})


@pytest.mark.parametrize(
    ("name", "spoil", "named"),
    [
        ("weights.npz", _cut_off, "weights.npz is damaged or cut off; restore it from a backup, or leave it"),
        ("weights.npz", lambda file: file.write_bytes(b""), "weights.npz is damaged or cut off"),
        ("weights.npz", lambda file: np.savez(file, header=np.zeros(3)), "weights.npz is damaged"),
        ("weights.npz", _drop_rows, "weights.npz is damaged: its tables are not of its 30 movies"),
        ("weights.npz", _of_another_format, "weights.npz: field `format`: expected 1, got 7"),
        ("data.npz", _cut_off, "data.npz is damaged"),
    ],
)
def test_a_broken_file_is_named_and_the_start_is_cold(registry, name, spoil, named):
    spoil(registry.model / name)
    start, record = registry.start()
    assert start is None
    assert f"{registry.model}/{named}" in record.why
    assert "\n" not in record.why


def test_weights_that_have_read_test_rows_are_not_used(registry):
    rows = registry.rows
    # As if the champion's training rows were for testing now.
    moved = dataclasses.replace(
        rows, _splits={**rows._splits, "test": rows.split("train").only(np.arange(rows.users) == 3)}
    )
    assert registry.start(rows=moved)[1].why == (
        f"The version {VERSION} has read test rows of these data, at least 18."
    )


def _read(registry, users, rows):
    """Leaves a record by which the champion knew `users` and read the validation rows of `rows`."""
    summary = DataSummary.load(registry.model)
    names, held_out = registry.names, registry.rows.split("validation").only(rows)
    hashes = id_hashes(names.user_ids)
    pairs = row_hashes(hashes[held_out.owners], id_hashes(names.movie_ids)[held_out.movies])
    dataclasses.replace(summary, users=HashSample.of([hashes[users]]), rows=HashSample.of([pairs])).save(
        registry.model
    )


def test_only_users_whose_validation_rows_are_unread_validate(registry):
    number = np.arange(40)
    _read(registry, users=number < 30, rows=number < 32)
    start, _ = registry.start()
    # The first ten were kept aside by the champion; it has never seen the last ones, but rows of two of them.
    np.testing.assert_array_equal(start.may_validate, (number < 10) | (number >= 32))


def test_weights_that_have_read_all_validation_rows_are_not_used(registry):
    weights = registry.weights
    dataclasses.replace(weights, validating_users=weights.validating_users[:0]).save(
        registry.model / "weights.npz"
    )
    assert registry.start()[1].why.endswith("has read all validation rows of these data.")


def test_whose_ratings_a_model_has_read_is_kept_along_a_chain_of_warm_starts(registry):
    names, start = registry.names, registry.start()[0]
    users = id_hashes(names.user_ids)
    np.testing.assert_array_equal(start.read.readers, np.sort(users))
    own = dataclasses.replace(start.read, readers=np.sort(users[:10]))
    theirs = dataclasses.replace(start.read, readers=id_hashes(["gone"]))
    assert set(own.with_rows_of(theirs).readers) == {*users[:10], *id_hashes(["gone"])}
    own.with_rows_of(theirs).save(registry.model)
    assert set(registry.start()[0].read.readers) == {*users[:10], *id_hashes(["gone"])}
    # A model of an earlier release does not say it, and what begins there cannot either.
    unknown = dataclasses.replace(theirs, readers=None)
    assert own.with_rows_of(unknown).readers is None
    (registry.model / "users.npy").unlink()
    assert registry.start()[0].read.readers is None
