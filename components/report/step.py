"""The step `report`: one page that says what was decided and why, and the model card."""

from pathlib import Path

from components.errors import UserError
from components.outputs import write_text
from components.progress import log
from components.step import so_far, step

CARD = "model_card.md"


@step
def report(
    *, evaluation: str, model: str, dataset: str, identity: str = "", output: str, model_card: str = ""
) -> None:
    """Writes one self-contained HTML file to `output`, and the model card beside it.

    The page tells the time and peak memory of the steps up to this one; the last step of the run adds those
    that follow to the copy of the page in the registry.

    Args:
      evaluation: the Evaluation that `evaluate` wrote.
      model: the Model that was evaluated, for its settings and its training log.
      dataset: the RatingsDataset that it was trained on.
      identity: the directory that `fingerprint` wrote, for its time; "" for none.
      output: the file to write.
      model_card: the file for the model card, Markdown; "" for `model_card.md` beside `output`.

    Raises:
      UserError: if there is no verdict or no dataset, or a file cannot be written.
    """
    from components.report.page import render, render_card
    from components.report.sources import Sources
    from components.report.templates import with_steps

    sources = Sources.load(evaluation, model, dataset, identity)
    page, card = render(sources), render_card(sources)
    page = with_steps(page, [*sources.steps, so_far()])
    _write("--output", output, page)
    _write("--model-card", model_card or str(Path(output).with_name(CARD)), card)
    log(f"report of {len(page) / 1e3:,.0f} kB in {output}")


def _write(flag: str, path: str, text: str) -> None:
    try:
        write_text(path, text)
    except OSError as error:
        raise UserError(f"cannot write {flag} {path}: {error.strerror}; name another file") from error
