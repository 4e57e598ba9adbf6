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
from components.ingest.component import ingest
from components.publish.component import notify, publish, refuse
from components.recommend.component import batch as recommend_to_all
from components.registry import step as registry_step
from components.registry.component import prepare
from components.report.component import report
from components.train import step as train_step
from components.train.component import train
from components.vocabulary.component import vocabulary
from pipelines.resources import place

NAME = "twotower-training"
DESCRIPTION = "Turns a file of ratings into a published two-tower movie recommender, if it is good enough."


@documented_by(
    registry_step.prepare, ingest_step.ingest, train_step.train, evaluate_step.evaluate, export_step.export
)
def training(
    ratings: str,
    registry: str,
    movies: str = "",
    test_ratings: str = "",
    forget: str = "",
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
    warm_start: str = "auto",
    max_train_rows: int = 0,
    max_test_rows: int = 0,
    max_reject_rate: float = 0.01,
    ingest_settings: dict = {},  # noqa: B006  # kfp reads the default, nobody changes it
    gate: str = "enforce",
    min_top_100_accuracy: float = 0.0,
    max_rmse: float = 0.0,
    champion_margin: str = "",
    ignore_champion: bool = False,
    index_kind: str = "brute-force",
    max_latency_ms: float = 50.0,
    histories: str = "inside",
    memory_gb: float = 1.5,
    batch_k: int = 0,
    batch_where: str = "",
    batch_boost: str = "",
    batch_diversity: float = 0.0,
    batch_popularity_discount: float = 0.0,
    batch_shards: int = 1,
    fail_when_refused: bool = False,
    skip_unchanged: bool = False,
    time_budget: float = 0.0,
    checkpoint_root: str = "",
    workers: int = 1,
    image: str = IMAGE,
    index: str = "",
    batch: int = 0,
):
    """Trains a recommender, evaluates it beside the one in use, and publishes it if it is no worse.

    1. `prepare` identifies the input files and copies the served version's model out of the registry. If
       that was trained on the same input, and this is reason enough, the run ends here. Else:
    2. `ingest` validates, joins, deduplicates and splits the ratings.
    3. `vocabulary` gives users and movies their numbers and encodes every split once.
    4. `train` fits the two-tower model.
    5. `evaluate` measures challenger, champion and baselines on the test rows, and decides.
    6. If it may go live: `report` makes a page of it and `export` builds the serving index; `publish` puts
       both into the registry, and `batch` recommends to every user if asked.
       Else: `refuse` makes the page and says why.
    7. `notify`, the exit handler, records how the run ended and calls the webhook.

    Few levels and few steps: the retry policy of a stock Kubeflow holds for every level of the graph as well,
    so an error that stays is tried three times a level; each level costs a pod, each step another. An If
    with an Else would be two levels, two Ifs are one.

    Args:
      registry: The registry that the recommender is published to: a directory, gs:// or s3:// prefix.
      memory_gb: Memory that `ingest` and `vocabulary` may hold, in GB, of the 5 GiB of their pods; beyond it
        the work spills to disk.
      seed: Decides the split, the order of training and the initial weights.
      batch_k: Movies that are recommended to every user after publishing, in a Parquet file; 0 writes none.
      batch_where: Condition that these movies fulfil, such as year>=1990; several, which all hold, as a JSON
        list.
      batch_boost: Condition and number, such as genre=Comedy:1.5: raises the scores of these movies by so
        many standard deviations; several as a JSON list.
      batch_diversity: Variety of these lists, 0 to 1, by maximal marginal relevance.
      batch_popularity_discount: How much the scores of popular movies are lowered for these lists, 0 to 1.
      batch_shards: Parts into which these users are divided, each a Parquet file in one directory. On
        Kubeflow each is the work of a pod, and they need a checkpoint root that all share, as workers do.
      fail_when_refused: Whether a refusal fails the run.
      image: The container image that every step runs on.
      index: The old name of index_kind, for one release.
      batch: The old name of batch_k, for one release; give one of the two.
    """
    run_id = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    notified = notify(
        registry=registry,
        run_id=run_id,
        checkpoint_root=checkpoint_root,
        workers=workers,
        batch_shards=batch_shards,
    )

    with dsl.ExitHandler(notified, name="Train and publish"):
        # 1
        prepared = prepare(
            ratings=ratings,
            movies=movies,
            test_ratings=test_ratings,
            forget=forget,
            registry=registry,
            skip_unchanged=skip_unchanged,
            ignore_champion=ignore_champion,
            run_id=run_id,
            ingest_settings=ingest_settings,
        )
        with dsl.If(prepared.outputs["skip"] == False, name="Not skipped"):  # noqa: E712
            # 2
            ingested = ingest(
                ratings=ratings,
                movies=movies,
                test_ratings=test_ratings,
                forget=forget,
                format=format,
                columns=columns,
                rating_scale=rating_scale,
                split=split,
                validation_fraction=validation_fraction,
                test_fraction=test_fraction,
                fingerprint=prepared.outputs["fingerprint"],
                seed=seed,
                max_train_rows=max_train_rows,
                max_test_rows=max_test_rows,
                min_user_ratings=min_user_ratings,
                min_movie_ratings=min_movie_ratings,
                max_reject_rate=max_reject_rate,
                memory_gb=memory_gb,
                ingest_settings=ingest_settings,
            )
            # 3
            encoded = vocabulary(dataset=ingested.outputs["dataset"], memory_gb=memory_gb)
            # 4
            trained = train(
                interactions=encoded.outputs["interactions"],
                vocabulary=encoded.outputs["vocabulary"],
                preset=preset,
                train_settings=train_settings,
                rating_weight=rating_weight,
                retrieval_weight=retrieval_weight,
                seed=seed,
                warm_start=warm_start,
                registry=registry,
                champion_version=prepared.outputs["version"],
                cold_start=prepared.outputs["cold_start"],
                time_budget=time_budget,
                checkpoint_root=checkpoint_root,
                workers=workers,
            )
            # 5
            evaluated = evaluate(
                model=trained.outputs["model"],
                champion=prepared.outputs["champion"],
                interactions=encoded.outputs["interactions"],
                vocabulary=encoded.outputs["vocabulary"],
                gate=gate,
                min_top_100_accuracy=min_top_100_accuracy,
                max_rmse=max_rmse,
                champion_margin=champion_margin,
                ignore_champion=ignore_champion,
                seed=seed,
            )
            described = {
                "evaluation": evaluated.outputs["evaluation"],
                "model": trained.outputs["model"],
                "dataset": ingested.outputs["dataset"],
            }
            # 6
            with dsl.If(evaluated.outputs["publish"] == True, name="Good enough"):  # noqa: E712
                reported = report(**described)
                exported = export(
                    model=trained.outputs["model"],
                    vocabulary=encoded.outputs["vocabulary"],
                    interactions=encoded.outputs["interactions"],
                    index_kind=index_kind,
                    max_latency_ms=max_latency_ms,
                    histories=histories,
                    old_index_kind=index,
                )
                published = publish(
                    **described,
                    index=exported.outputs["index"],
                    report=reported.outputs["report"],
                    model_card=reported.outputs["model_card"],
                    registry=registry,
                    champion_sequence=prepared.outputs["sequence"],
                    run_id=run_id,
                )
                recommended = recommend_to_all(
                    index=exported.outputs["index"],
                    k=batch_k,
                    old_k=batch,
                    where=batch_where,
                    boost=batch_boost,
                    diversity=batch_diversity,
                    popularity_discount=batch_popularity_discount,
                    shards=batch_shards,
                    checkpoint_root=checkpoint_root,
                )
            with dsl.If(evaluated.outputs["publish"] == False, name="Not good enough"):  # noqa: E712
                refused = refuse(
                    **described,
                    registry=registry,
                    run_id=run_id,
                    fail=fail_when_refused,
                )

    before = (notified, prepared, ingested, encoded, trained, evaluated)
    for task in (*before, reported, exported, published, recommended, refused):
        place(task, image)


def pipeline() -> GraphComponent:
    """The graph, drawn when it is called for and not at import.

    At every setting of a step KFP looks up the module of each caller on the stack, and the frames of a
    running import belong to none: it would search all modules for them, for seconds.
    """
    drawn: GraphComponent = dsl.pipeline(training, name=NAME, description=DESCRIPTION)
    return drawn
