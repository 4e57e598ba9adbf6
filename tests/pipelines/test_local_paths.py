"""What a local run does with the paths that it is given, before anything is started."""

import io
import os
from pathlib import Path

import pytest

from components.errors import UserError
from pipelines import run as docker_module
from pipelines.run import docker_arguments, run_pipeline, spool_stdin


@pytest.fixture
def engine(monkeypatch):
    """Stands for an engine that answers; these tests look at the arguments alone."""
    monkeypatch.setattr(docker_module, "_require_engine", lambda: None)


@pytest.mark.parametrize(
    ("parameters", "workspace", "flag"),
    [
        ({"ratings": "/data/python3/r.csv", "registry": "r"}, "work", "--ratings"),
        ({"ratings": "/data/r.csv", "registry": "/python3.11/r"}, "work", "--registry"),
        ({"ratings": "/data/r.csv", "registry": "r"}, "python3-work", "--work-dir"),
        (
            {"ratings": "/data/r.csv", "registry": "r", "columns": "user=python3,movie=m,rating=r"},
            "w",
            "--columns",
        ),
    ],
)
def test_a_path_that_kfp_would_change_is_refused(tmp_path, parameters, workspace, flag):
    with pytest.raises(UserError, match=f"^{flag} .*python3"):
        run_pipeline(parameters, str(tmp_path / workspace))


def test_a_working_directory_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"^--work-dir .*file/work: Not a directory"):
        run_pipeline({"ratings": "/data/r.csv", "registry": "r"}, str(tmp_path / "file" / "work"))


def test_several_workers_need_a_cluster(tmp_path):
    inputs = {"ratings": "/data/r.csv", "registry": "r", "workers": 2}
    with pytest.raises(UserError, match=r"^--workers 2: .*one process trains.*twotower submit"):
        run_pipeline(inputs, str(tmp_path / "work"))
    assert list(tmp_path.iterdir()) == []


def test_inputs_are_mounted_read_only_and_outputs_are_the_callers(tmp_path, engine):
    ratings = tmp_path / "in" / "ratings.csv"
    ratings.parent.mkdir()
    ratings.write_text("")
    arguments = docker_arguments(
        {
            "ratings": str(ratings),
            "movies": "gs://bucket/movies.csv",
            "test_ratings": "",
            "registry": str(tmp_path / "registry"),
        },
        tmp_path / "outcomes",
    )
    mounts = [(ratings, True), (tmp_path / "outcomes", False), (tmp_path / "registry", False)]
    assert arguments["mounts"] == [(str(path), read_only) for path, read_only in mounts]
    assert (tmp_path / "registry").is_dir()
    assert arguments["user"] == f"{os.getuid()}:{os.getgid()}"


def test_a_pattern_mounts_the_folder_that_it_looks_into(tmp_path, engine):
    arguments = docker_arguments({"ratings": str(tmp_path / "part-*.csv")}, tmp_path / "outcomes")
    assert arguments["mounts"] == [(str(tmp_path), True), (str(tmp_path / "outcomes"), False)]


def test_a_member_mounts_its_archive(tmp_path, engine):
    (tmp_path / "ml.zip").write_bytes(b"")
    found = docker_arguments({"ratings": f"{tmp_path}/ml.zip/ratings.csv"}, tmp_path / "outcomes")
    assert (str(tmp_path / "ml.zip"), True) in found["mounts"]


def test_a_missing_input_is_named_before_a_container_starts(tmp_path, engine):
    with pytest.raises(UserError, match=r"--movies .*movies\.csv: no such file"):
        docker_arguments({"movies": str(tmp_path / "movies.csv")}, tmp_path / "outcomes")


def test_without_an_engine_the_other_runner_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/absent.sock")
    with pytest.raises(UserError, match="no Docker engine answers; start one, or use --runner subprocess"):
        docker_arguments({}, tmp_path / "outcomes")


class _Stdin:
    def __init__(self, content):
        self.buffer = io.BytesIO(content)


def test_the_standard_input_is_kept_under_its_content(tmp_path, monkeypatch):
    given = {"ratings": "-", "movies": "m.csv"}
    places = set()
    for content in (b"one", b"two", b"one"):
        monkeypatch.setattr("sys.stdin", _Stdin(content))
        found = spool_stdin(given, tmp_path / "inputs")
        assert found["movies"] == "m.csv"
        assert Path(found["ratings"]).read_bytes() == content
        places.add(found["ratings"])
    assert places == {str(path) for path in (tmp_path / "inputs").iterdir()}
    with pytest.raises(UserError, match="--ratings and --movies are the standard input; give a file"):
        spool_stdin({"ratings": "-", "movies": "-"}, tmp_path)
