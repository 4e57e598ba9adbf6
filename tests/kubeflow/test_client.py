"""The connection: what every kind of wrong answer becomes, and how long that takes."""

import logging
import shutil
import socket
import ssl
import subprocess
import time

import pytest
from kubeflow_double import (
    cut_json,
    foreign_issuer,
    login_page,
    problem,
    slow,
    status,
    truncated,
    upload_problem,
)
from pytest_httpserver import HTTPServer

from components.errors import UserError
from pipelines.kubeflow import client, transport
from pipelines.kubeflow.access import Access
from pipelines.kubeflow.client import Kubeflow, connect
from pipelines.kubeflow.transport import ApiError
from pipelines.kubeflow.versions import upload

_SECRET = "hush-hush-token"


@pytest.fixture
def impatient(monkeypatch):
    """A tenth of the patience."""
    monkeypatch.setattr(transport, "_TIME_LIMIT", (1, 1))
    monkeypatch.setattr(client, "_PAUSES", (0.05, 0.05))


def test_a_connection_knows_where_it_is(kubeflow, host, double):
    assert kubeflow.run_url("run-1") == f"{host}/#/runs/details/run-1"
    assert double.requests == [("GET", "/apis/v2beta1/healthz")]


def test_a_bearer_token_is_sent_and_shown_nowhere(double, host, capfd, caplog):
    caplog.set_level(logging.DEBUG)
    double.token = _SECRET
    connect(Access(host, token=_SECRET))
    with pytest.raises(UserError, match="not authenticated") as refusal:
        connect(Access(host, token=f"{_SECRET}-wrong"))
    everything = f"{refusal.value}{caplog.text}{''.join(capfd.readouterr())}"
    assert _SECRET not in everything


def test_a_token_file_is_read_anew_for_every_request(double, host, tmp_path):
    double.token = "first"
    file = tmp_path / "token"
    file.write_text("first\n")
    kubeflow = connect(Access(host, token_file=str(file)))
    double.token = "second"
    file.write_text("second\n")
    assert kubeflow.experiment("any") is None


_COOKIE = "oauth2_proxy_kubeflow=abc"


def test_the_browsers_cookies_are_sent(double, host):
    double.cookies = _COOKIE
    connect(Access(host, cookies=_COOKIE))
    assert double.headers[-1]["Cookie"] == _COOKIE


def test_without_cookies_the_way_to_the_login_page_is_an_error(double, host):
    double.cookies = _COOKIE
    with pytest.raises(UserError, match=r"redirects to /dex/auth; .*--cookies-file") as refusal:
        connect(Access(host))
    assert "client_id" not in str(refusal.value)


@pytest.mark.parametrize("fault", [foreign_issuer, login_page, status(401)])
def test_a_login_that_does_not_do_comes_with_ways_that_work(double, host, fault):
    double.fail("GET", "healthz", fault, times=9)
    with pytest.raises(UserError) as refusal:
        connect(Access(host, token=_SECRET))
    said = str(refusal.value)
    assert "kubectl port-forward -n kubeflow svc/ml-pipeline 8888:8888" in said
    assert "--audience pipelines.kubeflow.org" in said
    assert "cookie oauth2_proxy_kubeflow" in said
    assert ("Jwt issuer is not configured" in said) == (fault is foreign_issuer)


def test_a_missing_right_to_upload_is_a_400_and_is_named(double, host, package):
    kubeflow = connect(Access(host))
    double.stores["pipelines"]["p"] = {"pipeline_id": "p", "display_name": "training"}
    double.fail(
        "POST", "upload_version", lambda _: upload_problem(400, "Failed to create a pipeline version")
    )
    with pytest.raises(ApiError, match=r"refuses the upload \(400\) \(Failed to.*kubeflow-edit") as refusal:
        upload(kubeflow, package, "training")
    assert "/go/src" not in str(refusal.value)


def test_what_the_server_says_of_an_upload_is_shown_whole(double, host, package):
    kubeflow = connect(Access(host))
    long = "Invalid input error: " + " ".join(f"step-{number} is unknown" for number in range(60))
    double.fail("POST", "upload_version", lambda _: upload_problem(400, long))
    with pytest.raises(ApiError, match=r"step-0 is unknown.*step-59 is unknown"):
        upload(kubeflow, package, "training")
    double.fail("POST", "upload_version", lambda _: problem(400, long))
    with pytest.raises(ApiError, match=r"step-0 is unknown.*step-59 is unknown"):
        upload(kubeflow, package, "training")


@pytest.mark.parametrize(
    ("pages", "link"),
    [
        ("https://k.example.com/pipeline", "https://k.example.com/_/pipeline/?ns=ann#/runs/details/r"),
        ("https://k.example.com/_/pipeline", "https://k.example.com/_/pipeline/?ns=ann#/runs/details/r"),
        ("http://localhost:8888", "http://localhost:8888/#/runs/details/r"),
    ],
)
def test_a_link_opens_in_the_dashboard_of_a_full_kubeflow(pages, link):
    assert Kubeflow(None, "", pages, "ann").run_url("r") == link
    assert Kubeflow(None, "", pages, "").run_url("r") == f"{pages}/#/runs/details/r"


