"""Users to forget are found wherever a registry holds them, and what holds them can be deleted."""

import io
import json
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from components.errors import UserError
from components.registry.cli import prune, verify
from components.registry.erasure import Erasure, describe_holders
from components.registry.registry import Registry
from components.registry.versions import GateDecision, Provenance
from components.saved_models import stored_strings
from components.vocabulary.data_summary import id_hashes
from pipelines.cli import twotower

pytestmark = pytest.mark.tensorflow

Publish = Callable[..., str]


def write_variables(index: Path, users: Sequence[str]) -> None:
    import tensorflow as tf

    histories = tf.Module()
    histories._user_ids = tf.Variable(list(users), dtype=tf.string)
    other = tf.Variable([1.0])
    index.mkdir(parents=True)
    (index / "saved_model.pb").write_text("graph")
    checkpoint = tf.train.Checkpoint(_histories=histories if users else tf.Module(), other=other)
    checkpoint.write(str(index / "variables" / "variables"))


@pytest.fixture
def publish(tmp_path: Path) -> Publish:
    """A function that publishes a version whose index and model know certain users, and returns its id."""

    def add(
        registry: Registry,
        run: str,
        users: Sequence[str],
        readers: Sequence[str] | None = (),
        start: dict[str, Any] | None = None,
    ) -> str:
        source = tmp_path / "made" / run
        write_variables(source / "index", users)
        model = source / "model"
        model.mkdir(parents=True)
        (model / "model.json").write_text(json.dumps({"start": start}))
        if readers is not None:
            np.save(model / "users.npy", np.unique(id_hashes([*users, *readers])))
        provenance = Provenance(
            run_id=run, fingerprint="f", settings={}, metrics={}, verdict=GateDecision(blessed=True)
        )
        sources = {"model": model, "index": source / "index"}
        version = registry.versions.add(provenance, sources).version
        end = registry.champion_log.end()
        registry.serving.complete(registry.champion_log.append(end, version, "published", run))
        return version

    return add


def places(registry: Registry, *users: str) -> dict[str, int]:
    found = Erasure(registry, users).holders()
    return {holder.place.removeprefix(f"{registry.root}/"): holder.users for holder in found}


def test_every_version_and_copy_that_holds_one_is_named(place: str, publish: Publish) -> None:
    registry = Registry(place)
    both = publish(registry, "run-1", ["ann", "bob", "cid"])
    one = publish(registry, "run-2", ["bob", "cid"])
    publish(registry, "run-3", ["cid"])
    assert places(registry, "ann", "bob", "nobody") == {
        f"versions/{both}": 2, "serving/1": 2, f"versions/{one}": 1, "serving/2": 1
    }  # fmt: skip
    assert places(registry, "nobody") == {}
    lines = describe_holders(registry, ["bob", "ann"])
    command = f"`twotower prune {both} --registry {place}` deletes it"
    assert lines[0] == f"{registry.versions.uri(both)} holds 2 of the 2 users to forget; {command}"
    assert lines[2] == f"{registry.serving.uri(1)} holds 2 of the 2 users to forget; {command}"


