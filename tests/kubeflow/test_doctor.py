"""What the doctor finds, and whether each finding names its cure."""

import pytest
from kubeflow_double import login_page, status
from pytest_httpserver import HTTPServer
from volume_probe import written
from werkzeug import Response

from pipelines.kubeflow.access import Access
from pipelines.kubeflow.client import connect
from pipelines.kubeflow.doctor import examine, parse_image
from pipelines.kubeflow.pods import PodSettings
from pipelines.kubeflow.submit import Place, submit

_PLACE = Place(pipeline="training", experiment="nightly")
_IMAGE = "twotower:1.0"
_NO_PODS = PodSettings()


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))


def _findings(host, *, namespace="", pods=_NO_PODS, image=_IMAGE, place=_PLACE):
    found = list(examine(lambda: connect(Access(host, namespace)), place, pods, image))
    return {finding.what: (finding.verdict, finding.text) for finding in found}


def test_a_server_that_serves_is_well_before_and_after_the_first_run(double, host, kubeflow, package):
    found = _findings(host)
    assert [verdict for what, (verdict, _) in found.items() if what not in ("image", "retries")] == [
        "well"
    ] * 5
    assert "2.17.0, API v2beta1" in found["server"][1]
    assert "the first run uploads it" in found["pipeline"][1]
    submit(kubeflow, package, {}, _PLACE)
    found = _findings(host)
    assert "its newest version" in found["pipeline"][1]
    assert "nightly is there" in found["experiment"][1]


@pytest.mark.parametrize(
    ("fault", "what", "cure"),
    [
        (status(401), "authentication", "--token-file"),
        (login_page, "authentication", "--cookies-file"),
        (status(403), "namespace", "kubeflow-edit"),
        (status(404), "server", "404"),
    ],
)
def test_a_refusal_is_of_the_right_kind(double, host, fault, what, cure):
    double.fail("GET", "experiments", fault, times=9)
    verdict, text = _findings(host)[what]
    assert verdict == "ill"
    assert cure in text


def test_a_server_that_is_too_old_is_the_only_finding(double, host):
    double.release = "2.14.0"
    ((what, (verdict, text)),) = _findings(host).items()
    assert (what, verdict) == ("server", "ill")
    assert "2.14.0 is too old" in text


def test_a_server_built_from_source_is_well(double, host):
    double.release = "unknown"
    verdict, text = _findings(host)["server"]
    assert verdict == "well"
    assert "of unknown release (unknown)" in text


def test_without_a_server_nothing_else_is_looked_at(double, host):
    double.fail("GET", "healthz", status(404), times=9)
    assert list(_findings(host)) == ["server"]


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("twotower:1.0", ("registry-1.docker.io", "library/twotower", "1.0")),
        ("team/twotower", ("registry-1.docker.io", "team/twotower", "latest")),
        ("r.io/team/twotower:1.0", ("r.io", "team/twotower", "1.0")),
        ("localhost:5000/twotower:1.0", ("localhost:5000", "twotower", "1.0")),
        ("r.io/twotower:1.0@sha256:ab", ("r.io", "twotower", "sha256:ab")),
    ],
)
def test_the_name_of_an_image_is_read_as_an_engine_reads_it(name, parts):
    assert parse_image(name) == parts


@pytest.fixture
def other():
    """A second server: of images, or Kubernetes' own."""
    with HTTPServer() as server:
        yield server


@pytest.mark.parametrize(
    ("code", "verdict", "says"),
    [(200, "well", "is there"), (404, "ill", "docker push"), (403, "unknown", "-secret")],
)
def test_the_image_is_looked_for_in_its_registry(host, other, code, verdict, says):
    other.expect_request("/v2/team/twotower/manifests/1.0", method="HEAD").respond_with_data(status=code)
    found = _findings(host, image=f"localhost:{other.port}/team/twotower:1.0")["image"]
    assert found[0] == verdict
    assert says in found[1]


def test_a_registry_that_gives_a_token_to_anyone_is_asked_with_it(host, other):
    def manifest(request):
        if request.headers.get("Authorization") == "Bearer anyone":
            return Response()
        challenge = f'Bearer realm="{other.url_for("/token")}",service="r",scope="repository:t:pull"'
        return Response(status=401, headers={"WWW-Authenticate": challenge})

    other.expect_request("/v2/t/manifests/1.0").respond_with_handler(manifest)
    query = {"service": "r", "scope": "repository:t:pull"}
    other.expect_request("/token", query_string=query).respond_with_json({"token": "anyone"})
    assert _findings(host, image=f"localhost:{other.port}/t:1.0")["image"][0] == "well"


def test_a_registry_out_of_reach_is_no_illness(host):
    verdict, text = _findings(host, image="localhost:1/t:1.0")["image"]
    assert verdict == "unknown"
    assert "not checked" in text


