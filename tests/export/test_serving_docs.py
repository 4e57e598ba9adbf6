"""docs/serving.md and docs/kserve.yaml say what an index takes and where it lies."""

import ast
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml

from components.documents import plain
from components.export.manifest import read_manifest
from components.registry import serving

_DOCS = Path(__file__).parents[2] / "docs"
_PAGE = (_DOCS / "serving.md").read_text("utf-8")


@pytest.fixture(scope="module")
def signatures(index):
    return plain(read_manifest(index))["signatures"]


def test_the_table_has_every_signature_with_its_inputs(signatures):
    table = _PAGE.partition("| signature | inputs | outputs |")[2].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*?)\|", table, re.MULTILINE))
    assert set(rows) == set(signatures)
    for name, inputs in rows.items():
        # "those" are the inputs of the row above it.
        above = {"recommend_filtered": "recommend", "recommend_where": "recommend_filtered"}.get(name)
        known = set(signatures[above]["inputs"]) if above else set()
        named = set(re.findall(r"(\w+) (?:string|int32|int64|float32|bool)", inputs))
        assert named | known == set(signatures[name]["inputs"])


def _bodies():
    for body in re.findall(r"curl -d '(\{.*?\})'", _PAGE, re.DOTALL):
        yield json.loads(body)


def test_every_request_gives_all_inputs_of_its_signature(signatures):
    bodies = list(_bodies())
    assert len(bodies) >= 5
    for body in bodies:
        signature = signatures[body.get("signature_name", "serving_default")]
        columns = body["inputs"] if "inputs" in body else body["instances"][0]
        assert set(columns) == set(signature["inputs"])


def test_the_python_is_python_and_asks_what_is_there(signatures):
    blocks = re.findall(r"```python\n(.*?)```", _PAGE, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        ast.parse(block)
    grpc = blocks[2]
    assert set(re.findall(r'request\.inputs\["(\w+)"\]', grpc)) == set(signatures["recommend"]["inputs"])
    assert set(re.findall(r'answer\.outputs\["(\w+)"\]', grpc)) <= set(signatures["recommend"]["outputs"])


def test_kserve_is_pointed_at_the_numbered_copies():
    account, service = yaml.safe_load_all((_DOCS / "kserve.yaml").read_text("utf-8"))
    assert service["spec"]["predictor"]["serviceAccountName"] == account["metadata"]["name"]
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    model = service["spec"]["predictor"]["model"]
    assert model["modelFormat"] == {"name": "tensorflow"}
    assert model["storageUri"] == f"gs://BUCKET/PREFIX/{serving._DIRECTORY}"
    assert isinstance(model["runtimeVersion"], str)


_PROJECT = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId><artifactId>recommend</artifactId><version>1</version>
  <dependencies>%s</dependencies>
</project>
"""


@pytest.mark.slow
def test_the_java_answers_as_python_does(index, tmp_path):
    import tensorflow as tf

    if not (shutil.which("java") and shutil.which("mvn")):
        pytest.skip("there is no java or no mvn")
    [dependency] = re.findall(r"```xml\n(.*?)```", _PAGE, re.DOTALL)
    [program] = re.findall(r"```java\n(.*?)```", _PAGE, re.DOTALL)
    (tmp_path / "pom.xml").write_text(_PROJECT % dependency)
    (tmp_path / "Recommend.java").write_text(program)
    [resolve] = re.findall(r"^    mvn (.*)$", _PAGE, re.MULTILINE)
    # Offline: the test loads nothing.
    found = subprocess.run(["mvn", "-o", *resolve.split()], cwd=tmp_path, capture_output=True, text=True)
    if found.returncode:
        pytest.skip(f"the artifacts are not in the local Maven repository: {found.stdout.strip()[:300]}")
    command = ["java", "-cp", (tmp_path / "classpath.txt").read_text(), "Recommend.java", str(index), "user3"]
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    said = subprocess.run(command, cwd=tmp_path, env=quiet, check=True, capture_output=True, text=True).stdout
    answer = tf.saved_model.load(str(index)).signatures["recommend"](
        user_id=tf.constant(["user3"]), k=tf.constant(5), ratings=tf.constant("all")
    )
    titles, ratings = (answer[name].numpy()[0] for name in ("title", "rating"))
    rows = [line.split("\t") for line in said.splitlines()]
    assert [title for title, _ in rows] == [title.decode() for title in titles]
    # Java writes a float32 by the fewest digits that tell it from all others.
    assert [np.float32(rating) for _, rating in rows] == ratings.tolist()
