"""What a started task becomes: the ExecutorInput, the Pod, where its files are."""

from typing import Any

import pytest

from beamhall.history.records import task_id
from beamhall.pipelines.steps.values import BadStep
from tests.unit.pipelines.steps.starts import DATASET, OneTask, dataset, problems_of

LIGHTWEIGHT = {
    "image": "python:3.11",
    "command": ["sh", "-c", 'pip install x && "$0" "$@"\n', "sh", "-ec", "program", "source {{x}}"],
    "args": ["--executor_input", "{{$}}", "--function_to_execute", "train"],
}
ROOT = "/data/artifacts/digits/8c1d9f1e-33aa-4f34-9a2c-9d7be7f00c11/train/0"


def test_the_executor_input_of_a_lightweight_component() -> None:
    one = OneTask(
        LIGHTWEIGHT,
        inputs={"n": "NUMBER_INTEGER", "xs": "LIST", "absent": {"parameterType": "STRING", "isOptional": True}},
        given={"n": 3.0, "xs": [1.0, {"a": 2.0}]},
        artifacts={"data": dataset("/data/artifacts/x", metadata={"rows": 7.0})},
        outputs={"Output": "NUMBER_DOUBLE"},
        makes={"model": {"artifactType": {"schemaTitle": "system.Model"}, "metadata": {"framework": "none"}}},
    )
    step = one.step()
    assert step.executor_input == {
        "inputs": {
            "parameterValues": {"n": 3, "xs": [1, {"a": 2}]},
            "artifacts": {
                "data": {
                    "artifacts": [
                        {
                            "name": "data",
                            "type": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"},
                            "uri": "/data/artifacts/x",
                            "metadata": {"rows": 7.0},
                        }
                    ]
                }
            },
        },
        "outputs": {
            "parameters": {"Output": {"outputFile": f"{ROOT}/parameters/Output"}},
            "artifacts": {
                "model": {
                    "artifacts": [
                        {
                            "name": "model",
                            "type": {"schemaTitle": "system.Model"},
                            "uri": f"{ROOT}/model",
                            "metadata": {"framework": "none"},
                        }
                    ]
                }
            },
            "outputFile": f"{ROOT}/executor_output.json",
        },
    }
    assert step.root == ROOT
    assert step.result_files == (f"{ROOT}/executor_output.json", f"{ROOT}/parameters/Output")
    assert step.directories == (f"{ROOT}/parameters",)


def test_metadata_of_older_sdks_comes_from_inputs() -> None:
    one = OneTask(
        inputs={"n": "NUMBER_INTEGER"},
        given={"n": 3.0},
        makes={"m": {**DATASET, "customProperties": {"rows": {"runtimeParameter": "n"}}}},
    )
    (told,) = one.step().executor_input["outputs"]["artifacts"]["m"]["artifacts"]
    assert told["metadata"] == {"rows": "3"}
    assert one.outputs().artifacts["m"][0].metadata == {"rows": "3"}


def test_a_list_of_no_artifacts_is_absent() -> None:
    step = OneTask(artifacts={"data": dataset("/data/d")}, refs={"data": ()}).step()
    assert step.executor_input["inputs"]["artifacts"] == {}


def test_the_pod_of_a_lightweight_component() -> None:
    one = OneTask(LIGHTWEIGHT, inputs={"n": "NUMBER_INTEGER"}, given={"n": 3.0}, facts={"service_account": "trainer"})
    pod = one.pod()
    assert problems_of(one.pod()) == []
    assert pod["metadata"]["name"].startswith("digits-train-")
    assert pod["metadata"]["namespace"] == "lab"
    assert pod["metadata"]["labels"]["pipeline/runid"] == one.facts.run_id
    assert pod["metadata"]["labels"]["pipelines.beamhall.io/attempt"] == "0"
    assert pod["metadata"]["annotations"] == {"pipelines.beamhall.io/path": "/train", "status.beamhall/brief": "true"}
    assert pod["spec"]["restartPolicy"] == "Never"
    assert pod["spec"]["serviceAccountName"] == "trainer"
    container = pod["spec"]["containers"][0]
    assert container["name"] == "main"
    assert container["command"] == LIGHTWEIGHT["command"]
    text = (
        '{"inputs":{"parameterValues":{"n":3}},'
        f'"outputs":{{"outputFile":"{ROOT}/executor_output.json"}}}}'
    )  # fmt: skip
    assert container["args"] == ["--executor_input", text, "--function_to_execute", "train"]
    assert [variable["name"] for variable in container["env"]] == [
        "KF_PIPELINES_SA_TOKEN_PATH", "KFP_POD_NAME", "KFP_POD_UID", "NAMESPACE",
    ]  # fmt: skip


def test_every_attempt_has_a_name_and_a_directory_of_its_own_and_always_the_same() -> None:
    one = OneTask()
    first, again, second = one.step(), one.step(), one.step(1)
    assert first == again
    assert first.name != second.name
    assert first.root != second.root


