"""What a step left behind, and the outputs that it comes to."""

import json
from typing import Any

import pytest

from beamhall.pipelines.engine.values import ArtifactRef, Outputs
from beamhall.pipelines.steps.metrics import metrics_of
from beamhall.pipelines.steps.values import BadOutput
from tests.unit.pipelines.steps.starts import DATASET, OneTask, dataset

RUN = "/data/artifacts/digits/8c1d9f1e-33aa-4f34-9a2c-9d7be7f00c11"
ROOT = f"{RUN}/train/0"
MODEL = {"artifactType": {"schemaTitle": "system.Model"}, "metadata": {"framework": "none"}}


def told(parameters: Any = None, artifacts: Any = None) -> bytes:
    made = {"parameterValues": parameters, "artifacts": artifacts}
    return json.dumps({key: value for key, value in made.items() if value is not None}).encode()


def parameter(kind: str, **files: bytes | None) -> Any:
    return OneTask(outputs={"out": kind}).outputs(**files).parameters["out"]


def artifact(entry: Any, **what: Any) -> ArtifactRef:
    """Give the output ``model`` of a step that told this of it."""
    one = OneTask(makes={"model": MODEL}, **what)
    return one.outputs(told=told(artifacts={"model": {"artifacts": [entry]}})).artifacts["model"][0]


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        ("NUMBER_INTEGER", 3.0, 3),
        ("NUMBER_DOUBLE", 3, 3),
        ("NUMBER_DOUBLE", 1e-3, 0.001),
        ("BOOLEAN", True, True),
        ("STRING", "a\nb", "a\nb"),
        ("STRING", 7, "7"),
        ("LIST", [1.0, {"a": 2.0}], [1, {"a": 2}]),
        ("STRUCT", {"a": [None, 2.5]}, {"a": [None, 2.5]}),
        ("LIST", "[1, 2]", [1, 2]),
    ],
)
def test_a_value_of_the_executor_output(kind: str, value: Any, wanted: Any) -> None:
    found = parameter(kind, told=told({"out": value, "undeclared": 1}))
    assert (found, type(found)) == (wanted, type(wanted))


@pytest.mark.parametrize(
    ("kind", "content", "wanted"),
    [
        ("STRING", b" a\n", " a\n"),
        ("NUMBER_INTEGER", b"42\n", 42),
        ("NUMBER_DOUBLE", b"0.5", 0.5),
        ("BOOLEAN", b"True", True),
        ("LIST", b"[1.0]", [1]),
        ("STRUCT", b'{"a": 1.0}', {"a": 1}),
        ("STRING", b"", ""),
    ],
)
def test_a_parameter_from_its_file(kind: str, content: bytes, wanted: Any) -> None:
    assert parameter(kind, out=content) == wanted
    assert parameter(kind, told=b"", out=content) == wanted


def test_the_executor_output_comes_before_a_file() -> None:
    assert parameter("STRING", told=told({"out": "told"}), out=b"written") == "told"
    assert parameter("STRING", told=told({"out": None}), out=b"written") == "written"


@pytest.mark.parametrize(("kind", "value"), [("NUMBER_INTEGER", 0), ("BOOLEAN", False), ("STRING", ""), ("LIST", [])])
def test_a_value_that_is_nothing_much_is_one(kind: str, value: Any) -> None:
    assert parameter(kind, told=told({"out": value}), out=b"7") == value


def test_every_parameter_has_a_file_of_its_own() -> None:
    one = OneTask(outputs={"a": "NUMBER_INTEGER", "b": "NUMBER_INTEGER", "c": "STRING"})
    assert one.outputs(a=b"1", b=b"2", c=b"3").parameters == {"a": 1, "b": 2, "c": "3"}


def test_a_step_without_outputs_gives_none() -> None:
    assert OneTask().outputs(told=b"rubbish") == Outputs()


