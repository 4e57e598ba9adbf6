"""The pipeline end to end, under KFP's own SubprocessRunner."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner

from components.documents import plain
from components.recommend.index import PublishedIndex
from components.registry.registry import Registry
from components.report.templates import steps_of
from pipelines.cli import twotower
from pipelines.run import Event, event

pytestmark = pytest.mark.process

_MODELS = ".twotower/steps/*/train/model/model.json"


def _record(site, which: int = -1) -> dict:
    records = [json.loads(path.read_text("utf-8")) for path in site.registry.glob("runs/*/run.json")]
    return sorted(records, key=lambda record: record["time"])[which]


def test_the_screen_tells_the_story_in_order(published):
    _, done = published
    order = [
        "Published: ",
        "15,000 rows read",
        " unseen): ",
        "RMSE",
        "✓ rules that pass: ",
        "Took ",
        "liked best",
        "run record ",
        "type next ",
    ]
    places = [done.stdout.find(word) for word in order]
    assert -1 not in places, dict(zip(order, places, strict=True))
    assert places == sorted(places)
    assert max(len(line) for line in done.stdout.splitlines() if "/" not in line) <= 80
    assert len(done.stdout.splitlines()) <= 31
    assert "\x1b" not in done.stdout


def test_a_run_leaves_no_temporary_files(published):
    site, _ = published
    assert list(site.scratch.iterdir()) == []
    assert not any(
        path.is_dir() and path.suffix != ".outcomes" for path in site.folder.glob(".twotower/logs/*")
    )


def test_the_screen_names_commands_that_work(published, monkeypatch):
    site, done = published
    lines = re.findall(r"-m pipelines\.cli (.+)", done.stdout)
    assert [line.split()[0] for line in lines] == ["recommend", "rate", "history"]
    monkeypatch.chdir(site.folder)
    for line in lines:
        answer = CliRunner().invoke(twotower, line.split(), catch_exceptions=False)
        assert answer.exit_code == 0, answer.stderr
        assert answer.stdout.strip()


def test_nothing_that_the_steps_write_is_for_anybody_to_change(published):
    site, _ = published
    outputs = [path.parent for path in site.folder.glob(".twotower/steps/*/*/*/step.json")]
    places = [site.registry, site.folder / ".twotower" / "checkpoints", *outputs]
    files = [path for place in places for path in (place, *place.rglob("*"))]
    assert {path.name for path in outputs} >= {"dataset", "interactions", "model", "evaluation", "index"}
    assert [path for path in files if path.stat().st_mode & 0o002] == []
    # Other users read them: those who serve, and whoever started the container.
    assert [path for path in files if not path.stat().st_mode & 0o004] == []


def test_what_it_names_is_there(published):
    site, done = published
    places = dict(re.findall(r"^(version|report|run record) +(\S+)$", done.stdout, re.MULTILINE))
    assert set(places) == {"version", "report", "run record"}
    for place in places.values():
        assert (site.folder / place).exists(), place


def test_every_step_is_in_the_record_and_on_the_page(published):
    site, _ = published
    record = _record(site)
    steps = "prepare ingest vocabulary train evaluate report export publish"
    assert [step["step"] for step in record["steps"]] == steps.split()
    page = (site.registry / "runs" / record["run_id"] / "report.html").read_text("utf-8")
    assert [plain(step) for step in steps_of(page)] == record["steps"]


def test_the_gates_figures_follow_from_the_published_index_alone(published):
    """What `verdict.json` says is what a server gives that leaves the held-out ratings unread."""
    site, _ = published
    version = site.registry / "versions" / _record(site)["version"]
    index = PublishedIndex.load(version / "index")
    metrics = _record(site)["metrics"]
    held_out = [
        (user, movie["movie_id"], movie["rating"])
        for user, history in zip(index.user_ids, index.histories(index.user_ids), strict=True)
        for movie in history
        if movie["held_out"]
    ]
    users = sorted({user for user, _, _ in held_out})
    answer = index.recommend(users, 100, known="train")
    listed = {user: {movie["movie_id"] for movie in answer.movies(row)} for row, user in enumerate(users)}
    found = np.mean([movie in listed[user] for user, movie, _ in held_out])
    assert found == pytest.approx(metrics["top_100_accuracy_unseen"], abs=1e-4)
    ratings = index.rate([h[0] for h in held_out], [h[1] for h in held_out], known="train")
    rmse = np.sqrt(np.mean((np.asarray([h[2] for h in held_out]) - ratings) ** 2))
    assert rmse == pytest.approx(metrics["rmse"], abs=1e-4)


def test_a_second_run_trains_from_the_champion_and_a_third_only_looks_outside_and_is_refused(published):
    site, _ = published
    first, champions = _record(site), sorted((site.registry / "champion").iterdir())
    strict = ("--min-top-100-accuracy", "0.999", "--fail-when-refused")
    done = site.run(*strict)
    assert done.returncode == 1, done.stdout + done.stderr
    cached = set(re.findall(r"✓ (.+) as before", done.stderr))
    assert cached >= {"Ingest the ratings", "Build the vocabularies"}
    assert "Train the two-tower model" not in cached
    models = map(json.loads, (path.read_text("utf-8") for path in site.folder.glob(_MODELS)))
    assert {model["start"]["version"] for model in models} == {"", first["version"]}
    second = _record(site)
    assert second["champion"] == {"version": first["version"], "sequence": first["sequence"]}
    assert second["outcome"] == "refused"
    assert "at least 99.9 is asked for" in " ".join(done.stdout.split())
    done = site.run(*strict)
    assert set(re.findall(r"✓ (.+) as before", done.stderr)) >= {*cached, "Train the two-tower model"}
    assert _record(site)["metrics"] == pytest.approx(second["metrics"])
    assert sorted((site.registry / "champion").iterdir()) == champions


def test_a_run_on_the_champions_input_can_be_skipped(published):
    site, _ = published
    done = site.run("--skip-unchanged")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("Nothing to do: ")
    assert _record(site)["outcome"] == "skipped"
    assert "Train" not in done.stderr


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--ratings", "absent.csv"], "absent.csv"),
        (["--movies", "absent.csv"], "absent.csv"),
        (["--train-settings", '{"dimensoin": 8}'], "dimension"),
        (["--registry", "sample/ratings.csv/registry"], "registry"),
    ],
)
def test_a_mistake_ends_the_run_with_one_line_and_status_2(published, flags, named):
    site, _ = published
    done = site.run(*flags)
    assert done.returncode == 2, done.stdout + done.stderr
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert named in error
    assert "Traceback" not in done.stderr


_KILLED = """
import os, signal, sys
from components.ingest.database import scratch_directory
with scratch_directory(sys.argv[1]):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_run_gives_back_the_disk_of_steps_that_were_killed(published):
    site, _ = published
    ingest = site.folder / ".twotower" / "steps" / "killed" / "ingest"
    subprocess.run([sys.executable, "-c", _KILLED, str(ingest / "dataset")], check=False)
    assert len(list(ingest.iterdir())) == 1
    assert site.run("--ratings", "sample/movies.csv").returncode == 2
    assert list(ingest.iterdir()) == []


