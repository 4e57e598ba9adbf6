"""The KFP contract of `batch`."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def batch(
    index: dsl.Input[dsl.Model],
    recommendations: dsl.Output[dsl.Dataset],
    k: int = 100,
) -> None:
    """Recommends movies to every user of an index.

    Args:
        index: The Index that answers.
        recommendations: A Parquet file: user_id, rank, movie_id, score, rating and known_user.
        k: How many movies for each user.
    """
    from components.recommend.step import batch

    batch(index=index.path, output=recommendations.path, k=k)
