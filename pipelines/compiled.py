"""The compiled pipeline: one YAML file that Kubeflow and KFP's local runners take alike."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import UserError

if TYPE_CHECKING:
    from pipelines.kubeflow.pods import PodSettings

# What is checked in, for those who submit it by other means than `twotower submit`.
CHECKED_IN = Path(__file__).with_name("training.yaml")


def compile_pipeline(output: str | Path, pods: "PodSettings | None" = None) -> Path:
    """Compiles the training pipeline to `output`, whole or not at all, with settings of the site's pods.

    Raises:
      UserError: if `output` is not a .yaml or .yml file or cannot be written, or a setting cannot be read.
    """
    from kfp import compiler

    from pipelines.training import pipeline

    target = Path(output)
    if target.suffix not in (".yaml", ".yml"):
        raise UserError(f"--output {target}: KFP compiles to YAML; give a name that ends with .yaml")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as staging:
            package = Path(staging) / target.name
            compiler.Compiler().compile(pipeline(), str(package))
            if pods is not None:
                package.write_text(pods.apply(package.read_text("utf-8")), "utf-8")
            package.replace(target)
    except OSError as error:
        raise UserError(f"--output {target}: {error.strerror}; name another file") from error
    return target
