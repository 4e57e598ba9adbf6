"""Model, Vocabulary, Interactions -> Index."""

from dataclasses import dataclass

from components.errors import UserError
from components.export.kinds import BRUTE_FORCE, KINDS, SCANN
from components.export.manifest import MANIFEST_FILE, describe, size_of
from components.outputs import output_directory, write_json
from components.progress import log
from components.step import step

# Ten times what 20,000 movies take on two busy processors; work on the whole catalogue beyond one product,
# which no request should need, takes longer.
MAX_LATENCY_MS = 50.0


@dataclass(frozen=True)
class ExportSummary:
    """What was exported.

    Attributes:
      movies, users: how many the index knows.
      ratings: how many it holds, held-out ones included.
      search: "brute-force" or "scann", and `search_reason`, why.
      bytes: the size of the directory.
      recommend_p50_ms, recommend_p99_ms: time of an answer for one user, in a process of its own.
    """

    movies: int
    users: int
    ratings: int
    search: str
    search_reason: str
    bytes: int
    recommend_p50_ms: float
    recommend_p99_ms: float


@step
def export(
    *,
    model: str,
    vocabulary: str,
    interactions: str,
    output: str,
    index: str = BRUTE_FORCE,
    max_latency_ms: float = MAX_LATENCY_MS,
) -> ExportSummary:
    """Wraps a model into the SavedModel that a server loads, and proves it in a fresh process.

    Args:
      model: a Model directory.
      vocabulary: the Vocabulary that the model was trained with.
      interactions: the Interactions whose ratings are read and excluded when serving.
      output: the directory to write: a SavedModel and manifest.json.
      index: "brute-force", "scann", or "auto": ScaNN where it is measured faster on this catalogue and finds
        0.99 of the best 100 movies of real users.
      max_latency_ms: the longest that the median answer for one user may take.

    Raises:
      UserError: if there is no such kind of index or ScaNN cannot be used, if an input is not whole, if the
        model was trained on another catalogue, or if the exported index does not load, answers otherwise
        than the model, or is too slow. Nothing is written then.
    """
    from components.export.manifest import Inputs
    from components.export.serving import assemble, choose_search, save
    from components.export.top_k import require_scann
    from components.export.validation import draw_sample, validate
    from components.export.warmup import warmup_requests

    if index not in KINDS:
        raise UserError(f"--index {index}: choose {', '.join(KINDS)}")
    if index == SCANN:
        require_scann()
    inputs = Inputs.load(model, vocabulary, interactions)
    sample = draw_sample(inputs.names.user_ids, inputs.known, inputs.held_out)
    requests = warmup_requests(sample.user_ids, [str(movie_id) for movie_id in inputs.names.movie_ids[:5]])
    with output_directory(output) as staging:
        chosen = choose_search(inputs, index)
        log("writing the index")
        signatures = save(assemble(inputs, chosen), staging, requests)
        log("asking it in a fresh process")
        validation = validate(staging, inputs.scoring, sample, requests, max_latency_ms, chosen.kind)
        size = size_of(staging)
        write_json(staging / MANIFEST_FILE, describe(inputs, chosen, signatures, validation, size))
    return ExportSummary(
        movies=inputs.interactions.movies,
        users=inputs.interactions.users,
        ratings=len(inputs.known.movies) + len(inputs.held_out.movies),
        search=chosen.kind,
        search_reason=chosen.why,
        bytes=size,
        recommend_p50_ms=validation.recommend_p50_ms,
        recommend_p99_ms=validation.recommend_p99_ms,
    )
