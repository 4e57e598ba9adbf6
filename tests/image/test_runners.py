"""The pipeline under KFP's DockerRunner, beside its SubprocessRunner."""

import json
import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.image

# Two runs by one runner are the same to the last digit. In a container, where arrays lie elsewhere in memory,
# sums are added up in another order: after 1,500 steps of training the RMSE was seen to differ by 4e-7 stars,
# and no test row had changed its rank.
_STARS = 1e-4
_ROWS_THAT_MAY_CHANGE_RANK = 2


class _Run:
    """What a run left behind."""

    def __init__(self, folder: Path) -> None:
        (record,) = (folder / "registry" / "runs").iterdir()
        (self.version,) = (folder / "registry" / "versions").iterdir()
        (self.steps,) = (folder / "work" / "steps").iterdir()
        self.registry = folder / "registry"
        self.verdict = json.loads((record / "verdict.json").read_text("utf-8"))

    def published(self) -> list[str]:
        """The files of the version; TensorBoard's, whose names tell the time and the host, left out."""
        files = (path for path in self.version.rglob("*") if path.is_file() and "tfevents" not in path.name)
        return sorted(str(path.relative_to(self.version)) for path in files)

    def data(self, suffix: str) -> dict[str, bytes]:
        """The contents of all files with this suffix that ingest and vocabulary wrote."""
        files = [
            path for step in ("ingest", "vocabulary") for path in (self.steps / step).rglob(f"*{suffix}")
        ]
        return {str(path.relative_to(self.steps)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def runs(run_pipeline, small_sample, tmp_path_factory) -> dict[str, _Run]:
    """The same pipeline on the same data by each runner."""
    found = {}
    for runner in ("subprocess", "docker"):
        folder = tmp_path_factory.mktemp(runner)
        done = run_pipeline(runner, small_sample, folder, "--gate", "report")
        assert done.returncode == 0, done.stdout + done.stderr
        found[runner] = _Run(folder)
    return found


@pytest.mark.parametrize("suffix", [".parquet", ".npy", ".csv"])
def test_both_runners_give_the_same_data_to_the_byte(runs, suffix):
    data = runs["subprocess"].data(suffix)
    assert data
    assert runs["docker"].data(suffix) == data


def test_both_runners_publish_the_same_files(runs):
    files = runs["subprocess"].published()
    assert {"index/saved_model.pb", "model/model.json", "report.html"} <= set(files)
    assert runs["docker"].published() == files


def test_both_runners_come_to_the_same_verdict(runs):
    one, other = runs["subprocess"].verdict, runs["docker"].verdict
    assert one["blessed"] == other["blessed"]
    assert [(rule["name"], rule["verdict"]) for rule in one["rules"]] == [
        (rule["name"], rule["verdict"]) for rule in other["rules"]
    ]
    rows = _ROWS_THAT_MAY_CHANGE_RANK / one["test_rows"]
    for name, value in one["metrics"]["challenger"].items():
        tolerance = _STARS if name in ("rmse", "mae") else rows
        assert other["metrics"]["challenger"][name] == pytest.approx(value, abs=tolerance), name
    for baseline, metrics in one["metrics"]["baselines"].items():
        assert other["metrics"]["baselines"][baseline] == pytest.approx(metrics, abs=1e-6), baseline


def test_what_the_containers_wrote_belongs_to_the_caller(runs):
    written = [*runs["docker"].registry.rglob("*"), *runs["docker"].steps.rglob("*")]
    assert {path.stat().st_uid for path in written} == {os.getuid()}


_IMPOSSIBLE = ("--min-top-100-accuracy", "0.999")


@pytest.mark.parametrize(
    ("flags", "outcome", "status"),
    [
        (("--skip-unchanged",), "skipped", 0),
        (_IMPOSSIBLE, "refused", 0),
        ((*_IMPOSSIBLE, "--fail-when-refused"), "refused", 1),
    ],
    ids=["skipped", "refused", "failing when refused"],
)
def test_containers_take_the_branch_that_the_conditions_say(
    runs, run_pipeline, small_sample, flags, outcome, status
):
    registry = runs["docker"].registry
    before = set((registry / "runs").iterdir())
    done = run_pipeline("docker", small_sample, registry.parent, *flags)
    assert done.returncode == status, done.stdout + done.stderr
    (record,) = set((registry / "runs").iterdir()) - before
    assert json.loads((record / "run.json").read_text("utf-8"))["outcome"] == outcome
    assert len(list((registry / "versions").iterdir())) == 1


def test_a_container_that_vanishes_is_a_failed_step_and_not_a_success(
    image, run_pipeline, small_sample, tmp_path
):
    vanishing = "twotower:vanishing"
    dockerfile = f'FROM {image}\nENTRYPOINT ["/bin/true"]\n'
    build = ["docker", "build", "--tag", vanishing, "-"]
    subprocess.run(build, input=dockerfile, text=True, check=True, capture_output=True)
    try:
        done = run_pipeline("docker", small_sample, tmp_path, image=vanishing)
    finally:
        subprocess.run(["docker", "image", "rm", vanishing], check=True, capture_output=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"a container of {vanishing} ended without a word" in done.stderr
    assert "error: prepare" in done.stderr
