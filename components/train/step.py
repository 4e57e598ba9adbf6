"""The step `train`."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from components.errors import UserError
from components.outputs import output_directory, write_json
from components.progress import log
from components.step import step

FORMAT = 1


class TrainSummary(NamedTuple):
    """What was trained.

    Attributes:
      steps: training steps in all.
      seconds: spent in them.
      validation_rmse: in stars, of the weights that were chosen; None without validation rows.
      validation_top_100_accuracy_unseen: 0 to 1, likewise.
    """

    steps: int
    seconds: float
    validation_rmse: float | None
    validation_top_100_accuracy_unseen: float | None


@step
def train(
    *,
    interactions: str,
    vocabulary: str,
    output: str,
    preset: str = "default",
    train_settings: dict[str, Any] = {},  # noqa: B006  # never changed; kfp passes it on
    rating_weight: float = 0.0,
    retrieval_weight: float = 0.0,
    seed: int = 42,
    checkpoint_root: str = "",
) -> TrainSummary:
    """Trains a model that recommends and rates.

    Args:
      interactions: Interactions, the directory that `vocabulary` wrote.
      vocabulary: Vocabulary of the same run.
      output: Model, the directory to write.
      preset: "default", or "notebook" for the original's model.
      train_settings: Overrides of the preset's settings, by name.
      rating_weight: Weight of the rating loss; 0 takes the preset's.
      retrieval_weight: Weight of the retrieval loss; 0 takes the preset's.
      seed: Decides the order of training and the initial weights.
      checkpoint_root: A directory or gs:// prefix for checkpoints; "" keeps none.

    Raises:
      UserError: if an input is not whole, a setting is unknown or out of range, or the training diverges.
    """
    import tensorflow as tf

    from components.train import saved_model
    from components.train.fit import write_log
    from components.train.job import Job
    from components.train.overrides import override
    from components.train.presets import PRESETS
    from components.train.scoring import SAVED_MODEL
    from components.vocabulary.data_summary import DataSummary
    from components.vocabulary.interactions import Interactions
    from components.vocabulary.vocabulary import Vocabulary

    if preset not in PRESETS:
        raise UserError(f"--preset {preset}: there is no such preset; choose from {', '.join(PRESETS)}")
    defaults, fit = PRESETS[preset]
    weights = {"rating_weight": rating_weight, "retrieval_weight": retrieval_weight}
    chosen = {name: weight for name, weight in weights.items() if weight}
    settings = override(defaults, {**train_settings, **chosen})
    rows, names = Interactions.load(interactions), Vocabulary.load(vocabulary)
    if (len(names.user_ids), len(names.movie_ids)) != (rows.users, rows.movies):
        raise UserError(
            f"{interactions} was not made with {vocabulary}; take both from one `twotower vocabulary`"
        )
    tf.keras.utils.set_random_seed(seed)
    with output_directory(output) as directory:
        fitted = fit(Job(rows, names, seed, checkpoint_root), settings)
        write_log(fitted.log, directory)
        saved_model.save(fitted.scoring, directory / SAVED_MODEL)
        summary = TrainSummary(
            steps=fitted.steps,
            seconds=round(fitted.seconds, 3),
            validation_rmse=fitted.kept["validation_rmse"],
            validation_top_100_accuracy_unseen=fitted.kept["validation_top_100_accuracy_unseen"],
        )
        record = {
            "format": FORMAT,
            "preset": preset,
            "settings": dataclasses.asdict(fitted.settings),
            "seed": seed,
            "split": rows.split_settings,
            "fingerprint": rows.fingerprint,
            "rating_scale": list(rows.rating_scale),
            "movies": rows.movies,
            "training_users": rows.training_users,
            **summary._asdict(),
        }
        write_json(directory / "model.json", record)
        DataSummary.of(rows.known(), names.user_ids, names.movie_ids, rows.rating_scale).save(directory)
    log(f"model in {Path(output)}")
    return summary
