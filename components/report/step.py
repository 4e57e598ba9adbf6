"""The step `report`: one page that says what was decided and why."""

from components.errors import UserError
from components.outputs import write_text
from components.progress import log
from components.step import step


@step
def report(*, evaluation: str, model: str, dataset: str, output: str) -> None:
    """Writes one self-contained HTML file to `output`.

    Args:
      evaluation: the Evaluation that `evaluate` wrote.
      model: the Model that was evaluated, for its settings and its training log.
      dataset: the RatingsDataset that it was trained on.
      output: the file to write.

    Raises:
      UserError: if there is no verdict or no dataset, or `output` cannot be written.
    """
    from components.report.page import render
    from components.report.sources import Sources

    page = render(Sources.load(evaluation, model, dataset))
    try:
        write_text(output, page)
    except OSError as error:
        raise UserError(f"cannot write --output {output}: {error.strerror}; name another file") from error
    log(f"report of {len(page) / 1e3:,.0f} kB in {output}")
