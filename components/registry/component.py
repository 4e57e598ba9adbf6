"""The KFP contract of the step `champion`."""

from typing import NamedTuple

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def champion(
    registry: str,
    champion: dsl.Output[dsl.Model],
    fingerprint: str = "",
    skip_unchanged: bool = False,
) -> NamedTuple("ChampionOutputs", [("version", str), ("sequence", int), ("skip", bool)]):  # type: ignore[valid-type]
    """Copies the served version's model out of the registry and checks that the registry can be written.

    Args:
        registry: The registry: a directory or gs:// prefix. A directory is created if it is absent.
        champion: `champion.json`, and `model/` unless the registry is empty.
        fingerprint: What identifies the input files of this run.
        skip_unchanged: Whether a run whose input the champion was trained on is to be skipped.

    Returns:
        version: The served version's id; "" if the registry is empty.
        sequence: Its place in the champion log; 0 if the registry is empty.
        skip: Whether the run is to be skipped.
    """
    from components.registry import step

    return step.champion(
        registry=registry, fingerprint=fingerprint, skip_unchanged=skip_unchanged, output=champion.path
    )
