"""The KFP contract of the step `champion`."""

from typing import NamedTuple

from kfp import dsl

from components.declaration import documented_by
from components.image import IMAGE
from components.registry import step


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@documented_by(step.champion, champion="`champion.json`, and `model/` unless the registry is empty.")
def champion(
    registry: str,
    champion: dsl.Output[dsl.Model],
    fingerprint: str = "",
    skip_unchanged: bool = False,
) -> NamedTuple("ChampionOutputs", [("version", str), ("sequence", int), ("skip", bool)]):  # type: ignore[valid-type]
    from components.registry import step

    return step.champion(
        registry=registry, fingerprint=fingerprint, skip_unchanged=skip_unchanged, output=champion.path
    )
