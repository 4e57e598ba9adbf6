"""The training pipeline: the graph, and nothing else."""

from kfp import dsl
from kfp.dsl.graph_component import GraphComponent

from components.evaluate.component import evaluate
from components.export.component import export
from components.image import IMAGE
from components.ingest.component import fingerprint, ingest
from components.publish.component import notify, publish, refuse, skip
from components.recommend.component import batch as recommend_to_all
from components.registry.component import champion
from components.report.component import report
from components.train.component import train
from components.vocabulary.component import vocabulary
from pipelines.resources import place

NAME = "twotower-training"
DESCRIPTION = "Turns a file of ratings into a published two-tower movie recommender, if it is good enough."


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
    index: str = "brute-force",
    batch: int = 0,
    fail_when_refused: bool = False,
    skip_unchanged: bool = False,
    checkpoint_root: str = "",
    workers: int = 1,
    image: str = IMAGE,
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
    9. `notify`, the exit handler, records how the run ended and tells the webhook.

    Args:
        ratings: The ratings: a path or gs:// URI, several by comma, or a pattern with *.
        registry: The registry that the recommender is published to: a directory or gs:// prefix.
        movies: The movie table: a path or gs:// URI.
        test_ratings: A ready-made test split in the layout of `ratings`; "" splits at random.
        format: The layout of the ratings: "netflix", "netflix-prize", "movielens", "movielens-dat",
            "movielens-tab", "csv", "tsv" or "parquet"; "" finds it from the content.
        columns: The columns of ratings in another layout: "user=…,movie=…,rating=…[,time=…]"; "" finds them.
        rating_scale: Least and greatest rating, such as "1,5"; "" finds them in the data.
        split: How test rows are chosen: "random", "leave-last-out" or "time".
        validation_fraction: Share of the rows not for testing that are for early stopping, 0 to 1.
        test_fraction: Share of the rows that are for testing, 0 to 1; not used with test_ratings.
        min_user_ratings: Leaves out users with fewer ratings; 0 takes all.
        min_movie_ratings: Leaves out the ratings of movies with fewer; 0 takes all.
        preset: The model: "default", or "notebook" for the original one.
        train_settings: Overrides of the preset's settings, by name.
        rating_weight: Weight of the rating loss; 0 takes the preset's.
        retrieval_weight: Weight of the retrieval loss; 0 takes the preset's.
        seed: Decides the split, the order of training and the initial weights.
        max_train_rows: Trains on a uniform sample of at most so many rows; 0 takes all.
        max_test_rows: Tests on a uniform sample of at most so many rows; 0 takes all.
        max_reject_rate: The run fails if a greater share of the rows must be rejected.
        gate: "enforce" publishes only what passes; "report" publishes and records the verdict.
        min_top_100_accuracy: Least top-100 accuracy among unseen movies, 0 to 1; 0 sets no bound.
        max_rmse: Greatest root mean squared error, in stars; 0 sets no bound.
        index: How movies are found: "brute-force", "scann", or "auto": ScaNN where it is measured faster.
        batch: Movies that are recommended to every user after publishing, in a Parquet file; 0 writes none.
        fail_when_refused: Whether a refusal fails the run.
        skip_unchanged: Whether a run ends at once if the champion was trained on the same input files.
        checkpoint_root: Where training keeps its checkpoints: a mounted volume or gs:// prefix.
        workers: Pods that train together, on a cluster with Kubeflow's training operator; more than 1 need a
            checkpoint_root that they share: gs://, or a volume with the access mode ReadWriteMany.
        image: The container image that every step runs on.
    """
    run_id = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    notified = place(notify(registry=registry, run_id=run_id), image)

    with dsl.ExitHandler(notified, name="Train and publish"):
        # 1
        identified = place(fingerprint(ratings=ratings, movies=movies, test_ratings=test_ratings), image)
        # 2
        served = place(
            champion(
                registry=registry,
                fingerprint=identified.outputs["Output"],
                skip_unchanged=skip_unchanged,
            ),
            image,
        )
        with dsl.If(served.outputs["skip"] == True, name="Unchanged"):  # noqa: E712
            place(
                skip(
                    registry=registry,
                    run_id=run_id,
                    version=served.outputs["version"],
                    sequence=served.outputs["sequence"],
                    fingerprint=identified.outputs["Output"],
                ),
                image,
            )
        with dsl.Else(name="Train, evaluate, publish"):
            # 3
            ingested = place(
                ingest(
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
                ),
                image,
            )
            # 4
            encoded = place(vocabulary(dataset=ingested.outputs["dataset"]), image)
            # 5
            trained = place(
                train(
                    interactions=encoded.outputs["interactions"],
                    vocabulary=encoded.outputs["vocabulary"],
                    preset=preset,
                    train_settings=train_settings,
                    rating_weight=rating_weight,
                    retrieval_weight=retrieval_weight,
                    seed=seed,
                    checkpoint_root=checkpoint_root,
                    workers=workers,
                ),
                image,
            )
            # 6
            evaluated = place(
                evaluate(
                    model=trained.outputs["model"],
                    champion=served.outputs["champion"],
                    interactions=encoded.outputs["interactions"],
                    vocabulary=encoded.outputs["vocabulary"],
                    gate=gate,
                    min_top_100_accuracy=min_top_100_accuracy,
                    max_rmse=max_rmse,
                    seed=seed,
                ),
                image,
            )
            # 7
            reported = place(
                report(
                    evaluation=evaluated.outputs["evaluation"],
                    model=trained.outputs["model"],
                    dataset=ingested.outputs["dataset"],
                    identity=identified.outputs["identity"],
                ),
                image,
            )
            # 8
            with dsl.If(evaluated.outputs["publish"] == True, name="Good enough"):  # noqa: E712
                exported = place(
                    export(
                        model=trained.outputs["model"],
                        vocabulary=encoded.outputs["vocabulary"],
                        interactions=encoded.outputs["interactions"],
                        search=index,
                    ),
                    image,
                )
                published = place(
                    publish(
                        index=exported.outputs["index"],
                        model=trained.outputs["model"],
                        evaluation=evaluated.outputs["evaluation"],
                        report=reported.outputs["report"],
                        model_card=reported.outputs["model_card"],
                        dataset=ingested.outputs["dataset"],
                        registry=registry,
                        champion_sequence=served.outputs["sequence"],
                        run_id=run_id,
                    ),
                    image,
                )
                with dsl.If(batch > 0, name="Recommend to all"):
                    recommended = recommend_to_all(index=exported.outputs["index"], k=batch)
                    place(recommended.after(published), image)
            with dsl.Else(name="Not good enough"):
                place(
                    refuse(
                        model=trained.outputs["model"],
                        evaluation=evaluated.outputs["evaluation"],
                        report=reported.outputs["report"],
                        dataset=ingested.outputs["dataset"],
                        registry=registry,
                        run_id=run_id,
                        fail=fail_when_refused,
                    ),
                    image,
                )


def pipeline() -> GraphComponent:
    """The graph, drawn when it is called for and not at import.

    At every setting of a step KFP looks up the module of each caller on the stack, and the frames of a
    running import belong to none: it would search all modules for them, for seconds.
    """
    drawn: GraphComponent = dsl.pipeline(training, name=NAME, description=DESCRIPTION)
    return drawn
