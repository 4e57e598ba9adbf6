"""Puts the serving module together and writes it as a SavedModel."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from components.export.catalogue import Catalogue
from components.export.histories import Histories, pack
from components.export.manifest import signature_table
from components.export.serving import ServingIndex
from components.vocabulary.interactions import UserRatings
from components.vocabulary.vocabulary import Vocabulary


def assemble(model: Path, names: Vocabulary, known: UserRatings, held_out: UserRatings) -> ServingIndex:
    """The serving module over the scoring SavedModel of the Model directory `model`.

    Args:
      known, held_out: ratings of the same users, those that the model may read and those of the test split.
    """
    return ServingIndex(
        scoring=tf.saved_model.load(str(model / "saved_model")),
        catalogue=Catalogue(list(names.movie_ids), list(names.titles), names.years),
        histories=Histories(list(names.user_ids), pack(known, held_out, len(names.movie_ids))),
    )


def save(index: ServingIndex, directory: Path) -> dict[str, Any]:
    """Writes `index` into `directory` and returns the table of its signatures."""
    signatures = index.signatures()
    tf.saved_model.save(index, str(directory), signatures=signatures)
    assets = directory / "assets"
    if not any(assets.iterdir()):
        assets.rmdir()  # object stores know no empty directories: this index is the same after a copy
    return signature_table(signatures)