def test_placeholders_are_filled_everywhere() -> None:
    one = OneTask(
        {
            "image": "{{$.inputs.parameters['image']}}",
            "command": ["run", '{"IfPresent": {"InputName": "x", "Then": ["--x", "{{$.inputs.parameters[\'x\']}}"]}}'],
            "args": [
                "{{$.outputs.parameters['score'].output_file}}",
                "{{$.outputs.artifacts['model'].path}}",
                "{{$.inputs.artifacts['data'].uri}}",
                '{"Concat": ["job=", "{{$.pipeline_job_name}}"]}',
                "{{$.pipeline_task_name}}",
            ],
            "env": [{"name": "N", "value": "{{$.inputs.parameters['n']}}"}],
            "resources": {
                "resourceCpuLimit": "{{$.inputs.parameters['cpu']}}",
                "resourceMemoryRequest": "1Gi",
                "memoryLimit": 2.0,
                "accelerator": {"resourceType": "nvidia.com/gpu", "resourceCount": "{{$.inputs.parameters['n']}}"},
            },
        },
        inputs={"image": "STRING", "x": "STRING", "n": "NUMBER_INTEGER", "cpu": "STRING"},
        given={"image": "python:3.12", "x": "a b", "n": 2.0, "cpu": "500m"},
        artifacts={"data": dataset("s3://bucket/d")},
        outputs={"score": "NUMBER_DOUBLE"},
        makes={"model": DATASET},
    )
    assert problems_of(one.pod()) == []
    container = one.container()
    assert container["image"] == "python:3.12"
    assert container["command"] == ["run", "--x", "a b"]
    assert container["args"] == [
        f"{ROOT}/parameters/score", f"{ROOT}/model", "s3://bucket/d", "job=Run of today", "train",
    ]  # fmt: skip
    assert container["env"][1] == {"name": "N", "value": "2"}
    assert container["resources"] == {
        "limits": {"cpu": "500m", "memory": "2G", "nvidia.com/gpu": "2"}, "requests": {"memory": "1Gi"},
    }  # fmt: skip


@pytest.mark.parametrize("when", ["BEFORE", "AFTER", "ON_ERROR"])
def test_a_step_that_is_to_be_held_runs_below_the_launcher(when: str) -> None:
    asked = {"name": f"ARGO_DEBUG_PAUSE_{when}", "value": "true"}
    launcher = {"launcher": ("beamhall-launcher",)}
    pod = OneTask({"image": "i", "command": ["run"], "env": [asked]}, facts=launcher).pod()
    container = pod["spec"]["containers"][0]
    assert container["command"] == ["beamhall-launcher", "--", "run"]
    assert {"name": "BEAMHALL_TRANSFERS", "value": '{"fetch":[],"store":[]}'} in container["env"]
    assert container["volumeMounts"] == [{"name": "var-run-argo", "mountPath": "/var/run/argo"}]
    assert problems_of(pod) == []
    for other in (
        {"image": "i", "env": [asked]},
        {"image": "i", "command": ["run"], "env": [{**asked, "value": "no"}]},
    ):
        assert OneTask(other, facts=launcher).container().get("command", ["run"]) == ["run"]


def test_a_constant_may_name_the_job_and_a_value_may_not() -> None:
    one = OneTask(
        inputs={"a": "STRING", "b": "STRING", "c": "STRUCT"},
        given={
            "a": "{{$.pipeline_task_uuid}}/{{$.pipeline_job_uuid}}",
            "b": "{{$.inputs.artifacts['data'].uri}}: {{$.inputs.parameters['evil']}}",
            "c": {"at": "{{$.pipeline_job_create_time_utc}}", "of": ["{{$.pipeline_job_resource_name}}"]},
        },
        artifacts={"data": dataset("/data/d")},
        gave={"evil": "{{$.pipeline_job_name}}{{$}}"},
        task_inputs={"evil": {"taskOutputParameter": {"producerTask": "before", "outputParameterKey": "evil"}}},
    )
    values = one.step().executor_input["inputs"]["parameterValues"]
    assert "{{" not in values["a"]
    assert values["a"] == f"{task_id(one.facts.run_id, '/train')}/8c1d9f1e-33aa-4f34-9a2c-9d7be7f00c11"
    assert values["b"] == "/data/d: {{$.pipeline_job_name}}{{$}}"
    assert values["c"] == {"at": "2026-11-25T12:30:45Z", "of": [one.facts.resource_name]}
    assert "evil" not in values


def test_accelerators_of_older_sdks_get_the_names_of_devices() -> None:
    for kind, name in (("NVIDIA_TESLA_K80", "nvidia.com/gpu"), ("nvidia.com/mig-1g", "nvidia.com/mig-1g")):
        one = OneTask({"image": "python", "resources": {"accelerator": {"type": kind, "count": "1"}}})
        assert one.container()["resources"] == {"limits": {name: "1"}}


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"image": "{{$.inputs.parameters['none']}}"}, "the image"),
        (
            {"image": "i", "resources": {"resourceCpuLimit": "many"}},
            "resources.limits[cpu] is 'many', which is no",
        ),
        ({"image": "i", "args": ["{{$.workspace_path}}/x"]}, "uses the workspace, but the pipeline has none"),
    ],
)
def test_what_cannot_be_made_into_a_pod_is_told(container: dict[str, Any], message: str) -> None:
    with pytest.raises(BadStep, match="task 'train'") as caught:
        OneTask(container).step()
    assert message in str(caught.value)