@pytest.mark.parametrize(
    ("kind", "files", "message"),
    [
        (
            "STRING",
            {},
            f"'out' is missing: the step wrote neither {ROOT}/parameters/out nor a value for it in {ROOT}/ex",
        ),
        ("NUMBER_INTEGER", {"told": told({"out": []})}, "'out' must be a whole number (NUMBER_INTEGER), is a list"),
        ("NUMBER_DOUBLE", {"told": told({"out": float("nan")})}, "must be a number (NUMBER_DOUBLE), is the text 'NaN'"),
        ("NUMBER_INTEGER", {"out": b"many"}, f"it was read from {ROOT}/parameters/out"),
        ("STRING", {"out": b"\xff"}, "is not UTF-8"),
        ("STRING", {"told": b"{broken"}, f"{ROOT}/executor_output.json is not JSON"),
        ("STRING", {"told": b"[1]"}, "must hold an object, holds a list"),
        ("STRING", {"told": b"\xff\xfe"}, "is not JSON"),
        ("STRING", {"told": b'{"parameterValues": {"out": "\\ud800"}}'}, "is not JSON"),
        ("STRING", {"told": b'{"parameterValues": 3}'}, "parameterValues in"),
        ("LIST", {"told": b'{"parameterValues": {"out": ' + b"[" * 5000 + b"]" * 5000 + b"}}"}, "nested too deeply"),
        ("LIST", {"told": b'{"parameterValues": {"out": ' + b"[" * 102 + b"]" * 102 + b"}}"}, "nested too deeply"),
    ],
)
def test_a_parameter_that_is_wrong_is_told_with_its_file(kind: str, files: dict[str, bytes], message: str) -> None:
    with pytest.raises(BadOutput, match="task 'train'") as caught:
        parameter(kind, **files)
    assert message in str(caught.value)


def test_an_artifact_that_nothing_is_told_of_is_where_it_was_planned() -> None:
    one = OneTask(makes={"model": MODEL, "logs": DATASET})
    found = one.outputs().artifacts
    assert found["model"] == (
        ArtifactRef(name="model", type=found["model"][0].type, uri=f"{ROOT}/model", metadata={"framework": "none"}),
    )
    assert found["logs"][0].uri == f"{ROOT}/%6Cogs"


def test_what_a_step_tells_of_an_artifact() -> None:
    found = artifact({"name": "best", "uri": f"{ROOT}/model", "metadata": {"accuracy": 1.0, "at": float("nan")}})
    assert (found.name, found.uri) == ("best", f"{ROOT}/model")
    assert found.type.schema_title == "system.Model"
    assert found.metadata == {"accuracy": 1, "at": "NaN"}
    assert artifact({}).metadata == {"framework": "none"}
    text = b'{"artifacts": {"model": {"artifacts": [{"metadata": {"a": 1e999, "b": [-1e999, -Infinity]}}]}}}'
    (ref,) = OneTask(makes={"model": MODEL}).outputs(told=text).artifacts["model"]
    assert ref.metadata == {"a": "Infinity", "b": ["-Infinity", "-Infinity"]}


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        (f"{ROOT}/Output", f"{ROOT}/Output"),
        (f"file://{ROOT}/x", f"{ROOT}/x"),
        (f"{RUN}/other/0/y/../z", f"{RUN}/other/0/z"),
        ("s3://bucket/x", "s3://bucket/x"),
        ("/mnt/shared/data", "/mnt/shared/data"),
        ("/mnt/shared/data/part", "/mnt/shared/data/part"),
        ("", f"{ROOT}/model"),
    ],
)
def test_where_a_step_may_say_that_an_artifact_is(uri: str, wanted: str) -> None:
    given = {"data": dataset("/mnt/shared/data")}
    assert artifact({"name": "m", "uri": uri}, artifacts=given).uri == wanted


