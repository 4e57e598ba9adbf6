"""A program that trains on two devices of one process: the processor passes for both, in place of two GPUs.

It is one of its own since TensorFlow wants to know its devices before anything else. Called with the
directories of Interactions, Vocabulary and output, it prints as JSON what `Findings` says.
"""

import dataclasses
import json
import sys
from dataclasses import dataclass
from typing import Any

from components.train.artifact import ModelRecord
from components.train.settings import TrainRequest

SETTINGS = {
    "learning_rate": 0.03,
    "steps": 20,
    "validations": 1,
    "warmup_steps": 5,
    "dimension": 16,
    "hidden_units": 32,
    "rating_head": "regression",
    "rating_weights": 6,
    "ensemble_size": 1,
    "batch_users": 32,
    "final_refit": 0,
}
REQUEST = TrainRequest("default", SETTINGS, 0.0, 0.0, 42, "")


@dataclass
class Findings:
    """What two devices make of a training.

    Attributes:
      moved: how far one step of plain descent moves the variables, by the greatest component.
      apart: how far from each other one and two devices move them, where nothing is hidden or dropped.
      losses: of the two, when both are given the same user.
      summary: what `train` says of a training on two.
      of_sampled: what it says of one with the in-batch softmax, whose gradients are of some rows.
    """

    moved: float
    apart: float
    losses: list[float]
    summary: list[float]
    of_sampled: list[float]


def main(interactions: str, vocabulary: str, output: str) -> None:
    import tensorflow as tf

    processor = tf.config.list_physical_devices("CPU")[0]
    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(processor, halves)
    both = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    one = tf.distribute.get_strategy()

    from components.train.presets import make_model

    before, after_one, _ = _step(one, interactions, vocabulary)
    _, after_both, losses = _step(both, interactions, vocabulary)
    summary = make_model(both, REQUEST, interactions, vocabulary, output)
    sampled = dataclasses.replace(REQUEST, train_settings={**SETTINGS, "retrieval_loss": "in-batch"})
    of_sampled = make_model(both, sampled, interactions, vocabulary, f"{output}-sampled")
    findings = Findings(
        moved=_distance(before, after_one),
        apart=_distance(after_one, after_both),
        losses=losses,
        summary=_figures(summary),
        of_sampled=_figures(of_sampled),
    )
    print(json.dumps(dataclasses.asdict(findings)))


def _step(strategy: Any, interactions: str, vocabulary: str) -> tuple[list[Any], list[Any], list[float]]:
    """The variables before and after a step that hides nothing; then the losses of each device for a user."""
    import tensorflow as tf

    from components.train.presets import Job, initial_model
    from components.train.settings import Settings
    from components.train.sizing import resolve
    from components.train.training_data import RatedCatalogue, UserBatches, share_out
    from components.vocabulary.interactions import Interactions
    from components.vocabulary.vocabulary import Vocabulary

    tf.keras.utils.set_random_seed(1)
    rows, names = Interactions.load(interactions), Vocabulary.load(vocabulary)
    catalogue = RatedCatalogue.of(rows, names.years)
    plain = Settings(dimension=8, hidden_units=8, rating_head="regression", rating_weights=4, dropout=1e-9)
    settings = resolve(plain, rows.split("train").counts, len(catalogue.years))
    ratings = [rows.split("train")]
    batch = next(UserBatches(catalogue, ratings, 32, 1 << 16, 1).from_step(0))
    with strategy.scope():
        model: Any = initial_model(Job(rows, names, 1, ""), settings, catalogue)
        model.compile(optimizer=tf.keras.optimizers.SGD(1.0))

        def given(share: Any) -> Any:
            def of_replica(context: Any) -> Any:
                return tuple(map(tf.constant, share[context.replica_id_in_sync_group]))

            return strategy.experimental_distribute_values_from_function(of_replica)

        shares = share_out(batch, strategy.num_replicas_in_sync)
        hide, model._hide = model._hide, lambda read, _: read
        before = [variable.numpy() for variable in model.trainable_variables]
        step = tf.function(lambda share: strategy.run(model.train_step, args=(share,)), autograph=False)
        step(given(shares))
        after = [variable.numpy() for variable in model.trainable_variables]
        model._hide = hide
        same = share_out(next(UserBatches(catalogue, ratings, 1, 1 << 16, 1).from_step(0)), 2)
        losses = strategy.run(model.compute_loss, args=(given(same),))
        return before, after, [float(loss) for loss in strategy.experimental_local_results(losses)]


def _figures(record: ModelRecord) -> list[float]:
    return [record.steps, record.validation_rmse or 0, record.validation_top_100_accuracy_unseen or 0]


def _distance(ones: list[Any], others: list[Any]) -> float:
    return max(float(abs(one - other).max()) for one, other in zip(ones, others, strict=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
