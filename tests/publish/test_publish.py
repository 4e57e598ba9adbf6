"""Publishing: what is written, who wins, and what a second attempt does."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from components.documents import write_document
from components.errors import UserError
from components.publish.step import publish, publish_command
from components.registry.champion_log import ChampionLog, SupersededError
from components.registry.registry import Registry, published_index
from components.registry.run_records import RowCounts, SeenChampion
from components.registry.versions import GateDecision
from components.report.templates import steps_of, table
from components.step import StepRecord
from components.storage import Storage, StoredFile


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWOTOWER_CACHE", str(tmp_path / "cache"))


def test_the_first_version_becomes_champion(place: str, artifacts) -> None:
    run = artifacts("run-1")
    summary = publish(**run, registry=place, champion_sequence=0)
    assert summary == (summary.version, "published", 1)
    registry = Registry(place)
    entry = registry.champion_log.latest()
    assert entry is not None
    assert (entry.version, entry.previous, entry.run_id) == (summary.version, "", "run-1")
    registry.versions.check(summary.version)
    assert (published_index(place) / "saved_model.pb").read_text() == "the index of run-1"
    assert registry.storage.read_bytes("serving/1/saved_model.pb") == b"the index of run-1"
    version = registry.versions.uri(summary.version, "report.html").removeprefix(f"{place}/")
    assert registry.storage.read_bytes(version) == b"<p>the report of run-1"
    written = json.loads(Path(run["output"], "published.json").read_text())
    assert written == {**summary._asdict(), "registry": place}


def test_the_manifest_and_the_record_say_where_it_comes_from(place: str, artifacts) -> None:
    run = artifacts("run-1", champion={"exists": True, "version": "before", "sequence": 0, "more": 1})
    summary = publish(**run, registry=place, champion_sequence=0)
    manifest = Registry(place).versions.manifest(summary.version)
    assert manifest.settings == {"preset": "default", "epochs": 3}
    assert manifest.metrics == {"rmse": 0.875, "top_100_accuracy_unseen": 0.5, "top_1_accuracy": None}
    assert manifest.verdict == GateDecision(
        blessed=True, gate="enforce", reason="Good enough: it finds more than popularity does."
    )
    record = Registry(place).runs.read("run-1")
    assert record is not None
    assert (record.outcome, record.version, record.sequence) == ("published", summary.version, 1)
    assert record.blessed is True
    assert record.reason == "Good enough: it finds more than popularity does."
    assert record.champion == SeenChampion(version="before", sequence=0)
    assert record.fingerprint == manifest.fingerprint == "12-34"
    assert record.metrics == manifest.metrics
    assert record.settings == manifest.settings
    assert record.rows == RowCounts(read=10, kept=9, rejected=1)
    assert [(step.step, step.seconds) for step in record.steps[:-1]] == [
        ("train", 12.5),
        ("evaluate", 2.5),
    ]
    assert record.steps[-1].step == "publish"
    storage = Registry(place).storage
    assert json.loads(storage.read_bytes("runs/run-1/verdict.json"))["reason"] == record.reason
    assert storage.read_bytes("runs/run-1/report.html") == b"<p>the report of run-1"


def test_the_pages_tell_the_time_of_the_steps_that_came_after_them(place: str, artifacts) -> None:
    run = artifacts("run-1")
    page, index = Path(run["report"], "report.html"), Path(run["index"])
    before = [
        StepRecord(step=name, seconds=1.0, peak_memory_bytes=1000) for name in ("fingerprint", "report")
    ]
    page.write_text(f"<p>above{table(before)}<p>below")
    write_document(index / "step.json", StepRecord(step="export", seconds=2.0, peak_memory_bytes=2000))
    summary = publish(**run, registry=place, champion_sequence=0)
    registry = Registry(place)
    kept = {
        name: registry.storage.read_bytes(f"{name}/report.html").decode()
        for name in (f"versions/{summary.version}", "runs/run-1")
    }
    steps = ["fingerprint", "train", "evaluate", "report", "export"]
    of_version, of_run = ([step.step for step in steps_of(text)] for text in kept.values())
    assert (of_version, of_run) == (steps, [*steps, "publish"])
    assert all(text.startswith("<p>above<") and text.endswith("><p>below") for text in kept.values())
    record = registry.runs.read("run-1")
    assert record is not None
    assert record.steps == steps_of(kept["runs/run-1"])
    assert publish(**run, registry=place, champion_sequence=0) == summary, "its own time makes no new version"


def test_the_model_card_is_kept_with_the_version(place: str, tmp_path: Path, artifacts) -> None:
    run = artifacts("run-1")
    without = publish(**run, registry=place, champion_sequence=0)
    Path(run["report"], "model_card.md").write_text("# beside the page")
    beside = publish(**artifacts("run-1", after=1) | {"run_id": "run-2"}, registry=place)
    (tmp_path / "card").write_text("# another")
    again = artifacts("run-1", after=2) | {"run_id": "run-3"}
    named = publish(**again, model_card=str(tmp_path / "card"), registry=place)
    registry = Registry(place)
    manifests = map(registry.versions.manifest, registry.versions.ids())
    cards = {manifest.version: "model_card.md" in manifest.files for manifest in manifests}
    assert cards == {without.version: False, beside.version: True, named.version: True}
    key = f"versions/{named.version}/model_card.md"
    assert registry.storage.read_bytes(key) == b"# another"
    with pytest.raises(UserError, match="absent does not exist; name the model card"):
        publish(**run, model_card=str(tmp_path / "absent"), registry=place)


def test_the_next_version_replaces_it(place: str, artifacts) -> None:
    first = publish(**artifacts("run-1"), registry=place, champion_sequence=0)
    second = publish(**artifacts("run-2", after=1), registry=place)
    assert second == (second.version, "published", 2)
    latest = Registry(place).champion_log.latest()
    assert latest is not None
    assert latest.previous == first.version
    assert Registry(place).storage.read_bytes("serving/2/saved_model.pb") == b"the index of run-2"


def test_a_champion_that_came_in_between_stays(place: str, artifacts) -> None:
    publish(**artifacts("run-1"), registry=place, champion_sequence=0)
    late = publish(**artifacts("run-2"), registry=place, champion_sequence=0)
    assert late == (late.version, "superseded", 0)
    registry = Registry(place)
    registry.versions.check(late.version)
    assert [entry.run_id for entry in registry.champion_log.entries()] == ["run-1"]
    assert {key.split("/")[1] for key in registry.storage.list("serving/")} == {"1"}
    record = registry.runs.read("run-2")
    assert record is not None
    assert (record.outcome, record.version, record.sequence) == ("superseded", late.version, 0)
    assert f"`twotower rollback {late.version} --registry" in record.reason
    assert registry.rollback(late.version).sequence == 2


@pytest.mark.parametrize("asked", [0, 2])
def test_another_champion_than_that_of_the_verdict_needs_force_and_a_reason(
    tmp_path: Path, artifacts, asked: int
) -> None:
    """Else a verdict on an old champion could be published over one that it knows nothing of."""
    registry, run = str(tmp_path / "registry"), artifacts("run-1", after=1)
    with pytest.raises(UserError, match=f"--champion-sequence {asked}: the verdict in .* number 1; evaluate"):
        publish(**run, registry=registry, champion_sequence=asked)
    assert not (tmp_path / "registry").exists()
    forced = publish(**run, registry=registry, champion_sequence=asked, force=True, reason="I know it")
    assert (forced.outcome, forced.sequence) == ("published", 1)


def test_the_champion_of_the_verdict_is_the_default(place: str, artifacts) -> None:
    publish(**artifacts("run-1"), registry=place)
    late = publish(**artifacts("run-2"), registry=place)
    seen = {"exists": True, "version": "v", "sequence": 1}
    next_ = publish(**artifacts("run-3", champion=seen), registry=place)
    assert (late.outcome, next_.outcome, next_.sequence) == ("superseded", "published", 2)


@pytest.mark.parametrize("meanwhile", [False, True])
def test_a_step_that_is_repeated_publishes_once(place: str, artifacts, meanwhile: bool) -> None:
    run = artifacts("run-1")
    first = publish(**run, registry=place, champion_sequence=0)
    if meanwhile:
        publish(**artifacts("run-2", after=1), registry=place)
    before = Registry(place).storage.list("versions/")
    assert publish(**run, registry=place, champion_sequence=0) == first
    assert Registry(place).storage.list("versions/") == before
    assert [entry.run_id for entry in Registry(place).champion_log.entries()] == ["run-1", "run-2"][
        : 1 + meanwhile
    ]
    record = Registry(place).runs.read("run-1")
    assert record is not None
    assert record.outcome == "published"


def test_a_run_id_that_comes_up_again_is_another_run(place: str, artifacts) -> None:
    first = publish(**artifacts("run-1"), registry=place, champion_sequence=0)
    other = artifacts("run-2", after=1) | {"run_id": "run-1"}
    second = publish(**other, registry=place)
    assert (second.outcome, second.sequence) == ("published", 2)
    assert second.version != first.version
    assert Registry(place).storage.read_bytes("serving/2/saved_model.pb") == b"the index of run-2"


def test_a_superseded_step_that_is_repeated_stays_superseded(place: str, artifacts) -> None:
    publish(**artifacts("run-1"), registry=place, champion_sequence=0)
    late = artifacts("run-2")
    first = publish(**late, registry=place, champion_sequence=0)
    assert publish(**late, registry=place, champion_sequence=0) == first


def test_a_log_that_is_shorter_than_the_verdict_says_is_superseded_too(place: str, artifacts) -> None:
    summary = publish(**artifacts("run-1", after=5), registry=place)
    assert summary.outcome == "superseded"
    assert Registry(place).champion_log.latest() is None


def test_nothing_is_published_after_a_lost_end_of_the_log(place: str, artifacts) -> None:
    """Its number is that of another index, which a server has loaded."""
    publish(**artifacts("run-1"), registry=place)
    publish(**artifacts("run-2", after=1), registry=place)
    storage = Registry(place).storage
    storage.delete("champion/000002.json")
    before = storage.list()
    for reason in ("", "it must go on"):
        with pytest.raises(UserError, match=r"champion/000002\.json is lost: .*; restore it from a"):
            publish(**artifacts("run-3", after=1), registry=place, force=bool(reason), reason=reason)
    assert storage.list() == before


def test_what_a_killed_publisher_did_not_serve_is_completed(place: str, artifacts) -> None:
    publish(**artifacts("run-1"), registry=place, champion_sequence=0)
    storage = Registry(place).storage
    storage.delete("serving/1/saved_model.pb")
    storage.delete("serving/1/variables/variables.index")
    late = publish(**artifacts("run-2"), registry=place, champion_sequence=0)
    assert late.outcome == "superseded"
    assert storage.read_bytes("serving/1/saved_model.pb") == b"the index of run-1"
    assert storage.exists("serving/1/variables/variables.index")


def test_a_broken_champion_does_not_stop_the_next_one(place: str, artifacts) -> None:
    first = publish(**artifacts("run-1"), registry=place, champion_sequence=0)
    registry = Registry(place)
    registry.storage.write_bytes(f"versions/{first.version}/manifest.json", b"")
    registry.storage.delete("serving/1/saved_model.pb")
    assert publish(**artifacts("run-2", after=1), registry=place).sequence == 2


def test_a_verdict_against_it_is_obeyed(tmp_path: Path, artifacts) -> None:
    run = artifacts("run-1", publish=False, blessed=False, reason="Refused (rmse_vs_bias): too much.")
    with pytest.raises(UserError, match=r"not to publish; train a better model.*Refused \(rmse_vs_bias\)"):
        publish(**run, registry=str(tmp_path / "registry"))
    assert not (tmp_path / "registry").exists()
    assert not Path(run["output"]).exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("index/saved_model.pb", None, r"index holds no saved_model\.pb"),
        ("model/saved_model/saved_model.pb", None, r"model/saved_model holds no saved_model\.pb"),
        ("model/model.json", None, r"cannot read .*model/model\.json: No such file"),
        ("model/model.json", "{", r"model/model\.json is not JSON .*; run `twotower train` again"),
        ("model/model.json", "[]", r"model/model\.json: expected object, got array"),
        (
            "dataset/statistics.json",
            '{"format": 1, "rows_read": 1}',
            r"statistics\.json: field `rows_kept`: it is missing",
        ),
        ("evaluation/verdict.json", None, r"cannot read .*verdict\.json"),
        ("report/report.html", None, r"report/report\.html does not exist; name the page"),
    ],
)
def test_a_broken_artifact_is_named(
    tmp_path: Path, artifacts, name: str, content: str | None, message: str
) -> None:
    run = artifacts("run-1")
    file = Path(run["index"]).parent / name
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    with pytest.raises(UserError, match=message):
        publish(**run, registry=str(tmp_path / "registry"))
    assert not (tmp_path / "registry").exists()


def test_a_refused_version_can_be_forced(place: str, artifacts) -> None:
    publish(**artifacts("run-1"), registry=place, champion_sequence=0)
    refused = artifacts("run-2", publish=False, blessed=False, reason="Refused (rmse_vs_bias): too much.")
    forced = publish(**refused, registry=place, force=True, reason="the launch is today")
    assert (forced.outcome, forced.sequence) == ("published", 2), "whichever champion came in between"
    registry = Registry(place)
    entry = registry.champion_log.latest()
    assert entry is not None
    assert (entry.version, entry.why, entry.reason) == (forced.version, "forced", "the launch is today")
    assert registry.storage.read_bytes("serving/2/saved_model.pb") == b"the index of run-2"
    record = registry.runs.read("run-2")
    assert record is not None
    assert (record.outcome, record.reason, record.blessed) == (
        "published",
        "Forced: the launch is today",
        False,
    )
    assert registry.versions.manifest(forced.version).verdict.blessed is False
    assert publish(**refused, registry=place, force=True, reason="again") == forced, "published twice"
    assert len(registry.champion_log.entries()) == 2


def test_a_forced_version_that_loses_the_race_is_superseded(
    tmp_path: Path, artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*_: object) -> None:
        raise SupersededError

    monkeypatch.setattr(ChampionLog, "append", lose)
    run = artifacts("run-1", publish=False)
    summary = publish(**run, registry=str(tmp_path / "registry"), force=True, reason="now")
    assert (summary.outcome, summary.sequence) == ("superseded", 0)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"force": True}, "--force needs --reason TEXT"),
        ({"force": True, "reason": " "}, "--force needs --reason TEXT"),
        ({"reason": "because"}, "--reason says why a version is forced; leave it out, or add --force"),
    ],
)
def test_force_and_reason_go_together(tmp_path: Path, artifacts, how: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        publish(**artifacts("run-1"), registry=str(tmp_path / "registry"), **how)
    assert not (tmp_path / "registry").exists()


def test_a_disk_that_fills_up_keeps_nothing_of_the_version(
    place: str, artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(**artifacts("run-1"), registry=place, champion_sequence=0)
    before = Registry(place).storage.list()
    storage = type(Registry(place).storage)
    upload, uploads = storage.upload_file, []

    def fill_up(self: Storage, source: Path, key: str) -> StoredFile:
        uploads.append(key)
        if len(uploads) == 3:
            raise UserError("cannot write: No space left on device")
        return upload(self, source, key)

    monkeypatch.setattr(storage, "upload_file", fill_up)
    with pytest.raises(UserError, match="No space left"):
        publish(**artifacts("run-2", after=1), registry=place)
    assert Registry(place).storage.list() == before


def test_a_disk_that_fills_up_before_the_server_has_its_copy_names_the_way_on(
    place: str, artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(**artifacts("run-1"), registry=place, champion_sequence=0)
    storage = type(Registry(place).storage)

    def fill_up(*_: object) -> None:
        raise UserError("cannot write: No space left on device")

    run = artifacts("run-2", after=1)
    with monkeypatch.context() as patch:
        patch.setattr(storage, "copy_file", fill_up)
        with pytest.raises(UserError) as refusal:
            publish(**run, registry=place)
    registry = Registry(place)
    champion = registry.champion_log.latest()
    assert champion is not None
    assert f"{champion.version} is the champion, but a server cannot load it yet" in str(refusal.value)
    assert f"`twotower rollback {champion.version} --registry {place}` completes it" in str(refusal.value)
    assert not registry.serving.is_complete(champion)
    registry.rollback(champion.version)
    assert registry.serving.is_complete(champion)


def test_a_run_id_that_is_none_is_found_before_anything_is_written(tmp_path: Path, artifacts) -> None:
    with pytest.raises(UserError, match="is no run id"):
        publish(**{**artifacts("run-1"), "run_id": "a/b"}, registry=str(tmp_path / "registry"))
    assert not (tmp_path / "registry").exists()


def test_a_registry_that_cannot_be_written_is_a_line(tmp_path: Path, artifacts) -> None:
    (tmp_path / "file").write_text("")
    run = artifacts("run-1")
    with pytest.raises(UserError, match=r"cannot (read|write) .*file/registry"):
        publish(**run, registry=str(tmp_path / "file" / "registry"))
    assert not Path(run["output"]).exists()


def test_the_subcommand_names_the_run_itself(tmp_path: Path, artifacts) -> None:
    run = artifacts("run-1")
    names = ("index", "model", "evaluation", "output")
    arguments = [word for name in names for word in (f"--{name}", run[name])]
    arguments += [
        "--report",
        str(Path(run["report"], "report.html")),
        "--registry",
        str(tmp_path / "registry"),
    ]
    result = CliRunner().invoke(publish_command, arguments, catch_exceptions=False)
    registry = Registry(str(tmp_path / "registry"))
    entry = registry.champion_log.latest()
    assert entry is not None
    assert result.stdout == f"published {entry.version}, number 1 in the champion log\n"
    record = registry.runs.read(entry.run_id)
    assert record is not None
    assert entry.run_id.startswith("by-hand-")
    assert record.rows == RowCounts()


def test_completes_what_a_killed_publisher_left_to_serve(place: str, artifacts) -> None:
    """Else killed publishers in a row could leave a server without any whole champion."""
    publish(**artifacts("run-1"), registry=place, champion_sequence=0)
    registry = Registry(place)
    registry.serving.remove(1)
    publish(**artifacts("run-2", after=1), registry=place)
    assert [registry.serving.is_complete(entry) for entry in registry.champion_log.entries()] == [True, True]


def test_a_predecessor_that_cannot_be_completed_is_no_obstacle(place: str, artifacts, capfd) -> None:
    first = publish(**artifacts("run-1"), registry=place, champion_sequence=0)
    registry = Registry(place)
    registry.serving.remove(1)
    registry.storage.delete(f"versions/{first.version}/index/saved_model.pb")
    assert publish(**artifacts("run-2", after=1), registry=place).sequence == 2
    assert "going on without it" in capfd.readouterr().err
    assert (published_index(place) / "saved_model.pb").read_text() == "the index of run-2"