@pytest.mark.parametrize(
    "uri",
    [
        "/etc/passwd", "/", "relative", "file:///etc", f"{ROOT}/../../../../other/run/x", f"{RUN}-other/x",
        "/data/artifacts", "/mnt/shared/database", "/kfp-workspace/x", "file://../x",
    ],
)  # fmt: skip
def test_an_artifact_cannot_be_said_to_be_elsewhere(uri: str) -> None:
    given = {"data": dataset("/mnt/shared/data")}
    for field in ("uri", "custom_path"):
        with pytest.raises(BadOutput, match="outside of the run's directory"):
            artifact({"name": "m", field: uri}, artifacts=given)


def test_a_custom_path_within_the_run_is_where_the_artifact_is() -> None:
    assert artifact({"uri": f"{ROOT}/model", "custom_path": f"{ROOT}/elsewhere"}).uri == f"{ROOT}/elsewhere"


def test_a_custom_path_that_the_launcher_moved_is_not_where_the_artifact_is() -> None:
    found = artifact(
        {"uri": f"{ROOT}/model", "custom_path": "/tmp/x"},
        container={"image": "i", "command": ["python", "-c", "model.set_path('/tmp/x')"]},
        facts={"launcher": ["python", "-m", "launcher"]},
    )
    assert found.uri == f"{ROOT}/model"


def test_reserved_metadata_is_not_the_step_s_to_give() -> None:
    reserved = {"_kfp_workspace": True, "store_session_info": "x", "display_name": "Best"}
    assert artifact({"metadata": reserved}).metadata == {"display_name": "Best"}
    given = {"data": dataset("s3://b/d", metadata={"_kfp_workspace": True})}
    found = artifact({"uri": "s3://b/d", "metadata": reserved}, artifacts=given, config={"workspace": {"size": "1Gi"}})
    assert found.metadata == {"display_name": "Best", "_kfp_workspace": True}


def test_a_list_of_artifacts() -> None:
    one = OneTask(makes={"models": {**MODEL, "isArtifactList": True}})
    entries = [{"name": name, "uri": f"{ROOT}/models/{name}", "metadata": {}} for name in "ab"]
    found = one.outputs(told=told(artifacts={"models": {"artifacts": entries}})).artifacts["models"]
    assert [(ref.name, ref.uri) for ref in found] == [("a", f"{ROOT}/models/a"), ("b", f"{ROOT}/models/b")]
    assert one.outputs().artifacts["models"] == ()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (3, "must be an object, is the number 3"),
        ({"uri": 3}, "uri of output artifact 'model' must be text"),
        ({"name": "x" * 3000}, "name of output artifact 'model' must be text of at most 2000"),
        ({"uri": "a\0b"}, "uri of output artifact"),
        ({"metadata": [1]}, "metadata of output artifact 'model' must be an object, is a list"),
    ],
)
def test_an_artifact_that_is_wrong_is_told(entry: Any, message: str) -> None:
    with pytest.raises(BadOutput) as caught:
        artifact(entry)
    assert message in str(caught.value)


@pytest.mark.parametrize("entry", [3, [], {"artifacts": 3}, {"artifacts": [{}] * 10_001}])
def test_what_is_no_list_of_artifacts_is_told(entry: Any) -> None:
    with pytest.raises(BadOutput, match=r"output artifact 'model' in .* must be a list of at most 10000"):
        OneTask(makes={"model": MODEL}).outputs(told=told(artifacts={"model": entry}))


def test_scalar_metrics_are_numbers() -> None:
    kind = {"artifactType": {"schemaTitle": "system.Metrics"}}
    metadata = {
        "accuracy": 0.9, "n": 3, "text": "0.5", "nan": float("nan"), "word": "high", "ok": True, "list": [1],
        "display_name": "7", "huge": 10**400,
    }  # fmt: skip
    entry = {"artifacts": [{"metadata": metadata}]}
    (found,) = OneTask(makes={"m": kind}).outputs(told=told(artifacts={"m": entry})).artifacts["m"]
    assert metrics_of(found) == {"accuracy": 0.9, "n": 3.0, "text": 0.5}
    assert metrics_of(dataset("/x", metadata={"accuracy": 1})) == {}