def test_a_copy_is_not_read_again(place: str, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    registry, read = Registry(place), list[Path]()

    def counted(index: Path, variable: str) -> Any:
        read.append(index)
        return stored_strings(index, variable)

    monkeypatch.setattr("components.registry.erasure.stored_strings", counted)
    publish(registry, "run-1", ["ann"])
    assert len(places(registry, "ann")) == 2
    assert len(read) == 1


def test_a_copy_of_no_version_is_read_too(place: str, publish: Publish) -> None:
    registry = Registry(place)
    version = publish(registry, "run-1", ["ann"])
    publish(registry, "run-2", ["bob"])
    registry.versions.remove(version)
    assert places(registry, "ann") == {"serving/1": 1}


def test_weights_that_have_read_their_ratings_count_although_the_index_has_none(
    place: str, publish: Publish
) -> None:
    registry = Registry(place)
    begun_at = publish(registry, "run-1", ["bob"], readers=["ann"])
    without_histories = publish(registry, "run-2", [], readers=["ann", "bob"])
    assert places(registry, "ann") == {f"versions/{begun_at}": 1, f"versions/{without_histories}": 1}
    erasure = Erasure(registry, ["ann", "eve"])
    assert erasure.objection(begun_at) == (
        f"The version {begun_at} has read ratings of 1 of the 2 users to forget."
    )
    assert Erasure(registry, ["eve"]).objection(begun_at) == ""


def test_a_version_of_an_earlier_release_is_judged_by_its_index_or_in_doubt(
    place: str, publish: Publish
) -> None:
    registry = Registry(place)
    cold = publish(registry, "run-1", ["bob"], readers=None, start={"version": "", "why": "It is the first."})
    older = publish(registry, "run-2", ["bob"], readers=None)
    warm = publish(registry, "run-3", ["bob"], readers=None, start={"version": cold, "why": ""})
    assert places(registry, "ann") == {f"versions/{warm}": 0}
    assert set(places(registry, "bob")) > {f"versions/{version}" for version in (cold, older, warm)}
    (line,) = describe_holders(registry, ["ann"])
    assert f"may hold users to forget: {warm}, of an earlier release, began at the weights of {cold}" in line
    assert "it is served: publish another by `twotower run --forget FILE`; then `twotower prune" in line
    erasure = Erasure(registry, ["ann"])
    assert erasure.objection(cold) == erasure.objection(older) == ""
    assert erasure.objection(warm).startswith(
        f"The version {warm} may have read ratings of users to forget: "
    )


def test_the_arrays_of_an_index_count_although_its_graph_has_no_users(place: str, publish: Publish) -> None:
    registry = Registry(place)
    version = publish(registry, "run-1", [])
    texts = [b"bob", b"", "j\u00fcrgen".encode(), b"ann"]
    ends = np.cumsum([0, *map(len, texts)])
    for name, array in {"ends": ends, "text": np.frombuffer(b"".join(texts), np.uint8)}.items():
        stream = io.BytesIO()
        np.save(stream, array)
        registry.storage.write_bytes(f"versions/{version}/index/arrays/user_id.{name}.npy", stream.getvalue())
    assert places(registry, "ann", "j\u00fcrgen", "bobj") == {f"versions/{version}": 2}
    registry.storage.write_bytes(f"versions/{version}/index/arrays/user_id.text.npy", b"")
    (line,) = describe_holders(registry, ["ann"])
    assert "or the file of texts beside it, is damaged" in line


def test_what_cannot_be_read_is_in_doubt(place: str, publish: Publish) -> None:
    registry = Registry(place)
    version = publish(registry, "run-1", ["bob"])
    registry.storage.write_bytes(f"versions/{version}/index/variables/variables.index", b"cut")
    (line,) = describe_holders(registry, ["ann"])
    assert f"{version} may hold users to forget: " in line
    assert "variables.* are damaged" in line


def test_pages_of_runs_show_users_by_name(place: str, publish: Publish) -> None:
    registry = Registry(place)
    publish(registry, "run-1", ["bob"])
    page = b'<h3>User a&amp;n <span class="muted">x</span></h3> <td>eve</td>'
    registry.storage.write_bytes("runs/run-7/report.html", page)
    registry.storage.write_bytes("runs/run-7/run.json", b"{}")
    assert places(registry, "a&n") == {"runs/run-7/report.html": 1}
    assert places(registry, "eve") == {}


def test_verify_ends_as_with_a_fault_until_they_are_pruned(publish: Publish, tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "registry"))
    versions = [publish(registry, f"run-{number}", ["ann", "bob"]) for number in (1, 2)]
    publish(registry, "run-3", ["bob"])
    listed = tmp_path / "forget.txt"
    listed.write_text("ann\nAnn\n")
    words = ["--registry", registry.root, "--forgotten", str(listed)]

    def run(command: Any, *words: str) -> Any:
        done = CliRunner().invoke(command, list(words))
        assert isinstance(done.exception, SystemExit | UserError | None), done.exception
        return done

    done = run(verify, *words)
    assert isinstance(done.exception, UserError)
    assert str(done.exception).startswith(f"{registry.root} holds users to forget in 4 places; ")
    assert done.stdout.count("holds 1 of the 2 users to forget") == 4
    assert "ann" not in done.output.replace(str(tmp_path), "")
    holders = json.loads(run(verify, *words, "--json").stdout)["holders"]
    assert holders == done.stdout.splitlines()

    assert isinstance(
        run(prune, versions[0], "20261124-105900-3f9a1c02", "--registry", registry.root).exception, UserError
    )
    assert len(registry.versions.ids()) == 3
    assert run(prune, *versions, "--registry", registry.root).exit_code == 0
    done = run(verify, *words)
    assert done.exit_code == 0
    assert "nothing that can be served holds one of the 2 users" in done.stdout


def test_the_commands_of_the_page_work(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "registry.md").read_text("utf-8")
    section = page.partition("## Erase a user")[2].partition("\n## ")[0]
    lines = "".join(re.findall(r"```bash\n(.*?)```", section, flags=re.DOTALL)).splitlines()
    registry, run = Registry("registry"), "5b8f0a52-93a4-4bb2-8d3e-f6bd2c1f6f0e"
    (tmp_path / "forget.txt").write_text("ann\n")
    version = publish(registry, run, ["ann", "bob"])
    registry.storage.write_bytes(f"runs/{run}/report.html", b"<h3>User ann <span>x</span></h3>")
    assert lines[0].startswith("twotower run ")
    publish(registry, "run-2", ["bob"])  # as that command does
    ended = []
    for line in lines[1:]:
        command, *words = shlex.split(line.replace("20261124-105900-3f9a1c02", version))
        if command == "rm":
            Path(words[0]).unlink()
        else:
            ended.append(CliRunner().invoke(twotower, words).exit_code)
    assert ended == [1, 0, 0], "the first proof fails"  # CliRunner shows a `UserError` as 1


def test_the_champion_cannot_be_pruned_by_name(place: str, publish: Publish) -> None:
    registry = Registry(place)
    version = publish(registry, "run-1", ["ann"])
    done = CliRunner().invoke(prune, [version, "--registry", place])
    assert str(done.exception).startswith(f"{version} is the champion; publish another")
    assert registry.versions.ids() == [version]


def test_ids_are_compared_as_ingest_reads_them(publish: Publish, tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "registry"))
    publish(registry, "run-1", ["7"])
    listed = tmp_path / "forget.txt"
    listed.write_text("007\n")
    words = ["--registry", registry.root, "--forgotten", str(listed)]
    assert CliRunner().invoke(verify, words).exit_code == 0
    done = CliRunner().invoke(verify, [*words, "--id-type", "int"])
    assert "holds users to forget in 2 places" in str(done.exception)


def test_many_versions_are_looked_at_one_after_the_other(publish: Publish, tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "registry"))
    versions = [publish(registry, f"run-{number}", ["ann", f"u{number}"]) for number in range(30)]
    assert len(places(registry, "u3", "u29")) == 4
    assert len(versions) == len(set(versions))
