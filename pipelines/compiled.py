"""The compiled pipeline: one YAML file that Kubeflow and KFP's local runners take alike."""

import tempfile
from pathlib import Path

from components.errors import UserError

# What is checked in, for those who submit it by other means than `twotower submit`.
CHECKED_IN = Path(__file__).with_name("training.yaml")


def compile_pipeline(output: str | Path) -> Path:
    """Compiles the training pipeline to `output`, whole or not at all.

    Raises:
      UserError: if `output` is not a .yaml or .yml file, or cannot be written.
    """
    from kfp import compiler

    from pipelines.training import training

    target = Path(output)
    if target.suffix not in (".yaml", ".yml"):
        raise UserError(f"--output {target}: KFP compiles to YAML; give a name that ends with .yaml")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as staging:
            package = Path(staging) / target.name
            compiler.Compiler().compile(training, str(package))
            package.replace(target)
    except OSError as error:
        raise UserError(f"--output {target}: {error.strerror}; name another file") from error
    return target
