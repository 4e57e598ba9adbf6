"""The model card: what a model is, what it was trained on, and where it is weak, as Markdown.

Its parts are those of Mitchell et al. 2019, "Model Cards for Model Reporting".
"""

from components.report.headline import headline
from components.report.page import facts
from components.report.sources import Sources
from components.report.templates import environment


def render_card(sources: Sources) -> str:
    """The card as Markdown. It holds no text from the ratings and movie files, which could be markup."""
    card = environment(autoescape=False).get_template("model_card.md.j2")
    head = headline(sources.verdict, sources.details, sources.training_log)
    return card.render(head=head, **facts(sources))
