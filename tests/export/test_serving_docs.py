"""docs/serving.md and docs/kserve.yaml say what an index takes and where it lies."""

import ast
import json
import re
from pathlib import Path

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
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*?)\|", _PAGE, re.MULTILINE))
    # The model of these tests has no titles to place movies by.
    assert set(rows) == {*signatures, "candidate_from_features"}
    for name, inputs in rows.items():
        if name not in signatures:
            continue
        # "those" are the inputs of the row above it.
        known = {"recommend_filtered": set(signatures["recommend"]["inputs"])}.get(name, set())
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
