"""Model, Vocabulary, Interactions -> Index."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.errors import UserError
from components.export.manifest import FORMAT, MANIFEST_FILE, size_of
from components.outputs import output_directory, write_json
from components.progress import log
from components.step import step

# Far above what brute force takes at 20,000 movies (about 1 ms), below what a person notices.
MAX_LATENCY_MS = 200.0


@dataclass(frozen=True)
class ExportSummary:
    """What was exported.

    Attributes:
      movies, users: how many the index knows.
      ratings: how many it holds, held-out ones included.
      bytes: the size of the directory.
      recommend_p50_ms, recommend_p99_ms: time of an answer for one user, in a process of its own.
    """

    movies: int
    users: int
    ratings: int
    bytes: int
    recommend_p50_ms: float
    recommend_p99_ms: float


@step
def export(
    *, model: str, vocabulary: str, interactions: str, output: str, max_latency_ms: float = MAX_LATENCY_MS
) -> ExportSummary:
    """Wraps a model into the SavedModel that a server loads, and proves it in a fresh process.

    Args:
      model: a Model directory.
      vocabulary: the Vocabulary that the model was trained with.
      interactions: the Interactions whose ratings are read and excluded when serving.
      output: the directory to write: a SavedModel and manifest.json.
      max_latency_ms: the longest that the median answer for one user may take.

    Raises:
      UserError: if an input is not whole, if the model was trained on another catalogue, or if the exported
        index does not load, answers otherwise than the model, or is too slow. Nothing is written then.
    """
    from components.export.assemble import assemble, save
    from components.export.reference import draw_sample
    from components.export.validation import validate
    from components.train.scoring import ScoringModel
    from components.vocabulary.interactions import Interactions
    from components.vocabulary.vocabulary import Vocabulary

    names, rows, scoring = (
        Vocabulary.load(vocabulary),
        Interactions.load(interactions),
        ScoringModel.load(model),
    )
    if (len(names.user_ids), len(names.movie_ids)) != (rows.users, rows.movies):
        raise UserError(
            f"{interactions} was not made with {vocabulary}; take both from one `twotower vocabulary`"
        )
    if not np.array_equal(scoring.movie_ids, names.movie_ids):
        raise UserError(
            f"{model} was trained on another catalogue than {vocabulary}; name the vocabulary of its own run"
        )
    settings = _model_settings(Path(model))
    known, held_out = rows.known(), rows.split("test")
    with output_directory(output) as staging:
        log("writing the index")
        signatures = save(assemble(Path(model), names, known, held_out), staging)
        log("asking it in a fresh process")
        sample = draw_sample(names.user_ids, known, held_out)
        validation = validate(staging, scoring, sample, max_latency_ms)
        ratings = {"known": len(known.movies), "held_out": len(held_out.movies)}
        summary = ExportSummary(
            movies=rows.movies,
            users=rows.users,
            ratings=sum(ratings.values()),
            bytes=size_of(staging),
            recommend_p50_ms=validation.recommend_p50_ms,
            recommend_p99_ms=validation.recommend_p99_ms,
        )
        manifest = {
            "format": FORMAT,
            "search": "brute-force",
            "movies": rows.movies,
            "users": rows.users,
            "training_users": rows.training_users,
            "ratings": ratings,
            "rating_scale": list(rows.rating_scale),
            "dimension": int(scoring.vectors.shape[1]),
            "bytes": summary.bytes,
            "fingerprint": rows.fingerprint,
            "split": rows.split_settings,
            "model": settings,
            "validation": dataclasses.asdict(validation),
            "signatures": signatures,
        }
        write_json(staging / MANIFEST_FILE, manifest)
    return summary


def _model_settings(model: Path) -> dict[str, Any]:
    try:
        record = json.loads((model / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{model} has no readable model.json; make the model anew with `twotower train`"
        ) from error
    return {key: record[key] for key in ("preset", "settings", "fingerprint") if key in record}
