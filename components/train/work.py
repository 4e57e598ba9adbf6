"""The work of the step `train`, in one process or as one of several workers."""

import dataclasses
from pathlib import Path

import tensorflow as tf

from components.errors import UserError
from components.outputs import output_directory, write_json
from components.progress import log
from components.train import saved_model
from components.train.fit import write_log
from components.train.job import Fitted, Job
from components.train.overrides import override
from components.train.presets import PRESETS
from components.train.replicas import this_worker
from components.train.request import Request
from components.train.scoring import SAVED_MODEL
from components.train.summary import MODEL_FILE, TrainSummary
from components.vocabulary.data_summary import DataSummary
from components.vocabulary.interactions import Interactions
from components.vocabulary.vocabulary import Vocabulary

FORMAT = 1


def make_model(
    strategy: tf.distribute.Strategy, request: Request, interactions: str, vocabulary: str, output: str
) -> TrainSummary:
    """Trains as `request` says; the chief, or the only process, writes the Model to `output`.

    Raises:
      UserError: if an input is not whole, a setting is unknown or out of range, or the training diverges.
    """
    if request.preset not in PRESETS:
        presets = ", ".join(PRESETS)
        raise UserError(f"--preset {request.preset}: there is no such preset; choose from {presets}")
    defaults, fit = PRESETS[request.preset]
    settings = override(defaults, request.overrides())
    rows, names = Interactions.load(interactions), Vocabulary.load(vocabulary)
    if (len(names.user_ids), len(names.movie_ids)) != (rows.users, rows.movies):
        raise UserError(
            f"{interactions} was not made with {vocabulary}; take both from one `twotower vocabulary`"
        )
    tf.keras.utils.set_random_seed(request.seed)
    with strategy.scope():
        fitted = fit(Job(rows, names, request.seed, request.checkpoint_root), settings)
        chief = this_worker().number == 0
    summary = TrainSummary(
        steps=fitted.steps,
        seconds=round(fitted.seconds, 3),
        validation_rmse=fitted.kept["validation_rmse"],
        validation_top_100_accuracy_unseen=fitted.kept["validation_top_100_accuracy_unseen"],
    )
    if chief:
        with output_directory(output) as directory:
            _write(directory, request, fitted, summary, rows, names)
        log(f"model in {Path(output)}")
    return summary


def _write(
    directory: Path,
    request: Request,
    fitted: Fitted,
    summary: TrainSummary,
    rows: Interactions,
    names: Vocabulary,
) -> None:
    write_log(fitted.log, directory)
    saved_model.save(fitted.scoring(), directory / SAVED_MODEL)
    record = {
        "format": FORMAT,
        "preset": request.preset,
        "settings": dataclasses.asdict(fitted.settings),
        "seed": request.seed,
        "split": rows.split_settings,
        "fingerprint": rows.fingerprint,
        "rating_scale": list(rows.rating_scale),
        "movies": rows.movies,
        "training_users": rows.training_users,
        **summary._asdict(),
    }
    write_json(directory / MODEL_FILE, record)
    DataSummary.of(rows.known(), names.user_ids, names.movie_ids, rows.rating_scale).save(directory)
