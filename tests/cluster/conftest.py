"""The cluster that KUBECONFIG and TWOTOWER_HOST name, with a fresh volume on it."""

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cluster_site import Site

_ROOT = Path(__file__).parents[2]
_NEEDED = ("KUBECONFIG", "TWOTOWER_HOST", "TWOTOWER_IMAGE")


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """Prepares a fresh claim as docs/kubeflow.md says, with a sample on it; deletes both in the end."""
    missing = [name for name in _NEEDED if not os.environ.get(name)]
    if missing or shutil.which("kubectl") is None:
        pytest.skip(f"needs kubectl and the variables {', '.join(_NEEDED)}: docs/kubeflow.md has the steps")
    mark = uuid.uuid4().hex[:6]
    namespace = os.environ.get("TWOTOWER_NAMESPACE", "kubeflow")
    found = Site(namespace, claim=f"twotower-test-{mark}", files=f"twotower-test-{mark}", mark=mark)
    objects = list(yaml.safe_load_all((_ROOT / "docs" / "volume.yaml").read_text("utf-8")))
    text = yaml.safe_dump_all(objects).replace("name: twotower-files", f"name: {found.files}")
    if len(found.kubectl("get", "nodes", "--output", "name").split()) == 1:
        text = text.replace("ReadWriteMany", "ReadWriteOnce")  # all that the storage of kind can do
    text = text.replace("name: twotower\n", f"name: {found.claim}\n").replace(
        "claimName: twotower\n", f"claimName: {found.claim}\n"
    )
    found.kubectl("apply", "--filename", "-", text=text)
    try:
        found.kubectl("wait", "--for=condition=Ready", f"pod/{found.files}", "--timeout=300s")
        yield found
    finally:
        for kind, name in (("pod", found.files), ("persistentvolumeclaim", found.claim)):
            found.kubectl("delete", kind, name, "--wait=false", check=False)


@pytest.fixture(scope="session")
def sample(site: Site, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Puts 9,000 ratings on the volume; returns their directory there."""
    from components.sample.step import sample as make

    folder = tmp_path_factory.mktemp("sample") / "sample"
    make(users=300, movies=250, ratings=9_000, seed=7, output=str(folder))
    site.kubectl("cp", str(folder), f"{site.files}:/data/sample")
    return "/data/sample"
