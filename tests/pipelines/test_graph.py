"""The shape of the compiled graph, and what the oldest server that is supported makes of it."""

import json
import re
from pathlib import Path

import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

from pipelines.compiled import CHECKED_IN, compile_pipeline
from pipelines.kubeflow.pods import ANY_USER, PodSettings
from pipelines.resources import REQUESTS

# The schemas of KFP 2.15.0 (kfp-pipeline-spec and kfp-kubernetes of that release), as serialised descriptors.
_OLDEST = Path(__file__).with_name("kfp_2_15_0")

# The inputs of the pipeline of 0.1.0 with their types and defaults.
_INPUTS_OF_THE_LAST_RELEASE = Path(__file__).with_name("inputs_0_1_0.json")


@pytest.fixture(scope="module")
def documents():
    return list(yaml.safe_load_all(CHECKED_IN.read_text("utf-8")))


@pytest.fixture(scope="module")
def graph(documents):
    return documents[0]


def _tasks_of(graph, component=None):
    dag = graph["root"]["dag"] if component is None else graph["components"][component].get("dag")
    return dag["tasks"] if dag else {}


def _levels(graph, component=None) -> int:
    below = [_levels(graph, task["componentRef"]["name"]) for task in _tasks_of(graph, component).values()]
    return 1 + max(below, default=0)


def _longest(graph, component=None) -> int:
    """The most steps of a component that run one after another."""
    tasks = _tasks_of(graph, component)
    if not tasks:
        return 1
    until: dict[str, int] = {}

    def end(name: str) -> int:
        if name not in until:
            task = tasks[name]
            before = max(map(end, task.get("dependentTasks", [])), default=0)
            until[name] = before + _longest(graph, task["componentRef"]["name"])
        return until[name]

    return max(map(end, tasks))


def test_at_most_five_levels_since_each_multiplies_retries_and_costs_a_pod(graph):
    assert _levels(graph) == 5


def test_at_most_eight_steps_one_after_another(graph):
    assert _longest(graph) == 8


def test_the_gate_is_a_condition_with_a_name(graph):
    conditions = {
        task["taskInfo"]["name"]: task["triggerPolicy"]["condition"]
        for component in graph["components"]
        for task in _tasks_of(graph, component).values()
        if "condition" in task.get("triggerPolicy", {})
    }
    assert set(conditions) == {"Not skipped", "Good enough", "Not good enough"}
    assert conditions["Good enough"].endswith("== true")
    assert conditions["Not good enough"].endswith("== false")


def _seconds(duration: str) -> int:
    (number,) = re.findall(r"^(\d+)s$", duration)
    return int(number)


def test_the_window_of_the_retries_holds_all_attempts_and_pauses(documents):
    graph, platform = documents
    limits = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    tasks = {name: task for c in [None, *graph["components"]] for name, task in _tasks_of(graph, c).items()}
    retried = {name: task["retryPolicy"] for name, task in tasks.items() if "retryPolicy" in task}
    assert set(retried) == {name for name, request in REQUESTS.items() if request.retries}
    for name, policy in retried.items():
        attempts = policy["maxRetryCount"] + 1
        pauses = sum(
            _seconds(policy["backoffDuration"]) * policy["backoffFactor"] ** number
            for number in range(policy["maxRetryCount"])
        )
        limit = int(limits[f"exec-{name}"]["activeDeadlineSeconds"])
        assert _seconds(policy["backoffMaxDuration"]) > attempts * limit + pauses, name


@pytest.fixture(scope="module")
def oldest():
    """Parses a document strictly as a message of KFP 2.15.0."""
    from google.rpc import status_pb2

    pool = descriptor_pool.DescriptorPool()
    for file in (
        "google/protobuf/duration.proto",
        "google/protobuf/struct.proto",
        "google/protobuf/any.proto",
    ):
        pool.AddSerializedFile(descriptor_pool.Default().FindFileByName(file).serialized_pb)
    pool.AddSerializedFile(status_pb2.DESCRIPTOR.serialized_pb)
    for name in ("pipeline_spec", "kubernetes_executor_config"):
        file = descriptor_pb2.FileDescriptorProto.FromString((_OLDEST / f"{name}.binpb").read_bytes())
        pool.Add(file)

    def parse(document, message):
        made = message_factory.GetMessageClass(pool.FindMessageTypeByName(message))()
        return json_format.ParseDict(document, made)

    return parse


def _check(oldest, documents):
    graph, platform = documents
    oldest(graph, "ml_pipelines.PipelineSpec")
    oldest(platform, "ml_pipelines.PlatformSpec")
    for config in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
        oldest(config, "kfp_kubernetes.KubernetesExecutorConfig")


def test_the_oldest_server_knows_every_field_of_the_graph(oldest, graph):
    oldest(graph, "ml_pipelines.PipelineSpec")
    with pytest.raises(json_format.ParseError, match="unheard"):
        oldest({**graph, "unheard": 1}, "ml_pipelines.PipelineSpec")


def test_the_oldest_server_knows_what_flags_of_the_site_add(oldest, tmp_path):
    pods = PodSettings(
        image="registry.example.com/twotower:1.2.3",
        node_selectors=("pool=training",),
        tolerations=("dedicated=training:NoSchedule",),
        image_pull_secrets=("registry-key",),
        volumes=("twotower:/data",),
        gcs_secret="gcs-key",
        s3_secret="mlpipeline-minio-artifact",
        webhook_secret="chat",
        accelerators=("nvidia.com/gpu:1",),
        profile="small",
        envs=("TZ=UTC", "AWS_ENDPOINT_URL=http://seaweedfs.kubeflow:9000"),
        labels=("team=films",),
        image_pull_policy="IfNotPresent",
        run_as=ANY_USER,  # by default it says that no step is root, which servers know since 2.16
    )
    package = compile_pipeline(tmp_path / "pipeline.yaml", pods)
    _check(oldest, list(yaml.safe_load_all(package.read_text("utf-8"))))


def test_inputs_are_only_added_and_with_defaults(graph):
    """Schedules that take the newest version go on with the inputs that they send."""
    inputs = graph["root"]["inputDefinitions"]["parameters"]
    before = json.loads(_INPUTS_OF_THE_LAST_RELEASE.read_text("utf-8"))
    for name, spec in before.items():
        assert inputs[name]["parameterType"] == spec["parameterType"], name
        assert ("defaultValue" in inputs[name]) == ("defaultValue" in spec), name
    added = {name: spec for name, spec in inputs.items() if name not in before}
    assert [name for name, spec in added.items() if "defaultValue" not in spec] == []


def test_a_champion_that_is_ignored_is_ignored_by_every_step_that_would_load_it(graph):
    inputs = {
        name: task["inputs"]["parameters"]
        for component in (None, *graph["components"])
        for name, task in _tasks_of(graph, component).items()
        if name in ("prepare", "evaluate")
    }
    for name in ("prepare", "evaluate"):
        assert "ignore_champion" in inputs[name]["ignore_champion"]["componentInputParameter"], name
