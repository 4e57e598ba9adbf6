"""Holds what is to be published to what was judged: verdict, model and index must be of one another."""

from pathlib import Path

from components.errors import UserError
from components.evaluate.verdict import Verdict
from components.export.answers import check_answers
from components.export.manifest import read_manifest
from components.saved_models import SAVED_MODEL, check_operations
from components.train.artifact import model_digest


def check_judged(verdict: Verdict, evaluation: str, model: str, index: str) -> None:
    """Checks that `verdict`, of the directory `evaluation`, is on `model`, and that `index` serves that.

    The index is asked again what `export` asked it. Raises `UserError` if something does not belong to the
    others, is damaged, or was written by a release that did not say what it belongs to.
    """
    directories = (Path(model) / SAVED_MODEL, Path(index))
    for directory in directories:
        if not (directory / "saved_model.pb").is_file():
            raise UserError(f"{directory} holds no saved_model.pb; run the step that writes it again")
    manifest, digest = read_manifest(index), model_digest(model)
    if not verdict.model_digest:
        raise UserError(
            f"{evaluation} does not say which model was judged (it is old, or on an index); "
            f"evaluate again with `twotower evaluate --model {model}`"
        )
    if not manifest.model.digest:
        raise UserError(
            f"{index} does not say of which model it is, since an earlier release wrote it; "
            "export it again with `twotower export`"
        )
    if verdict.model_digest != digest:
        raise UserError(
            f"the verdict in {evaluation} is on another model than {model}; name the model that was judged, "
            "or evaluate this one with `twotower evaluate`"
        )
    if manifest.model.digest != digest:
        raise UserError(
            f"{index} was exported from another model than {model}; export that with `twotower export`"
        )
    for what in ("fingerprint", "split"):
        if getattr(manifest, what) != getattr(verdict, what):
            raise UserError(
                f"{index} has the ratings of other data than the verdict in {evaluation} ({what}); export "
                "the model with the interactions that it was judged on"
            )
    for directory in directories:
        check_operations(directory)
    check_answers(index)