_PODS = PodSettings(volumes=("data:/data",), gcs_secret="gcs-key", webhook_secret="chat")


def _kinds(found):
    return {what: found[what][0] for what in ("secret", "volume", "service account")}


def test_objects_are_looked_for_in_the_namespace(double, host, cluster):
    double.multi_user = True
    for plural, name in (("secrets", "gcs-key"), ("secrets", "chat"), ("persistentvolumeclaims", "data")):
        cluster.add("ann", plural, name)
    cluster.add("ann", "serviceaccounts", "trainer")
    cluster.kubelet = written
    place = Place("training", "nightly", service_account="trainer")
    found = _findings(host, namespace="ann", pods=_PODS, place=place)
    assert _kinds(found) == {"secret": "well", "volume": "well", "service account": "well"}
    assert "namespace ann of the context kind" in found["volume"][1]


def test_the_secret_of_the_object_store_is_looked_for(host, cluster):
    pods = PodSettings(s3_secret="mlpipeline-minio-artifact", envs=("AWS_ENDPOINT_URL=http://s3:9000",))
    verdict, text = _findings(host, pods=pods)["secret"]
    assert verdict == "ill"
    assert "mlpipeline-minio-artifact is missing in namespace kubeflow" in text
    cluster.add("kubeflow", "secrets", "mlpipeline-minio-artifact")
    assert _findings(host, pods=pods)["secret"][0] == "well"


def test_what_is_missing_comes_with_the_command_that_creates_it(host, cluster):
    found = _findings(host, pods=_PODS)
    assert found["volume"][0] == found["secret"][0] == "ill"
    assert "kubectl apply -n kubeflow -f docs/volume.yaml" in found["volume"][1]
    assert "kubectl create secret generic chat --from-literal=url=URL -n kubeflow" in found["secret"][1]
    assert cluster.created == []


@pytest.mark.parametrize("code", [401, 403, 500])
def test_a_cluster_that_does_not_tell_is_no_illness(host, cluster, code):
    cluster.forbidden = {"get persistentvolumeclaims"} if code == 403 else set()
    cluster.failures = 9 if code == 500 else 0
    cluster.token = "another" if code == 401 else ""
    verdict, text = _findings(host, pods=_PODS)["volume"]
    assert verdict == "unknown"
    assert "not checked" in text


def _workers(host, namespace="", place=_PLACE):
    found = examine(lambda: connect(Access(host, namespace)), place, _NO_PODS, _IMAGE, workers=3)
    return next((finding.verdict, finding.text) for finding in found if finding.what == "workers")


def test_one_worker_needs_no_right(host, cluster):
    assert "workers" not in _findings(host)
    assert not [request for request in cluster.requests if "accessreviews" in request]


@pytest.mark.parametrize(
    ("namespace", "place", "account"),
    [
        ("", _PLACE, "pipeline-runner"),
        ("ann", _PLACE, "default-editor"),
        ("ann", Place("training", "nightly", "trainer"), "trainer"),
    ],
)
def test_several_workers_need_rights_of_the_account_of_the_steps(
    double, host, cluster, namespace, place, account
):
    double.multi_user = bool(namespace)
    space = namespace or "kubeflow"
    text = f"{account} may start 3 of them in namespace {space} of the context kind"
    assert _workers(host, namespace, place) == ("well", text)
    reviews = [request for request in cluster.requests if "localsubjectaccessreviews" in request]
    assert len(reviews) == 12
    cluster.forbidden = {"create jobs", "get pods/log"}
    verdict, text = _workers(host, namespace, place)
    assert verdict == "ill"
    assert f"{account} may not create jobs, get pods/log in namespace {space}" in text
    assert f"kubectl apply -n {space} -f docs/workers-role.yaml" in text
    assert f"--serviceaccount={space}:{account}`" in text


@pytest.mark.parametrize(("minor", "verdict"), [("28", "ill"), ("29", "well"), ("34+", "well")])
def test_several_workers_need_a_release_of_kubernetes(host, cluster, minor, verdict):
    cluster.minor = minor
    assert _workers(host)[0] == verdict


def test_rights_that_cannot_be_asked_for_are_no_illness(host, cluster):
    cluster.failures = 9
    verdict, text = _workers(host)
    assert verdict == "unknown"
    assert (
        "kubectl auth can-i create jobs -n kubeflow --as=system:serviceaccount:kubeflow:pipeline-runner"
        in text
    )


def test_without_a_kubeconfig_that_is_said(host):
    verdict, text = _findings(host, pods=_PODS)["volume"]
    assert verdict == "unknown"
    assert text == "data: not checked: there is no kubeconfig here, and this is no pod"
