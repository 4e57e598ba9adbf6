"""The KFP contract of the step `batch`."""

from kfp import dsl

from components.declaration import documented_by
from components.image import IMAGE
from components.recommend import step


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@documented_by(
    step.batch,
    recommendations="A Parquet file, or a directory of several: user_id, rank, movie_id, score, rating and "
    "known_user.",
    old_k="The value of the pipeline's old input `batch`, for one release.",
)
def batch(
    index: dsl.Input[dsl.Model],
    recommendations: dsl.Output[dsl.Dataset],
    k: int = 100,
    old_k: int = 0,
    where: str = "",
    boost: str = "",
    diversity: float = 0.0,
    popularity_discount: float = 0.0,
    shards: int = 1,
    checkpoint_root: str = "",
) -> None:
    from components.declaration import renamed
    from components.recommend import step

    step.batch(
        index=index.path,
        output=recommendations.path,
        k=renamed("batch", old_k, "batch_k", k),
        where=where,
        boost=boost,
        diversity=diversity,
        popularity_discount=popularity_discount,
        shards=shards,
        checkpoint_root=checkpoint_root,
    )
