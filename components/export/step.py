"""The step `export` and its subcommand."""

from dataclasses import replace
from typing import Annotated, Any

import click

from components.command import setting_flags, subcommand
from components.declaration import Choice, Range
from components.documents import write_document
from components.export.manifest import (
    BRUTE_FORCE,
    HISTORIES,
    INSIDE,
    KINDS,
    MANIFEST_FILE,
    NONE,
    SCANN,
    IndexManifest,
    RatingCounts,
    scann_ops,
)
from components.ingest.settings import INGEST_SETTINGS, ReadOptions
from components.outputs import output_directory
from components.progress import log
from components.step import step

# Ten times the latency of 20,000 movies on two busy processors. Work on the whole catalogue beyond one matrix
# product, which no request should need, takes longer.
MAX_LATENCY_MS = 50.0


@step
def export(
    *,
    model: str,
    vocabulary: str,
    interactions: str,
    output: str,
    movies: str = "",
    index_kind: Annotated[str, Choice(*KINDS)] = BRUTE_FORCE,
    max_latency_ms: Annotated[float, Range(0, exclusive=True)] = MAX_LATENCY_MS,
    histories: Annotated[str, Choice(*HISTORIES)] = INSIDE,
    ingest_settings: dict[str, Any] = {},  # noqa: B006  # never changed
) -> IndexManifest:
    """Wraps a model into the SavedModel that a server loads, and validates it in a fresh process.

    Args:
      model: Model that `train` wrote.
      vocabulary: Vocabulary that the model was trained with.
      interactions: Interactions, whose ratings are read and excluded when serving.
      output: Index: the directory to write, a SavedModel and manifest.json; replaced if it exists.
      movies: Movie table with movies that came after training, a path, gs:// or s3:// URI: those that the
        catalogue lacks join the index, placed by title, year and genres. By hand only: a run trains with its
        own table.
      index_kind: Search for movies: "brute-force", "scann", or "auto": ScaNN where it is measured faster on
        this catalogue and finds 99% of the best 100 movies of real users.
      max_latency_ms: Refuses the index if the median answer for one user takes longer, in milliseconds.
      histories: Place of the users' ratings: "inside" the SavedModel, whose signatures then need users only;
        "beside" it, in files that this project's server and commands map, for more users than a SavedModel
        holds; or "none", where the index knows no users.
      ingest_settings: Options of reading the movie table by name, a JSON object; each is a flag as well. By
        hand only, as that table is.

    Raises:
      UserError: if ScaNN cannot be used, an input is damaged, the model was trained on another catalogue or
        cannot place new movies, or the exported index does not load, differs from the model or is too slow.
        Nothing is written then.
    """
    from components.export.arrays import ARRAYS, size_of, write_arrays
    from components.export.inputs import Inputs
    from components.export.serving import assemble, choose_search, save
    from components.export.validation import draw_sample, make_up_sample, validate
    from components.export.warmup import warmup_requests

    if index_kind == SCANN:
        scann_ops()
    inputs = Inputs.load(model, vocabulary, interactions, movies, ReadOptions.read(ingest_settings))
    if histories == NONE:
        sample = make_up_sample(len(inputs.names.movie_ids), inputs.packed.levels)
    else:
        drawn = draw_sample(inputs.names.user_ids, inputs.known, inputs.held_out)
        sample = replace(drawn, given=histories != INSIDE)
    movie_ids = [str(movie_id) for movie_id in inputs.names.movie_ids[:5]]
    requests = [
        (name, sample.complete(asked))
        for name, asked in warmup_requests(sample.user_ids, movie_ids, histories)
    ]
    with output_directory(output) as staging:
        chosen = choose_search(inputs, index_kind)
        log("writing the index")
        signatures = save(assemble(inputs, chosen, histories), staging, requests)
        saved = size_of(staging)
        arrays = write_arrays(staging, inputs.arrays(histories))
        log("validating the index in a fresh process")
        validation = validate(staging, inputs.scoring, sample, requests, max_latency_ms, chosen.kind)
        rows = inputs.interactions
        manifest = IndexManifest(
            search=chosen.kind,
            search_reason=chosen.why,
            search_measured=chosen.measured,
            histories=histories,  # type: ignore[arg-type]  # checked by its declaration
            movies=len(inputs.names.movie_ids),
            movies_added=len(inputs.new.movie_ids) if inputs.new else 0,
            users=rows.users,
            training_users=rows.training_users,
            ratings=RatingCounts(known=len(inputs.known.movies), held_out=len(inputs.held_out.movies)),
            rating_scale=rows.rating_scale,
            feedback=rows.feedback,
            dimension=inputs.scoring.vectors.shape[1],
            bytes=saved,
            array_bytes=size_of(staging / ARRAYS),
            arrays=arrays,
            fingerprint=rows.fingerprint,
            split=rows.split_settings,
            model=inputs.source,
            validation=validation,
            signatures=signatures,
            attributes=inputs.attributes.columns,
        )
        write_document(staging / MANIFEST_FILE, manifest)
    return manifest


@subcommand(export, renamed={"--index": "--index-kind"})
@setting_flags(ReadOptions, INGEST_SETTINGS)
def export_command(output: str, **inputs: Any) -> None:
    manifest = export(output=output, **inputs)
    ratings = manifest.ratings.known + manifest.ratings.held_out
    added = f" ({manifest.movies_added:,} of them new)" if manifest.movies_added else ""
    click.echo(
        f"{output}: {manifest.movies:,} movies{added}, {manifest.users:,} users, {ratings:,} ratings, "
        f"{(manifest.bytes + manifest.array_bytes) / 1e6:.1f} MB; answers for one user in "
        f"{manifest.validation.recommend_p50_ms:.1f} ms (median), by {manifest.search}"
    )
