"""The KFP contract of the step `champion`."""

from typing import NamedTuple

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def champion(
    registry: str,
    champion: dsl.Output[dsl.Model],
) -> NamedTuple("ChampionOutputs", [("version", str), ("sequence", int)]):  # type: ignore[valid-type]
    """Copies the served version's model out of the registry and checks that the registry can be written.

    Args:
        registry: The registry: a directory or gs:// prefix. A directory is created if it is absent.
        champion: `champion.json`, and `model/` unless the registry is empty.

    Returns:
        version: The served version's id; "" if the registry is empty.
        sequence: Its place in the champion log; 0 if the registry is empty.
    """
    from components.registry import step

    return step.champion(registry=registry, output=champion.path)
