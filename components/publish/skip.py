"""The step `skip`: the end of a run that has nothing to do."""

from pathlib import Path

from components.outputs import output_directory, write_json
from components.progress import log
from components.registry.registry import Registry
from components.registry.run_records import SKIPPED, RunRecord
from components.step import step


@step
def skip(*, registry: str, run_id: str, version: str, sequence: int, fingerprint: str, output: str) -> None:
    """Says that a run ends because the champion was trained on its input, and records it.

    Args:
      registry: a directory or gs:// prefix.
      run_id: the pipeline run.
      version: the champion.
      sequence: its place in the champion log.
      fingerprint: what identifies the input files.
      output: the directory to write: `skipped.json`.

    Raises:
      UserError: if the registry cannot be written.
    """
    reason = f"the champion {version} was trained on the same input; run without skip_unchanged to train anew"
    log(f"skipped: {reason}")
    record = RunRecord(
        run_id=run_id,
        outcome=SKIPPED,
        reason=reason,
        champion={"version": version, "sequence": sequence},
        fingerprint=fingerprint,
    )
    with output_directory(output) as staging:
        Registry(registry).runs.write(record, {})
        write_json(Path(staging) / "skipped.json", {"reason": reason})
