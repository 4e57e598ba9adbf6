"""The compiled pipeline."""

import subprocess
import sys

import pytest
import yaml

from components.declaration import REQUIRED
from components.errors import UserError
from pipelines.compiled import CHECKED_IN, RENAMED, compile_pipeline, pipeline_inputs
from pipelines.local import for_one_machine
from pipelines.resources import REQUESTS


@pytest.fixture(scope="module")
def document():
    return next(yaml.safe_load_all(CHECKED_IN.read_text("utf-8")))


def test_the_checked_in_pipeline_is_what_the_code_compiles_to(tmp_path):
    compiled = compile_pipeline(tmp_path / "training.yaml").read_text("utf-8")
    assert compiled == CHECKED_IN.read_text("utf-8"), "stale: run `make pipeline`"


@pytest.mark.process
def test_compiling_never_loads_tensorflow(tmp_path):
    code = (
        "import sys; from pipelines.compiled import compile_pipeline; "
        f"compile_pipeline({str(tmp_path / 'p.yaml')!r}); sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_another_suffix_is_refused_and_nothing_written(tmp_path):
    with pytest.raises(UserError, match=r"\.yaml"):
        compile_pipeline(tmp_path / "pipeline.json")
    assert not list(tmp_path.iterdir())


def test_every_input_is_documented(document):
    inputs = document["root"]["inputDefinitions"]["parameters"]
    assert [name for name, spec in inputs.items() if not spec.get("description")] == []


def test_every_component_documents_its_inputs_and_outputs(document):
    silent = []
    for name, component in document["components"].items():
        if "executorLabel" not in component:
            continue
        for side in ("inputDefinitions", "outputDefinitions"):
            for kind in ("parameters", "artifacts"):
                for key, spec in component.get(side, {}).get(kind, {}).items():
                    injected = spec.get("parameterType") == "TASK_FINAL_STATUS"
                    if side == "inputDefinitions" and not injected and not spec.get("description"):
                        silent.append(f"{name}.{key}")
    assert silent == []


def _tasks(document):
    dags = [document["root"]["dag"], *(c["dag"] for c in document["components"].values() if "dag" in c)]
    return {name: task for dag in dags for name, task in dag["tasks"].items() if name in REQUESTS}


def test_every_step_is_in_the_graph_once(document):
    assert set(_tasks(document)) == set(REQUESTS)


def test_steps_that_look_at_the_world_outside_are_never_cached(document):
    tasks = _tasks(document)
    uncached = {name for name, task in tasks.items() if not task["cachingOptions"].get("enableCache")}
    assert uncached == {"prepare", "publish", "refuse", "notify"}


def test_steps_that_meet_bad_input_first_are_never_retried(document):
    tasks = _tasks(document)
    assert not [name for name in ("prepare", "ingest") if "retryPolicy" in tasks[name]]
    assert tasks["train"]["retryPolicy"]["maxRetryCount"] == 3


def test_every_step_is_ended_when_it_hangs():
    _, platform = yaml.safe_load_all(CHECKED_IN.read_text("utf-8"))
    configs = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    deadlines = {label: int(config["activeDeadlineSeconds"]) for label, config in configs.items()}
    assert set(deadlines) == {f"exec-{step}" for step in REQUESTS}
    assert max(deadlines, key=deadlines.get) == "exec-train"


def test_a_local_run_tries_each_step_once_in_the_image_that_was_named():
    package = CHECKED_IN.read_text("utf-8")
    assert "retryPolicy" in package
    local = for_one_machine(package, "twotower:mine")
    assert "retryPolicy" not in local
    executors = next(yaml.safe_load_all(local))["deploymentSpec"]["executors"].values()
    assert {executor["container"]["image"] for executor in executors} == {"twotower:mine"}


def test_a_local_run_finds_the_output_that_a_condition_reads():
    local = next(yaml.safe_load_all(for_one_machine(CHECKED_IN.read_text("utf-8"), "twotower:mine")))
    tasks = [
        task for one in local["components"].values() for task in one.get("dag", {}).get("tasks", {}).values()
    ]
    conditions = {
        task["taskInfo"]["name"]: task["triggerPolicy"]["condition"]
        for task in tasks
        if "triggerPolicy" in task
    }
    read = {name: condition.split("'")[1] for name, condition in conditions.items()}
    assert read == {
        "Not skipped": "pipelinechannel--prepare--skip",
        "Good enough": "pipelinechannel--evaluate--publish",
        "Not good enough": "pipelinechannel--evaluate--publish",
    }


def test_defaults_have_their_own_types():
    parameters = pipeline_inputs()
    assert parameters["ratings"].default is REQUIRED
    assert parameters["max_reject_rate"].default == 0.01
    wrong = [
        p.name for p in parameters.values() if p.default is not REQUIRED and type(p.default) is not p.type
    ]
    assert wrong == []


def test_the_image_is_a_parameter_of_every_step(document):
    images = {
        label: executor["container"]["image"]
        for label, executor in document["deploymentSpec"]["executors"].items()
    }
    assert images
    assert all("image" in image and "inputs.parameters" in image for image in images.values()), images


def test_what_a_component_can_be_told_the_pipeline_can_be_told(document):
    silent = []
    for name, task in _tasks(document).items():
        inputs = document["components"][f"comp-{name}"].get("inputDefinitions", {}).get("parameters", {})
        told = task.get("inputs", {}).get("parameters", {})
        silent += [
            f"{name}.{key}"
            for key, spec in inputs.items()
            if key not in told and "By hand only" not in spec.get("description", "")
        ]
    assert silent == []


def test_an_old_name_of_an_input_is_accepted_beside_the_new_one(document):
    inputs = set(document["root"]["inputDefinitions"]["parameters"])
    assert set(pipeline_inputs()) == inputs - set(RENAMED)
    assert set(RENAMED.values()) <= set(pipeline_inputs())


def test_an_old_input_reaches_the_step_that_resolves_it(document):
    tasks = _tasks(document)
    for step, parameter, old in (("export", "old_index_kind", "index"), ("batch", "old_k", "batch")):
        source = tasks[step]["inputs"]["parameters"][parameter]
        assert source == {"componentInputParameter": f"pipelinechannel--{old}"}
