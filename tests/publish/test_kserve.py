"""docs/kserve.yaml and docs/kserve-s3-secret.yaml: what KServe itself copies of a registry with them."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.publish.step import publish

_DOCS = Path(__file__).parents[2] / "docs"
_ANNOTATION = "serving.kserve.io/"

_COPY = "import sys; from kserve_storage import Storage; Storage.download(*sys.argv[1:])"


def _documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((_DOCS / name).read_text("utf-8")))


def variables(secret: dict[str, Any]) -> dict[str, str]:
    """The environment that KServe makes of a secret for S3: pkg/credentials/s3 of kserve/kserve."""
    annotations, keys = secret["metadata"]["annotations"], secret["stringData"]
    scheme = {"0": "http", "1": "https"}[annotations[f"{_ANNOTATION}s3-usehttps"]]
    return {
        "AWS_ACCESS_KEY_ID": keys["AWS_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": keys["AWS_SECRET_ACCESS_KEY"],
        "AWS_ENDPOINT_URL": f"{scheme}://{annotations[f'{_ANNOTATION}s3-endpoint']}",
        "AWS_DEFAULT_REGION": annotations[f"{_ANNOTATION}s3-region"],
    }


def test_the_secret_is_the_one_of_the_service_account_and_says_all_that_kserve_asks() -> None:
    account, _ = _documents("kserve.yaml")
    (secret,) = _documents("kserve-s3-secret.yaml")
    assert account["secrets"] == [{"name": secret["metadata"]["name"]}]
    assert variables(secret)["AWS_ENDPOINT_URL"] == "http://seaweedfs.kubeflow:9000"
    assert (
        f"create secret generic {secret['metadata']['name']} --from-file"
        in (_DOCS / "serving.md").read_text()
    )


@pytest.mark.process
@pytest.mark.parametrize("place", ["gcs", "s3"], indirect=True)
def test_its_own_copy_is_what_tensorflow_serving_loads(place: str, tmp_path: Path, artifacts) -> None:
    """kserve-storage needs another google-cloud-storage than the project: it has a Python of its own."""
    python = os.environ.get("TWOTOWER_KSERVE_PYTHON")
    if not python:
        pytest.skip("needs kserve-storage, which `make test-kserve` installs apart")
    for number in (1, 2):
        run = artifacts(f"run-{number}") | {"registry": place, "champion_sequence": number - 1}
        publish(**run)
    (secret,) = _documents("kserve-s3-secret.yaml")
    if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
        secret["metadata"]["annotations"][f"{_ANNOTATION}s3-endpoint"] = endpoint.removeprefix("http://")
        for name in secret["stringData"]:
            secret["stringData"][name] = os.environ[name]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    command = [python, "-c", _COPY, f"{place}/serving", str(tmp_path / "models")]
    subprocess.run(command, env=environment | variables(secret), check=True)
    index = Path(run["index"])
    expected = {f"{path.relative_to(index)}" for path in index.rglob("*") if path.is_file()}
    for number in (1, 2):
        copied = tmp_path / "models" / str(number)
        assert {f"{path.relative_to(copied)}" for path in copied.rglob("*") if path.is_file()} == expected
    assert (tmp_path / "models" / "2" / "saved_model.pb").read_text() == "the index of run-2"
