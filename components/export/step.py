"""Model, Vocabulary, Interactions -> Index."""

from dataclasses import dataclass

from components.documents import write_document
from components.errors import UserError
from components.export.manifest import (
    BRUTE_FORCE,
    KINDS,
    MANIFEST_FILE,
    SCANN,
    IndexManifest,
    RatingCounts,
    scann_ops,
)
from components.outputs import output_directory
from components.progress import log
from components.step import step

# Ten times the latency of 20,000 movies on two busy processors. Work on the whole catalogue beyond one matrix
# product, which no request should need, takes longer.
MAX_LATENCY_MS = 50.0


@dataclass(frozen=True)
class ExportSummary:
    """Summary of an export.

    Attributes:
      movies, users: numbers of movies and users.
      ratings: number of ratings, held-out ones included.
      search: "brute-force" or "scann", and `search_reason`, why.
      bytes: size of the SavedModel.
      recommend_p50_ms, recommend_p99_ms: latency for one user, in a fresh process.
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
    from components.export.serving import Inputs, assemble, choose_search, save
    from components.export.validation import draw_sample, validate
    from components.export.warmup import warmup_requests

    if index not in KINDS:
        raise UserError(f"--index {index}: choose {', '.join(KINDS)}")
    if index == SCANN:
        scann_ops()
    inputs = Inputs.load(model, vocabulary, interactions)
    sample = draw_sample(inputs.names.user_ids, inputs.known, inputs.held_out)
    requests = warmup_requests(sample.user_ids, [str(movie_id) for movie_id in inputs.names.movie_ids[:5]])
    with output_directory(output) as staging:
        chosen = choose_search(inputs, index)
        log("writing the index")
        signatures = save(assemble(inputs, chosen), staging, requests)
        log("validating the index in a fresh process")
        validation = validate(staging, inputs.scoring, sample, requests, max_latency_ms, chosen.kind)
        rows = inputs.interactions
        manifest = IndexManifest(
            search=chosen.kind,
            search_reason=chosen.why,
            search_measured=chosen.measured,
            movies=rows.movies,
            users=rows.users,
            training_users=rows.training_users,
            ratings=RatingCounts(known=len(inputs.known.movies), held_out=len(inputs.held_out.movies)),
            rating_scale=rows.rating_scale,
            dimension=inputs.scoring.vectors.shape[1],
            bytes=sum(file.stat().st_size for file in staging.rglob("*") if file.is_file()),
            fingerprint=rows.fingerprint,
            split=rows.split_settings,
            model=inputs.source,
            validation=validation,
            signatures=signatures,
        )
        write_document(staging / MANIFEST_FILE, manifest)
    return ExportSummary(
        movies=manifest.movies,
        users=manifest.users,
        ratings=manifest.ratings.known + manifest.ratings.held_out,
        search=manifest.search,
        search_reason=manifest.search_reason,
        bytes=manifest.bytes,
        recommend_p50_ms=validation.recommend_p50_ms,
        recommend_p99_ms=validation.recommend_p99_ms,
    )
