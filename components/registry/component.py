"""The KFP contract of the step `prepare`."""

from typing import NamedTuple

from kfp import dsl

from components.declaration import documented_by
from components.image import IMAGE
from components.registry import step


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@documented_by(step.prepare, champion="`champion.json`, and `model/` unless the registry is empty.")
def prepare(
    ratings: str,
    registry: str,
    champion: dsl.Output[dsl.Model],
    movies: str = "",
    test_ratings: str = "",
    forget: str = "",
    skip_unchanged: bool = False,
    ignore_champion: bool = False,
    run_id: str = "",
    ingest_settings: dict = {},  # noqa: B006  # kfp reads the default, nobody changes it
) -> NamedTuple(  # type: ignore[valid-type]
    "PrepareOutputs",
    [("fingerprint", str), ("version", str), ("sequence", int), ("skip", bool), ("cold_start", str)],
):
    from components.registry import step

    return step.prepare(
        ratings=ratings,
        registry=registry,
        movies=movies,
        test_ratings=test_ratings,
        forget=forget,
        skip_unchanged=skip_unchanged,
        ignore_champion=ignore_champion,
        run_id=run_id,
        ingest_settings=ingest_settings,
        output=champion.path,
    )
