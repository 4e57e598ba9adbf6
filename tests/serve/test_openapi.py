"""The description at /openapi.json: complete, true of each signature, and tried by schemathesis."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from running_server import BODY_KB, Server, add_version, promote, running_server

from components.registry.registry import Registry

pytestmark = pytest.mark.tensorflow

KEY = "k3y-" * 8
MODEL = "/v1/models/twotower"

# What a schema cannot say is refused with 400, and what is too large with 413.
CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 404, 413]
[checks.negative_data_rejection]
expected-statuses = [400, 404, 405, 413]
"""


@pytest.fixture
def description(server: Server) -> dict[str, Any]:
    return server.ask("GET", "/openapi.json")[1]


def test_every_path_is_described(description: dict[str, Any]) -> None:
    assert description["openapi"] == "3.1.0"
    of_versions = [
        f"{MODEL}{middle}{end}" for middle in ("", "/versions/{number}") for end in ("", "/metadata")
    ]
    assert set(description["paths"]) == {
        *("/", "/healthz", "/livez", "/readyz", "/metrics", "/openapi.json"),
        *of_versions,
        f"{MODEL}:predict",
        f"{MODEL}/versions/{{number}}:predict",
    }
    operations = [operation for path in description["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)


def test_every_signature_has_an_example_that_is_answered_as_described(
    server: Server, description: dict[str, Any]
) -> None:
    _, metadata = server.ask("GET", f"{MODEL}/metadata")
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    content = description["paths"][f"{MODEL}:predict"]["post"]["requestBody"]["content"]["application/json"]
    assert set(content["examples"]) == set(signatures)
    schemas = description["components"]["schemas"]
    for name, example in content["examples"].items():
        jsonschema.validate(example["value"], schemas["PredictRequest"])
        status, answer = server.predict(**example["value"])
        assert status == 200, (name, answer)
        jsonschema.validate(answer, schemas["PredictResponse"])


def test_the_fields_of_the_page_are_described(description: dict[str, Any], server: Server) -> None:
    form = set(re.findall(r' name="?(\w+)"?', server.page("?user=user2&find=a"))) - {"viewport"}
    described = {parameter["name"] for parameter in description["paths"]["/"]["get"]["parameters"]}
    assert form <= described


@pytest.mark.parametrize(
    "request_",
    [
        {"instances": ["u", {"user_id": "v"}, {"b64": "dQ=="}]},
        {"signature_name": "serving_default", "inputs": ["u"]},
        {"signature_name": "history", "inputs": {"user_id": ["u"]}},
        {"signature_name": "history", "inputs": {"user_id": ["user2"]}, "offset": 1, "limit": 2},
    ],
)
def test_the_forms_of_a_request_are_in_the_schema(
    description: dict[str, Any], server: Server, request_
) -> None:
    jsonschema.validate(request_, description["components"]["schemas"]["PredictRequest"])
    assert server.predict(**request_)[0] == 200


@pytest.mark.parametrize(
    "request_",
    [
        {"inputs": {"user_id": ["u"]}, "instances": ["u"]},
        {"inputs": {"user_id": ["u"]}, "limit": 3},
        {"signature_name": "recommend", "inputs": {"user_id": ["u"], "k": 3, "ratings": "some"}},
        {"signature_name": "recommend", "inputs": {"user_id": ["u"], "k": 3}},
        {"signature_name": "recommend", "inputs": {"user_id": "u", "k": 3, "ratings": "all"}},
        {"signature_name": "recommend", "inputs": {"user_id": ["u"], "k": 1.5, "ratings": "all"}},
        {"signature_name": "rate", "instances": [{"user_id": "u", "movie_id": "m", "ratings": "all"}]},
    ],
)
def test_a_faulty_request_is_not(description: dict[str, Any], server: Server, request_) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(request_, description["components"]["schemas"]["PredictRequest"])
    assert server.predict(**request_)[0] == 400


@pytest.mark.slow
def test_schemathesis_finds_no_difference(index_directory: Path, tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "registry"))
    promote(registry, add_version(registry, index_directory, "run-1").version)
    keys = tmp_path / "keys"
    keys.write_text(KEY)
    keys.chmod(0o600)
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    flags = ["--api-keys", str(keys), "--max-body-kb", str(BODY_KB)]
    with running_server(registry, index_directory, *flags) as server:
        program = Path(sys.executable).with_name("schemathesis")
        command = [str(program), "run", f"http://127.0.0.1:{server.port}/openapi.json"]
        command += ["--header", f"Authorization: Bearer {KEY}", "--checks", "all", "--seed", "1"]
        command += ["--phases", "examples,coverage,fuzzing", "--max-examples", "25", "--no-color"]
        environment = {**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path / "hypothesis")}
        tried = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert tried.returncode == 0, tried.stdout[-6000:] + tried.stderr[-2000:]
        assert "Traceback" not in "".join(server.lines)
        assert server.ask("GET", "/readyz")[0] == 200
