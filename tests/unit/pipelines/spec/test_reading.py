"""How documents become pipelines, and what is said of those that do not."""

from typing import Any

import msgspec
import pytest

from beamhall.pipelines.spec.fields import MAX_PROBLEMS
from beamhall.pipelines.spec.ir import ParameterType, Strategy
from beamhall.pipelines.spec.reading import BadSpecification, read_pipeline
from tests.unit.pipelines.specs import put, spec, spec_of, task

PLATFORM = {
    "platforms": {
        "kubernetes": {
            "deploymentSpec": {
                "executors": {
                    "exec-a": {
                        "secretAsEnv": [{"secretName": "s", "keyToEnv": [{"secretKey": "k", "envVar": "V"}]}],
                        "pvcMount": [
                            {"constant": "disk", "mountPath": "/data"},
                            {"taskOutputParameter": {"producerTask": "a", "outputParameterKey": "name"}},
                            {"pvcNameParameter": {"componentInputParameter": "pvc"}, "constant": "old"},
                        ],
                        "activeDeadlineSeconds": "30",
                        "tolerations": [{"key": "x", "tolerationSeconds": "10"}],
                    }
                }
            },
            "pipelineConfig": {"workspace": {"size": "1Gi"}, "resourceTtlOnCompletion": 60},
        }
    }
}


