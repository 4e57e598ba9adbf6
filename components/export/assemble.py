"""Puts the serving module together and writes it as a SavedModel."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from components.export.catalogue import Catalogue
from components.export.histories import Histories, pack
from components.export.inputs import Inputs
from components.export.manifest import signature_table
from components.export.search import Chosen, Questions, choose
from components.export.serving import ServingIndex
from components.export.warmup import Request, write_warmup


def choose_search(inputs: Inputs, kind: str) -> Chosen:
    """The search over the movies of `inputs`; raises `UserError` if there can be none of that kind."""
    scoring = inputs.scoring
    return choose(kind, scoring.vectors, scoring.biases, lambda: Questions.of(scoring, inputs.known))


def assemble(inputs: Inputs, search: Chosen) -> ServingIndex:
    """The serving module over the scoring SavedModel of `inputs`."""
    names = inputs.names
    packed = pack(inputs.known, inputs.held_out, len(names.movie_ids))
    return ServingIndex(
        scoring=tf.saved_model.load(str(inputs.model / "saved_model")),
        catalogue=Catalogue(list(names.movie_ids), list(names.titles), names.years),
        histories=Histories(list(names.user_ids), packed),
        search=search,
        rated=np.bincount(inputs.known.movies, minlength=len(names.movie_ids)) > 0,
    )


def save(index: ServingIndex, directory: Path, requests: list[Request]) -> dict[str, Any]:
    """Writes `index` and its warm-up requests into `directory`; returns the table of its signatures."""
    signatures = index.signatures()
    options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
    tf.saved_model.save(index, str(directory), signatures=signatures, options=options)
    write_warmup(directory, requests, signatures)
    assets = directory / "assets"
    if not any(assets.iterdir()):
        assets.rmdir()  # object stores know no empty directories: this index is the same after a copy
    return signature_table(signatures)
