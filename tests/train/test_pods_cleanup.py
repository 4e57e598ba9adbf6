"""What the exit handler does about the workers of a run."""

import pytest
from training_pods import RUN

from components.publish.step import notify
from components.train.pods.api import Api
from components.train.pods.cleanup import clean_up
from components.train.pods.launch import Launcher


@pytest.fixture
def abandoned(pods, monkeypatch):
    """Workers whose step was killed."""
    monkeypatch.setattr(Api, "of_this_pod", lambda: pods.launcher.api)
    pods.exchange.beat()
    pods.launcher.create(2, pods.exchange.root, same_node=False)
    pods.double.run(0)
    pods.double.requests.clear()
    return pods


def test_the_exit_handler_deletes_what_the_workers_of_its_run_left(abandoned, tmp_path):
    abandoned.double.add_pod("other", "another-run")
    assert len(abandoned.left()) == 6
    handled = {"registry": str(tmp_path / "registry"), "run_id": RUN}
    notify(**handled, checkpoint_root=str(abandoned.root), workers=2)
    assert abandoned.left() == ["pods/other"]


def test_with_one_worker_nothing_is_asked(abandoned, tmp_path):
    handled = {"registry": str(tmp_path / "registry"), "run_id": RUN}
    notify(**handled, checkpoint_root=str(abandoned.root), workers=1)
    assert abandoned.double.requests == []
    assert len(abandoned.left()) == 5


def test_files_go_once_the_pods_have_ended(abandoned):
    abandoned.double.ending = 7
    clean_up(RUN, str(abandoned.root))
    assert abandoned.left() == []
    assert abandoned.double.ending == 0


@pytest.mark.parametrize("right", ["list jobs", "delete services", "delete pods"])
def test_without_the_right_it_says_so_and_ends_well(abandoned, capsys, right):
    abandoned.double.add_pod("orphan", RUN)
    abandoned.double.forbidden = {right}
    clean_up(RUN, str(abandoned.root))
    told = capsys.readouterr().err
    assert f"`kubectl delete jobs,services,pods -l twotower/run={RUN}` deletes them" in told
    assert "docs/workers-role.yaml" in told
    assert not [path for path in abandoned.root.rglob("*") if path.is_file()]


def test_pods_that_do_not_end_are_named(abandoned, capsys):
    abandoned.double.ending = 1000
    clean_up(RUN, str(abandoned.root))
    assert "does not end" in capsys.readouterr().err


def test_outside_a_cluster_only_the_files_go(abandoned, monkeypatch):
    monkeypatch.setattr(Api, "of_this_pod", lambda: None)
    clean_up(RUN, str(abandoned.root))
    assert abandoned.double.requests == []
    assert not [path for path in abandoned.root.rglob("*") if path.is_file()]


def test_a_run_id_that_leads_out_of_the_directory_deletes_nothing(abandoned):
    clean_up("../..", str(abandoned.root))
    assert len(abandoned.left()) == 5


def test_the_pods_of_a_job_stay_unless_the_deletion_says_otherwise(abandoned):
    abandoned.launcher.api._object("delete", "job", abandoned.job)
    assert len(abandoned.double.all("pods")) == 2


def test_a_launcher_is_found_by_the_name_of_its_pod(abandoned, monkeypatch):
    manifest = abandoned.launcher.pod.manifest
    name = manifest["metadata"]["name"]
    abandoned.double.objects["pods", name] = dict(manifest)
    monkeypatch.setenv("KFP_POD_NAME", name)
    assert Launcher.find(2).pod.run == RUN