def snaked(value: Any, *, keep: bool = False) -> Any:
    """Write the fields, but not the names that users gave, in snake case."""
    if isinstance(value, list):
        return [snaked(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key if keep else "".join("_" + c.lower() if c.isupper() else c for c in key): snaked(
            member, keep=key in ("executors", "components", "tasks", "parameters", "artifacts", "platforms")
        )
        for key, member in value.items()
    }


def test_a_pipeline_is_read() -> None:
    pipeline = read_pipeline(spec())
    assert pipeline.name == "p"
    assert pipeline.root.dag is not None
    task_a = pipeline.root.dag.tasks["a"]
    component = pipeline.component_of(task_a)
    assert component.input_definitions.parameters["n"].parameter_type is ParameterType.NUMBER_INTEGER
    assert component.input_definitions.parameters["text"].default_value is msgspec.UNSET
    container = pipeline.executor_of(component).container
    assert container is not None
    assert (container.image, container.command) == ("python:3.11", ("true",))
    assert [where for where, _, _ in pipeline.dags()] == ["root"]
    assert pipeline.warnings == ()


@pytest.mark.parametrize(
    "documents",
    [
        [spec(), PLATFORM],
        (PLATFORM, None, spec()),
        {"pipeline_spec": spec(), "platform_spec": PLATFORM},
        {"pipelineSpec": spec(), "platformSpec": PLATFORM},
        {"pipelineSpec": spec(), "platformSpec": PLATFORM, "displayName": "a job", "runtimeConfig": {}},
        snaked({"pipeline_spec": spec(), "platform_spec": PLATFORM}),
    ],
)
def test_a_platform_specification_is_read_in_every_form(documents: Any) -> None:
    pipeline = read_pipeline(documents)
    assert pipeline.spec == read_pipeline(spec()).spec
    config = pipeline.kubernetes_of(pipeline.spec.components["comp-a"])
    secret = config.secret_as_env[0]
    assert secret.secret_name_parameter is not None
    assert secret.secret_name_parameter.runtime_value is not None
    assert secret.secret_name_parameter.runtime_value.constant == "s"
    assert secret.key_to_env[0].key == "k"
    names = [mount.pvc_name_parameter for mount in config.pvc_mount]
    assert names[0] is not None
    assert names[0].runtime_value is not None
    assert names[0].runtime_value.constant == "disk"
    assert names[1] is not None
    assert names[1].producer == "a"
    assert names[2] is not None
    assert names[2].component_input_parameter == "pvc"
    assert (config.active_deadline_seconds, config.tolerations[0].toleration_seconds) == (30, 10)
    assert pipeline.config.workspace is not None
    assert (pipeline.config.workspace.size, pipeline.config.resource_ttl_on_completion) == ("1Gi", 60)


def test_older_forms_have_one_form() -> None:
    document = spec_of(
        {
            "a": task(
                inputs={
                    "parameters": {
                        "n": {"runtimeValue": {"constantValue": {"intValue": "7"}}},
                        "text": {"runtimeValue": {"constantValue": {"stringValue": "x"}}},
                    }
                },
                triggerPolicy={"strategy": 2},
                retryPolicy={"maxRetryCount": 3.0, "backoffDuration": "1.5s"},
                cachingOptions=None,
            )
        }
    )
    put(document, "components/comp-a/inputDefinitions/parameters/n", {"type": "INT"})
    put(document, "components/comp-a/inputDefinitions/parameters/x", {"type": "DOUBLE"})
    put(document, "components/comp-a/inputDefinitions/parameters/text", {"type": 3})
    executor = {
        "importer": {
            "artifactUri": {"runtimeParameter": "uri"},
            "properties": {"a": {"constantValue": {"doubleValue": 0.5}}},
            "customProperties": {"b": {"runtimeParameter": "text"}},
        }
    }
    put(document, "deploymentSpec/executors/exec-i", executor)
    put(document, "deploymentSpec/executors/exec-a/container/resources", {
        "cpuLimit": 2.5, "memoryLimit": 52, "memoryRequest": 1, "resourceMemoryRequest": "2Gi",
        "accelerator": {"type": "T4", "count": "2"},
    })  # fmt: skip
    pipeline = read_pipeline(document)
    assert pipeline.root.dag is not None
    found = pipeline.root.dag.tasks["a"]
    constants = {name: one.runtime_value.constant for name, one in found.inputs.parameters.items() if one.runtime_value}
    assert constants == {"n": 7, "text": "x"}
    assert found.trigger_policy.strategy is Strategy.COMPLETED
    assert found.runs_after_failure
    assert found.retry_policy is not None
    assert (found.retry_policy.max_retry_count, found.retry_policy.backoff_duration) == (3, 1.5)
    assert (found.retry_policy.backoff_factor, found.retry_policy.backoff_max_duration) == (2.0, 3600.0)
    assert not found.caching_options.enable_cache
    inputs = pipeline.spec.components["comp-a"].input_definitions.parameters
    assert [inputs[name].parameter_type.value for name in ("n", "x", "text")] == [
        "NUMBER_INTEGER", "NUMBER_DOUBLE", "STRING",
    ]  # fmt: skip
    importer = pipeline.spec.deployment_spec.executors["exec-i"].importer
    assert importer is not None
    assert importer.metadata == {"a": 0.5, "b": "{{$.inputs.parameters['text']}}"}
    container = pipeline.spec.deployment_spec.executors["exec-a"].container
    assert container is not None
    assert container.resources is not None
    assert container.resources.limits == {"cpu": "2.5", "memory": "52G"}
    assert container.resources.requests == {"memory": "2Gi"}
    assert container.resources.accelerators == ("T4", "2")


def test_null_is_a_constant_and_a_default() -> None:
    document = spec_of({"a": task(inputs={"parameters": {"n": {"runtimeValue": {"constant": None}}}})})
    put(document, "components/comp-a/inputDefinitions/parameters/text/defaultValue", None)
    pipeline = read_pipeline(document)
    assert pipeline.root.dag is not None
    value = pipeline.root.dag.tasks["a"].inputs.parameters["n"].runtime_value
    assert value is not None
    assert value.constant is None
    assert pipeline.spec.components["comp-a"].input_definitions.parameters["text"].default_value is None


def test_the_upstream_of_a_task_is_what_it_waits_for() -> None:
    inputs = {
        "parameters": {
            "n": {"taskOutputParameter": {"producerTask": "b", "outputParameterKey": "Output"}},
            "s": {"taskFinalStatus": {"producerTask": "c"}},
            "lr": {"componentInputParameter": "lr"},
        },
        "artifacts": {"data": {"taskOutputArtifact": {"producerTask": "d", "outputArtifactKey": "model"}}},
    }
    pipeline = read_pipeline(spec_of({"a": task(inputs=inputs, dependentTasks=["d", "e"])}))
    assert pipeline.root.dag is not None
    assert pipeline.root.dag.tasks["a"].upstream == ("d", "e", "b", "c")


A = "root/dag/tasks/a"
CONTAINER = "deploymentSpec/executors/exec-a/container"


@pytest.mark.parametrize(
    ("path", "value", "field", "words"),
    [
        ("components_1", {}, "components_1", "unknown field 'components_1'; did you mean 'components'?"),
        (f"{A}/componentref", {}, "root.dag.tasks['a'].componentref", "did you mean 'componentRef'?"),
        (f"{A}/qqq", {}, "root.dag.tasks['a'].qqq", "known here: artifactIterator, cachingOptions"),
        (f"{A}/component_ref", {}, "root.dag.tasks['a'].componentRef", "is given twice"),
        (f"{A}/dependentTasks", "b", "root.dag.tasks['a'].dependentTasks", "must be a list, is the text 'b'"),
        (f"{A}/dependentTasks", ["b", 1], "root.dag.tasks['a'].dependentTasks[1]", "must be text, is the number 1"),
        (f"{A}/inputs", [], "root.dag.tasks['a'].inputs", "must be an object, is a list"),
        (f"{A}/inputs", {"parameters": []}, "root.dag.tasks['a'].inputs.parameters", "must be an object, is a list"),
        (f"{A}/cachingOptions", {"enableCache": "yes"}, "root.dag.tasks['a'].cachingOptions.enableCache",
         "must be true or false, is the text 'yes'"),
        (f"{A}/retryPolicy", {"maxRetryCount": 1.5}, "root.dag.tasks['a'].retryPolicy.maxRetryCount",
         "must be a whole number, is the number 1.5"),
        (f"{A}/retryPolicy", {"maxRetryCount": True}, "root.dag.tasks['a'].retryPolicy.maxRetryCount", "is true"),
        (f"{A}/retryPolicy", {"backoffFactor": "nan"}, "root.dag.tasks['a'].retryPolicy.backoffFactor", "a number"),
        (f"{A}/retryPolicy", {"backoffDuration": "1m"}, "root.dag.tasks['a'].retryPolicy.backoffDuration", '"60s"'),
        (f"{A}/triggerPolicy", {"strategy": "ALWAYS"}, "root.dag.tasks['a'].triggerPolicy.strategy",
         "must be one of ALL_UPSTREAM_TASKS_SUCCEEDED, ALL_UPSTREAM_TASKS_COMPLETED; is the text 'ALWAYS'"),
        ("components/comp-a/inputDefinitions/parameters/n/parameterType", "INTEGER",
         "components['comp-a'].inputDefinitions.parameters['n'].parameterType", "NUMBER_INTEGER"),
        ("schemaVersion", "2.0.0", "schemaVersion", "must be 2.1.0, is '2.0.0'"),
        ("schemaVersion", ..., "schemaVersion", "must be given: 2.1.0"),
        ("schemaVersion", 2.1, "schemaVersion", "must be text, is the number 2.1; quote it"),
        (CONTAINER + "/image", None, "", ""),
        (CONTAINER + "/command", [None], "deploymentSpec.executors['exec-a'].container.command[0]", "is null"),
        ("deploymentSpec/executors/exec-a/resolver", {}, "deploymentSpec.executors['exec-a'].resolver", "not served"),
        ("deploymentSpec/executors/exec-a/customJob", {"a": 1}, "deploymentSpec.executors['exec-a'].customJob",
         "only Vertex AI executes it"),
        ("root", [], "root", "must be an object, is a list"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_by_its_path(path: str, value: Any, field: str, words: str) -> None:
    document = put(spec(), path, value)
    if not field:
        read_pipeline(document)
        return
    with pytest.raises(BadSpecification) as caught:
        read_pipeline(document)
    told = {cause.field: cause.message for cause in caught.value.causes}
    assert words in told[field]
    assert field in caught.value.message
    assert caught.value.code == 400


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        (None, "must be an object, is null"),
        ("x", "must be an object, is the text 'x'"),
        ([], "there is no document"),
        ([None], "there is no document"),
        ([spec(), spec()], "there are 2 documents"),
        ([spec(), PLATFORM, PLATFORM], "there are 3 documents"),
        ([1, PLATFORM], "must be an object, is the number 1"),
        ({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow"}, "this is argoproj.io/v1alpha1 Workflow"),
        ({"pipeline_spec": spec(), "platform_spec": []}, "platform_spec: must be an object"),
        ({"pipeline_spec": spec(), "platform_specs": {}}, "unknown field 'platform_specs'"),
        ({"pipeline_spec": 3}, "is the number 3"),
        ({}, "schemaVersion: must be given"),
        ({1: 2}, "unknown field '1'"),
        ({"components": {1: {}}}, "components[1]: a name must be text"),
    ],
)
def test_what_is_no_pipeline_is_refused(documents: Any, words: str) -> None:
    with pytest.raises(BadSpecification, match="invalid pipeline") as caught:
        read_pipeline(documents)
    assert words in caught.value.message


def test_all_mistakes_are_told_at_once_within_reason() -> None:
    document = spec_of({f"t{number}": task(nonsense=1) for number in range(3)})
    with pytest.raises(BadSpecification) as caught:
        read_pipeline(document)
    assert len(caught.value.causes) == 3
    with pytest.raises(BadSpecification) as caught:
        read_pipeline(spec_of({f"t{number}": task(nonsense=1) for number in range(1000)}))
    assert len(caught.value.causes) == MAX_PROBLEMS
    assert "and 95 more" in caught.value.message


def test_what_changes_nothing_is_passed_over() -> None:
    document = put(spec(), f"{A}/description", "d")
    put(document, "x-origin", 1)
    put(document, "root/_comment", "c")
    assert read_pipeline(document).warnings == ()


def test_what_a_platform_asks_beyond_what_is_known_is_a_warning() -> None:
    platform: dict[str, Any] = {
        "platforms": {
            "kubernetes": {"deploymentSpec": {"executors": {"exec-a": {"newThing": {}}, "exec-q": {}}}},
            "vertex": {},
        }
    }
    pipeline = read_pipeline([spec(), platform])
    told = {cause.field: cause.message for cause in pipeline.warnings}
    executors = "platforms['kubernetes'].deploymentSpec.executors"
    assert "unknown field 'newThing' is passed over" in told[f"{executors}['exec-a'].newThing"]
    assert "there is no executor 'exec-q'" in told[f"{executors}['exec-q']"]
    assert "only 'kubernetes' is served" in told["platforms['vertex']"]


def test_a_platform_specification_of_wrong_shape_is_refused() -> None:
    with pytest.raises(BadSpecification) as caught:
        read_pipeline([spec(), put({"platforms": {}}, "platforms/kubernetes/deploymentSpec/executors/exec-a", {
            "pvcMount": {}
        })])  # fmt: skip
    assert caught.value.causes[0].field == "platforms['kubernetes'].deploymentSpec.executors['exec-a'].pvcMount"