def test_a_login_page_in_place_of_an_answer_is_an_error(double, host):
    double.fail("GET", "healthz", login_page)
    with pytest.raises(UserError, match="a web page answers"):
        connect(Access(host))


def test_no_access_to_the_namespace_names_the_flag(double, host):
    double.multi_user, double.forbidden = True, "experiments"
    kubeflow = connect(Access(host, namespace="ann"))
    with pytest.raises(UserError, match=r"not allowed \(403\).*no access.*--namespace"):
        kubeflow.experiment("any")


def test_a_shared_server_needs_a_namespace(double, host):
    double.multi_user = True
    with pytest.raises(UserError, match="give your --namespace"):
        connect(Access(host))
    assert connect(Access(host, namespace="kubeflow")).namespace == "kubeflow"


def test_a_server_for_one_user_is_never_asked_for_a_namespace(double, host):
    assert connect(Access(host, namespace="ann")).namespace == ""


def test_an_older_server_is_named_with_its_release(double, host):
    double.version_2, double.release = False, "1.8.5"
    with pytest.raises(UserError, match=r"Kubeflow Pipelines 1\.8\.5 has no API v2beta1; upgrade"):
        connect(Access(host))


def test_a_host_that_is_something_else_is_named(double, host):
    double.fail("GET", "healthz", status(404), times=9)
    with pytest.raises(UserError, match="no Kubeflow Pipelines there"):
        connect(Access(host))


@pytest.mark.parametrize("behind_pages", [False, True])
@pytest.mark.parametrize(
    ("tag", "release"),
    [
        ("2.17.0", (2, 17, 0)),
        ("v2.15.1-rc.2", (2, 15, 1)),
        ("unknown", None),
        ("dev", None),
        ("master-55ec846", None),
    ],
)
def test_the_release_is_known_from_the_first_answer(double, host, behind_pages, tag, release):
    double.release, double.behind_pages = tag, behind_pages
    kubeflow = connect(Access(host))
    assert (kubeflow.tag, kubeflow.release) == (tag, release)
    assert len(double.requests) == 1


@pytest.mark.parametrize("tag", ["2.14.4", "2.5.0", "2.0.0"])
def test_a_release_before_2_15_is_too_old_to_run_the_pipeline(double, host, tag):
    double.release = tag
    with pytest.raises(UserError, match=f"Pipelines {tag} is too old .*; upgrade it to 2.15 or later"):
        connect(Access(host)).check_release()


@pytest.mark.parametrize("tag", ["2.15.0", "2.17.0", "3.0.0", "unknown"])
def test_any_other_release_may_run_it(double, host, tag):
    double.release = tag
    connect(Access(host)).check_release()


@pytest.mark.parametrize("fault", [status(500), status(503), status(429), truncated, cut_json])
def test_what_passes_is_tried_again(double, host, fault):
    double.fail("GET", "experiments", fault, times=2)
    assert connect(Access(host)).experiment("any") is None
    assert [path for _, path in double.requests].count("/apis/v2beta1/experiments") == 3


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (status(500), r"the server has a fault \(500\) \(injected\)"),
        (truncated, "cut off|broke off"),
        (cut_json, "cut off"),
        (slow(2), "no answer within 1 s"),
    ],
)
def test_what_does_not_pass_is_one_line(double, host, impatient, fault, says):
    double.fail("GET", "healthz", fault, times=9)
    with pytest.raises(ApiError, match=says) as refusal:
        connect(Access(host))
    assert "\n" not in str(refusal.value)


def test_nothing_at_the_address_is_found_out_within_half_a_minute():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    started = time.monotonic()
    with pytest.raises(
        UserError, match=f"--host http://127.0.0.1:{port}: nothing answers there.*port-forward"
    ):
        connect(Access(f"http://127.0.0.1:{port}"))
    assert time.monotonic() - started < 15


def test_an_answer_that_never_comes_is_given_up_within_half_a_minute():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(UserError, match="no answer within 10 s"):
            connect(Access(f"http://127.0.0.1:{port}"))
    assert time.monotonic() - started < 30


def test_a_name_that_does_not_exist_is_named():
    with pytest.raises(UserError, match="no such host"):
        connect(Access("http://no-such-host.invalid"))


def test_plain_http_behind_https_is_no_traceback(host):
    with pytest.raises(UserError, match="does not speak HTTPS"):
        connect(Access(host.replace("http://", "https://")))


@pytest.fixture
def authority(tmp_path):
    """A certificate for localhost that signs itself, in files."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here to make a certificate with")
    subprocess.run(command, check=True, capture_output=True)
    return key, certificate


@pytest.mark.process
def test_an_authority_of_ones_own_is_trusted_when_it_is_named(authority):
    key, certificate = authority
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with HTTPServer(ssl_context=context) as server:
        server.expect_request("/apis/v2beta1/healthz").respond_with_json({"multi_user": False})
        url = server.url_for("").rstrip("/")
        with pytest.raises(UserError, match=r"its certificate is not trusted; .*--ca-cert"):
            connect(Access(url))
        assert connect(Access(url, ca_cert=str(certificate))).host == url


def test_all_pages_are_read(double, kubeflow):
    for number in range(5):
        double.add_run(display_name=f"run {number}", experiment_id="e")
    assert [run.display_name for run in kubeflow.runs()] == [f"run {number}" for number in range(5)][::-1]
