"""Where the host and the secrets come from, and that secrets stay where they are."""

import pytest

from components.errors import UserError
from pipelines.kubeflow.access import access
from pipelines.kubeflow.client import connect

_SECRET = "hush-hush-token"


def test_the_file_goes_before_the_environment_and_a_token_before_cookies(tmp_path):
    file = tmp_path / "token"
    file.write_text(f"{_SECRET}\n")
    environment = {"TWOTOWER_TOKEN": "other", "TWOTOWER_COOKIES": "session=1"}
    assert access("h", token_file=str(file), environment=environment).token_file == str(file)
    assert access("h", environment=environment).token == "other"
    assert access("h", environment={"TWOTOWER_COOKIES": " session=1\n"}).cookies == "session=1"


def test_no_secret_is_in_the_text_of_an_access():
    found = access("h", environment={"TWOTOWER_TOKEN": _SECRET})
    assert found.token == _SECRET
    assert _SECRET not in repr(found)


def test_in_a_pod_the_cluster_is_the_host_and_the_service_account_the_user(tmp_path):
    file = tmp_path / "token"
    file.write_text(_SECRET)
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KF_PIPELINES_SA_TOKEN_PATH": str(file)}
    found = access(environment=pod)
    assert found.host == "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
    assert found.token_file == str(file)


def test_the_pods_token_is_sent_to_no_other_host(tmp_path):
    file = tmp_path / "token"
    file.write_text(_SECRET)
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KF_PIPELINES_SA_TOKEN_PATH": str(file)}
    assert access("https://kubeflow.example.com", environment=pod).token_file == ""


def test_the_pages_may_be_at_another_address_than_the_api(host):
    environment = {"KF_PIPELINES_UI_ENDPOINT": "https://kubeflow.example.com/pipeline/"}
    kubeflow = connect(access(host, environment=environment))
    assert kubeflow.run_url("r") == "https://kubeflow.example.com/pipeline/#/runs/details/r"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("kubeflow.example.com/pipeline/", "https://kubeflow.example.com/pipeline"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("https://h/pipeline/#/runs", "https://h/pipeline"),
    ],
)
def test_the_address_of_a_page_is_an_address(host, url):
    assert access(host, environment={}).host == url


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        ({}, {}, "no host: give --host"),
        ({"host": "ftp://h"}, {}, "--host ftp://h: not a URL"),
        ({"host": "two words"}, {}, "not a URL"),
        ({"host": f"https://ann:{_SECRET}@h"}, {}, "a password does not belong"),
        ({"host": "h", "token_file": "/no/such"}, {}, "--token-file /no/such: cannot be read"),
        ({"host": "h", "cookies_file": "/no/such"}, {}, "--cookies-file /no/such: cannot be read"),
        ({"host": "h", "ca_cert": "/no/such"}, {}, "--ca-cert /no/such: no such file"),
        (
            {"host": "h"},
            {"TWOTOWER_TOKEN": f"{_SECRET}\nX-Other: 1"},
            "TWOTOWER_TOKEN: it must hold one line",
        ),
        ({"host": "h"}, {"TWOTOWER_TOKEN": " \n"}, "TWOTOWER_TOKEN: it is empty"),
    ],
)
def test_what_cannot_be_used_is_named_without_its_value(arguments, environment, says):
    with pytest.raises(UserError, match=says) as refusal:
        access(**arguments, environment=environment)
    assert _SECRET not in str(refusal.value)
