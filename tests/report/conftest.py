import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from evaluation_world import SPLIT, evaluation_world

from components.documents import write_document
from components.evaluate.step import evaluate
from components.ingest.dataset import MovieTableCounts, SplitCounts, SplitSettings, Statistics


@pytest.fixture(scope="session")
def world():
    """A world whose titles are markup."""
    world = evaluation_world(seed=3)
    world.titles[:] = [f"<script>stolen = {title!r}</script>" for title in world.titles]
    return world


def _quantiles(*counts):
    return dict(zip(("0", "0.1", "0.25", "0.5", "0.75", "0.9", "0.99", "1"), counts, strict=True))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """A RatingsDataset as far as the report reads it."""
    directory = tmp_path_factory.mktemp("dataset")
    for name in ("train", "validation", "test", "movies"):
        pq.write_table(pa.table({"movie_id": ["m0"]}), directory / f"{name}.parquet")
    statistics = Statistics(
        rows_read=3605,
        rows_kept=3600,
        rows_rejected=5,
        rejected_by_reason={"unknown movie": 3, "duplicate": 2},
        duplicates=2,
        rows_left_out=0,
        users=120,
        movies=150,
        movie_table=MovieTableCounts(),
        movies_rated=149,
        share_of_movies_rated=149 / 150,
        density=3600 / (120 * 149),
        rating_scale=(1.0, 5.0),
        rating_mean=3.71,
        rating_histogram={"1": 200, "2": 400, "3": 900, "4": 1200, "5": 900},
        ratings_per_user=_quantiles(2, 12, 19, 28, 38, 51, 80, 96),
        ratings_per_movie=_quantiles(1, 4, 9, 20, 33, 50, 77, 110),
        time_span=(1_104_537_600, 1_136_073_599),
        splits=SplitCounts(train=2520, validation=360, test=720),
        split=SplitSettings(**SPLIT),
        fingerprint="world",
        seconds=1.0,
    )
    write_document(directory / "statistics.json", statistics)
    (directory / "rejects.csv").write_text(
        'file,line,reason,text\nratings.csv,17,unknown movie,"7,5,<script>alert(1)</script>"\n'
    )
    (directory / "step.json").write_text(
        '{"step": "ingest", "seconds": 1.25, "peak_memory_bytes": 314572800}'
    )
    return directory


@pytest.fixture(scope="session")
def evaluated(world, made_once):
    """Evaluates a model given as tables beside a slightly worse champion; returns both directories."""
    data = made_once("report-data", world.write_data)
    champion = made_once(
        "report-champion", lambda folder: world.write_model(folder, stars=world.stars + 0.05)
    )

    def run(name, against=champion, **tables):
        def fill(folder):
            world.write_model(folder / "model", **tables)
            evaluate(
                model=str(folder / "model"),
                champion=str(against),
                interactions=str(data / "interactions"),
                vocabulary=str(data / "vocabulary"),
                output=str(folder / "evaluation"),
            )

        folder = made_once(f"report-{name}", fill)
        return folder / "model", folder / "evaluation"

    return run
