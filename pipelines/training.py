"""The training pipeline: the graph, and nothing else."""

from kfp import dsl
from kfp.dsl.graph_component import GraphComponent

from components.declaration import documented_by
from components.evaluate import step as evaluate_step
from components.evaluate.component import evaluate
from components.export import step as export_step
from components.export.component import export
from components.image import IMAGE
from components.ingest import step as ingest_step
from components.ingest.component import fingerprint, ingest
from components.publish.component import notify, publish, refuse, skip
from components.recommend.component import batch as recommend_to_all
from components.registry.component import champion
from components.report.component import report
from components.train import step as train_step
from components.train.component import train
from components.vocabulary.component import vocabulary
from pipelines.resources import place

NAME = "twotower-training"
DESCRIPTION = "Turns a file of ratings into a published two-tower movie recommender, if it is good enough."


@documented_by(ingest_step.ingest, train_step.train, evaluate_step.evaluate, export_step.export)
def training(
    ratings: str,
    registry: str,
    movies: str = "",
    test_ratings: str = "",
    format: str = "",
    columns: str = "",
    rating_scale: str = "",
    split: str = "random",
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    min_user_ratings: int = 0,
    min_movie_ratings: int = 0,
    preset: str = "default",
    train_settings: dict = {},  # noqa: B006  # kfp reads the default, nobody changes it
    rating_weight: float = 0.0,
    retrieval_weight: float = 0.0,
    seed: int = 42,
    max_train_rows: int = 0,
    max_test_rows: int = 0,
    max_reject_rate: float = 0.01,
    gate: str = "enforce",
    min_top_100_accuracy: float = 0.0,
    max_rmse: float = 0.0,
    index_kind: str = "brute-force",
    max_latency_ms: float = 50.0,
    memory_gb: float = 1.5,
    batch_k: int = 0,
    fail_when_refused: bool = False,
    skip_unchanged: bool = False,
    checkpoint_root: str = "",
    workers: int = 1,
    image: str = IMAGE,
    index: str = "",
    batch: int = 0,
):
    """Trains a recommender, evaluates it beside the one in use, and publishes it if it is no worse.

    1. `fingerprint` identifies the input files, so that 3 is repeated only when they change.
    2. `champion` copies the served version's model out of the registry. If it was trained on the same
       input and that is reason enough, `skip` ends the run. Else:
    3. `ingest` validates, joins, deduplicates and splits the ratings.
    4. `vocabulary` gives users and movies their numbers and encodes every split once.
    5. `train` fits the two-tower model.
    6. `evaluate` measures challenger, champion and baselines on the test rows, and decides.
    7. `report` makes a page of it, to which 8 adds its time.
    8. If it may go live: `export` builds the serving index and `publish` puts it into the registry; if
       asked, `batch` then recommends to every user.
       Else: `refuse` says why.
    9. `notify`, the exit handler, records how the run ended and calls the webhook.

    Args:
      registry: The registry that the recommender is published to: a directory or gs:// prefix.
      memory_gb: Memory that `ingest` and `vocabulary` may hold, in GB, of the 5 GiB of their pods; beyond it
        the work spills to disk.
      seed: Decides the split, the order of training and the initial weights.
      batch_k: Movies that are recommended to every user after publishing, in a Parquet file; 0 writes none.
      fail_when_refused: Whether a refusal fails the run.
      skip_unchanged: Whether a run ends at once if the champion was trained on the same input files.
      image: The container image that every step runs on.
      index: The old name of index_kind, for one release.
      batch: The old name of batch_k, for one release; give one of the two.
    """
    run_id = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    notified = notify(registry=registry, run_id=run_id)

    with dsl.ExitHandler(notified, name="Train and publish"):
        # 1
        identified = fingerprint(ratings=ratings, movies=movies, test_ratings=test_ratings)
        # 2
        served = champion(
            registry=registry, fingerprint=identified.outputs["Output"], skip_unchanged=skip_unchanged
        )
        with dsl.If(served.outputs["skip"] == True, name="Unchanged"):  # noqa: E712
            skipped = skip(
                registry=registry,
                run_id=run_id,
                version=served.outputs["version"],
                sequence=served.outputs["sequence"],
                fingerprint=identified.outputs["Output"],
            )
        with dsl.Else(name="Train, evaluate, publish"):
            # 3
            ingested = ingest(
                ratings=ratings,
                movies=movies,
                test_ratings=test_ratings,
                format=format,
                columns=columns,
                rating_scale=rating_scale,
                split=split,
                validation_fraction=validation_fraction,
                test_fraction=test_fraction,
                fingerprint=identified.outputs["Output"],
                seed=seed,
                max_train_rows=max_train_rows,
                max_test_rows=max_test_rows,
                min_user_ratings=min_user_ratings,
                min_movie_ratings=min_movie_ratings,
                max_reject_rate=max_reject_rate,
                memory_gb=memory_gb,
            )
            # 4
            encoded = vocabulary(dataset=ingested.outputs["dataset"], memory_gb=memory_gb)
            # 5
            trained = train(
                interactions=encoded.outputs["interactions"],
                vocabulary=encoded.outputs["vocabulary"],
                preset=preset,
                train_settings=train_settings,
                rating_weight=rating_weight,
                retrieval_weight=retrieval_weight,
                seed=seed,
                checkpoint_root=checkpoint_root,
                workers=workers,
            )
            # 6
            evaluated = evaluate(
                model=trained.outputs["model"],
                champion=served.outputs["champion"],
                interactions=encoded.outputs["interactions"],
                vocabulary=encoded.outputs["vocabulary"],
                gate=gate,
                min_top_100_accuracy=min_top_100_accuracy,
                max_rmse=max_rmse,
                seed=seed,
            )
            # 7
            reported = report(
                evaluation=evaluated.outputs["evaluation"],
                model=trained.outputs["model"],
                dataset=ingested.outputs["dataset"],
                identity=identified.outputs["identity"],
            )
            # 8
            with dsl.If(evaluated.outputs["publish"] == True, name="Good enough"):  # noqa: E712
                exported = export(
                    model=trained.outputs["model"],
                    vocabulary=encoded.outputs["vocabulary"],
                    interactions=encoded.outputs["interactions"],
                    index_kind=index_kind,
                    max_latency_ms=max_latency_ms,
                    old_index_kind=index,
                )
                published = publish(
                    index=exported.outputs["index"],
                    model=trained.outputs["model"],
                    evaluation=evaluated.outputs["evaluation"],
                    report=reported.outputs["report"],
                    model_card=reported.outputs["model_card"],
                    dataset=ingested.outputs["dataset"],
                    registry=registry,
                    champion_sequence=served.outputs["sequence"],
                    run_id=run_id,
                )
                # One of the two is 0, the other the number that is asked for; or both are 0.
                with dsl.If(batch_k != batch, name="Recommend to all"):
                    recommended = recommend_to_all(index=exported.outputs["index"], k=batch_k, old_k=batch)
                    recommended.after(published)
            with dsl.Else(name="Not good enough"):
                refused = refuse(
                    model=trained.outputs["model"],
                    evaluation=evaluated.outputs["evaluation"],
                    report=reported.outputs["report"],
                    dataset=ingested.outputs["dataset"],
                    registry=registry,
                    run_id=run_id,
                    fail=fail_when_refused,
                )

    prepared = (notified, identified, served, skipped, ingested, encoded)
    decided = (trained, evaluated, reported, exported, published, recommended, refused)
    for task in (*prepared, *decided):
        place(task, image)


def pipeline() -> GraphComponent:
    """The graph, drawn when it is called for and not at import.

    At every setting of a step KFP looks up the module of each caller on the stack, and the frames of a
    running import belong to none: it would search all modules for them, for seconds.
    """
    drawn: GraphComponent = dsl.pipeline(training, name=NAME, description=DESCRIPTION)
    return drawn
