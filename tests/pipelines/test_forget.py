"""Users who are forgotten by the pipeline, from the ratings to the registry."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from components.recommend.index import PublishedIndex
from components.registry.registry import Registry, published_index
from pipelines.cli import twotower

pytestmark = [pytest.mark.slow, pytest.mark.process]


def test_a_user_is_forgotten_and_the_champion_that_knows_them_is_no_start(new_site) -> None:
    site = new_site()
    first = site.run("--gate", "report")
    assert first.returncode == 0, first.stdout + first.stderr
    registry = Registry(str(site.registry))
    before = registry.champion("").version
    gone = PublishedIndex.load(published_index(registry.root)).user_ids[:3]
    listed = site.folder / "forget.txt"
    listed.write_text("\n".join(gone))

    second = site.run("--gate", "report", "--forget", "forget.txt", "--batch-k", "5")
    assert second.returncode == 0, second.stdout + second.stderr
    assert "3 users forgotten" in second.stdout
    after = registry.champion("").version
    assert after != before
    known = PublishedIndex.load(published_index(registry.root))
    assert set(gone).isdisjoint(known.user_ids)
    model = json.loads(registry.storage.read_bytes(f"versions/{after}/model/model.json"))
    why = f"The version {before} has read ratings of 3 of the 3 users to forget."
    assert (model["start"]["version"], model["start"]["why"]) == ("", why)
    run = registry.versions.manifest(after).run_id
    verdict = json.loads(registry.runs.document(run, "verdict.json"))
    assert verdict["champion"]["version"] == before, "the gate compares with it all the same"
    assert re.search(
        r"<dt>forgotten</dt><dd>3 of 3 users left out", registry.runs.document(run, "report.html").decode()
    )

    words = ["--registry", registry.root, "--forgotten", str(listed)]
    done = CliRunner().invoke(twotower, ["verify", *words])
    assert done.exit_code != 0
    assert f"`twotower prune {before}" in done.stdout
    assert CliRunner().invoke(twotower, ["prune", before, "--registry", registry.root]).exit_code == 0
    for line in CliRunner().invoke(twotower, ["verify", *words]).stdout.splitlines():
        if line.endswith("; delete it"):  # the page of the first run
            Path(line.split()[0]).unlink()
    done = CliRunner().invoke(twotower, ["verify", *words])
    assert done.exit_code == 0, done.output