def _running_steps() -> list[str]:
    done = subprocess.run(["ps", "-eo", "sid=,args="], capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if "kfp.dsl.executor_main" in line]


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_run_leaves_nothing_running_and_the_next_executes_only_what_is_left(new_site, sign):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # pytest behind a shell's "&" ignores it
    site = new_site()
    log = site.folder / "screen.txt"
    with log.open("w") as screen:
        process = subprocess.Popen(
            site.command, cwd=site.folder, stdout=screen, stderr=screen, start_new_session=True
        )
        while "✓ Build the vocabularies" not in log.read_text("utf-8"):
            assert process.poll() is None, log.read_text("utf-8")
            time.sleep(0.2)
        os.kill(process.pid, sign)
        process.wait(timeout=30)
    work = str(site.folder / ".twotower")
    deadline = time.monotonic() + 10
    while any(work in line for line in _running_steps()):
        assert time.monotonic() < deadline, "a step outlived its run"
        time.sleep(0.2)
    if sign == signal.SIGINT:
        [record], _ = Registry(str(site.folder / "registry")).runs.newest_first()
        assert (record.outcome, record.reason) == ("cancelled", "it was interrupted in the step train")
        assert process.returncode == 130
    done = site.run("--gate", "report")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"Ingest the ratings", "Build the vocabularies"} <= set(
        re.findall(r"✓ (.+) as before", done.stderr)
    )


def _kill_in(site, step: str) -> None:
    """Runs the pipeline, and kills it in a step, where that writes its output beside the final place."""
    with (site.folder / "screen.txt").open("w") as screen:
        process = subprocess.Popen(
            [*site.command, "--gate", "report"], cwd=site.folder, stdout=screen, stderr=screen
        )
        logs = site.folder / ".twotower" / "logs"

        def log() -> str:
            newest = max(logs.glob(f"*-{process.pid}.log"), default=None)
            return newest.read_text("utf-8", errors="replace") if newest else ""

        while Event("started", step) not in map(event, log().splitlines()):
            assert process.poll() is None, log()
            time.sleep(0.05)
        while step in ("ingest", "vocabulary", "export") and not _staged(site):
            assert process.poll() is None, log()
            time.sleep(0.01)
        process.kill()
        process.wait(timeout=30)
    work = str(site.folder / ".twotower")
    while any(work in line for line in _running_steps()):
        time.sleep(0.1)


def _staged(site) -> list:
    return [*site.folder.glob(".twotower/steps/*/*/.*")]


@pytest.mark.slow
def test_a_run_that_is_killed_in_each_step_ends_and_gives_its_disk_back(new_site):
    site = new_site()
    for step in ("ingest", "vocabulary", "train", "evaluate", "export", "publish"):
        _kill_in(site, step)
        if step == "ingest":
            assert _staged(site)
    done = site.run("--gate", "report")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Published: " in done.stdout
    assert {"Train the two-tower model", "Ingest the ratings"} <= set(
        re.findall(r"✓ (.+) as before", done.stderr)
    )
    assert _staged(site) == []
    assert not any(
        path.is_dir() and path.suffix != ".outcomes" for path in site.folder.glob(".twotower/logs/*")
    )
    assert len(list(site.registry.glob("champion/*.json"))) == 1
