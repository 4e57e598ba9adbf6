"""Inputs of the pipeline as people write them."""

import pytest

from components.errors import UserError
from pipelines.kubeflow.pods import PodSettings
from pipelines.kubeflow.submit import check_image, parse_arguments, pipeline_arguments

_NEEDED = ["ratings=gs://b/r.csv", "registry=gs://b/registry"]


def test_every_value_has_the_inputs_own_type(parameters):
    texts = [
        *_NEEDED,
        "seed=7",
        "max-reject-rate=0.5",
        'train_settings={"dimension": 64}',
        "fail_when_refused=Yes",
    ]
    assert parse_arguments(texts, parameters) == {
        "ratings": "gs://b/r.csv",
        "registry": "gs://b/registry",
        "seed": 7,
        "max_reject_rate": 0.5,
        "train_settings": {"dimension": 64},
        "fail_when_refused": True,
    }


def test_a_value_may_hold_an_equals_sign(parameters):
    assert parse_arguments(["ratings=/a=b", _NEEDED[1]], parameters)["ratings"] == "/a=b"


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["seed"], "--param seed: write it as name=value"),
        (["sed=7"], "no input sed; did you mean seed?"),
        (["qqq=7"], "no input qqq; it has fail_when_refused, image"),
        (["seed=7", "seed=8"], "--param seed: given twice"),
        (["seed=7.5"], "--param seed=7.5: give a whole number"),
        (["max_reject_rate=much"], "--param max_reject_rate=much: give a number"),
        (["fail_when_refused=maybe"], "give true or false"),
        (["train_settings=[1]"], "not a JSON object"),
        ([_NEEDED[1]], "needs a value for ratings; add --param ratings="),
        (["ratings=", _NEEDED[1]], "needs a value for ratings"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_cure(parameters, texts, says):
    with pytest.raises(UserError) as refusal:
        parse_arguments(texts, parameters)
    assert says in str(refusal.value)


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["workers=0"], "--workers 0: give a whole number, at least 1"),
        (["gate=off"], "--gate off: give enforce, report or strict"),
        (["index_kind=annoy"], "--index-kind annoy: give brute-force, scann or auto"),
        (["workers=4"], "--workers 4 needs --checkpoint-root, a place that all pods share"),
        (["workers=4", "preset=notebook", "checkpoint_root=gs://b/c"], "notebook trains in one process"),
        (
            ['train_settings={"stepps": 5}'],
            "--train-settings: there is no setting 'stepps'; did you mean 'steps'?",
        ),
        (['train_settings={"epochs": 0}', "preset=notebook"], "--train-settings: epochs is 0"),
        (["time_budget=2"], "--time-budget 2 is too short"),
        (["movies=-"], "--param movies=-: a cluster does not have the standard input; name a file"),
        (["forget=-"], "--param forget=-: a cluster does not have the standard input; name a file"),
        (["batch_shards=0"], "--batch-shards 0: give a whole number, at least 1"),
        (["batch_shards=4"], "--param batch_shards=4 needs --param checkpoint_root=…, which all pods share"),
        (["batch_k=-3"], "--batch-k -3: give a whole number, at least 0"),
        (["batch_where=year"], '--batch-where "year" is no condition; write a column'),
        (["batch_diversity=2"], "--batch-diversity 2: give a number, 0 to 1"),
        (["columns=user"], "--columns user is not understood"),
        (["rating_scale=5"], "--rating-scale 5 is not understood"),
        (["min_top_100_accuracy=50"], "--min-top-100-accuracy 50: give a number, 0 to 1"),
        (["max_rmse=-1"], "--max-rmse -1: give a number, at least 0"),
        (["preset=foo"], "--preset foo: give default or notebook"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_sent(texts, says):
    with pytest.raises(UserError) as refusal:
        pipeline_arguments([*_NEEDED, *texts], PodSettings(image="r.io/twotower:1.0"))
    assert says in str(refusal.value)


def test_workers_with_a_place_are_sent():
    texts = [*_NEEDED, "workers=4", "checkpoint_root=gs://b/c"]
    assert pipeline_arguments(texts, PodSettings(image="r.io/twotower:1.0"))["workers"] == 4


@pytest.mark.parametrize("image", ["r.io/twotower", "r.io:5000/twotower", "r.io/twotower:latest"])
def test_a_tag_that_can_move_is_refused(image):
    with pytest.raises(UserError, match="its tag can move"):
        check_image(image)


@pytest.mark.parametrize("image", ["r.io:5000/twotower:1.0", f"r.io/twotower@sha256:{'0' * 64}"])
def test_a_tag_of_a_version_or_a_digest_is_taken(image):
    check_image(image)


def test_an_image_without_registry_is_remarked_on(capsys):
    check_image("twotower:0.1.0")
    assert "every node must have it" in capsys.readouterr().err


def test_inputs_are_accepted_by_their_names_of_the_last_release(capsys):
    texts = [*_NEEDED, "index=auto", "batch=5"]
    arguments = pipeline_arguments(texts, PodSettings(image="r.io/twotower:1.0"))
    assert (arguments["index_kind"], arguments["batch_k"]) == ("auto", 5)
    assert not {"index", "batch"} & set(arguments)
    assert "--param index is now index_kind; the old name" in capsys.readouterr().err
    with pytest.raises(UserError, match="--param index_kind: given twice"):
        pipeline_arguments([*texts, "index_kind=auto"], PodSettings(image="r.io/twotower:1.0"))
