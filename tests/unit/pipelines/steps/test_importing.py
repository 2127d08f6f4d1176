"""What an importer imports, and what is fetched and stored around a step."""

import json
from typing import Any

import pytest

from beamhall.pipelines.steps.values import BadStep, Import, Transfers
from tests.unit.pipelines.steps.starts import DATASET, OneTask, dataset, problems_of


def importing(uri: Any, **what: Any) -> OneTask:
    importer = {"artifactUri": uri, "typeSchema": {"schemaTitle": "system.Model"}, **what.pop("importer", {})}
    return OneTask(importer=importer, makes={"artifact": DATASET}, **what)


def imported(uri: Any, **what: Any) -> Import:
    found = importing(uri, **what).step().imported
    assert found is not None
    return found


def test_a_constant_uri() -> None:
    found = imported({"constant": "gs://bucket/a/model.bin"}, importer={"metadata": {"k": "v", "n": 2.0}})
    assert (found.output, found.reimport, found.workspace_path) == ("artifact", False, "")
    assert found.artifact.uri == "gs://bucket/a/model.bin"
    assert found.artifact.name == "model.bin"
    assert found.artifact.type.title == "system.Model"
    assert found.artifact.metadata == {"k": "v", "n": 2}
    assert imported({"constant": "/data/x"}, importer={"typeSchema": {}}).artifact.type.title == "system.Dataset"


def test_a_uri_from_an_input_and_metadata_with_placeholders() -> None:
    found = imported(
        {"runtimeParameter": "uri"},
        inputs={"uri": "STRING", "key": "STRING", "n": "NUMBER_INTEGER"},
        given={"uri": "/data/file.csv", "key": "colour", "n": 3.0},
        importer={
            "metadata": {"{{$.inputs.parameters['key']}}": ["n={{$.inputs.parameters['n']}}"]}, "reimport": True,
        },
    )  # fmt: skip
    assert found.artifact.uri == "/data/file.csv"
    assert found.artifact.metadata == {"colour": ["n=3"]}
    assert found.reimport


def test_what_is_downloaded_to_the_workspace_is_found_there() -> None:
    workspace = {"workspace": {"size": "1Gi"}}
    one = importing({"constant": "gs://b/d"}, importer={"downloadToWorkspace": True}, config=workspace)
    step = one.step()
    assert step.needs_workspace
    assert step.imported is not None
    assert step.imported.workspace_path == "/kfp-workspace/.artifacts/gcs/b/d"
    assert step.imported.artifact.metadata == {"_kfp_workspace": True}
    reading = OneTask(
        {"image": "i", "args": ["{{$.inputs.artifacts['data'].path}}"]},
        artifacts={"data": step.imported.artifact},
        config=workspace,
    )
    assert reading.container()["args"] == ["/kfp-workspace/.artifacts/gcs/b/d"]
    assert reading.step().transfers is None


@pytest.mark.parametrize(
    ("uri", "what", "message"),
    [
        ({"constant": ""}, {}, "the URI has no value"),
        ({"constant": 3.0}, {}, "the URI is the number 3"),
        ({"constant": "data/x"}, {}, "it needs a scheme (s3://bucket/key) or must be absolute"),
        ({"constant": "/data/../etc"}, {}, "it may not hold '..'"),
        ({"runtimeParameter": "uri"}, {}, "comes from input 'uri', which has no value"),
        ({"constant": "oci://r/i"}, {"importer": {"typeSchema": {"schemaTitle": "system.Dataset"}}}, "a system.Model"),
        ({"constant": "oci://r/i"}, {"importer": {"downloadToWorkspace": True}}, "cannot be downloaded"),
        ({"constant": "gs://b"}, {"importer": {"downloadToWorkspace": True}}, "the pipeline has none"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported_is_told(uri: Any, what: dict[str, Any], message: str) -> None:
    with pytest.raises(BadStep, match="task 'train'") as caught:
        imported(uri, **what)
    assert message in str(caught.value)


LAUNCHER = {"launcher": ["python3", "-m", "launcher"]}
COMMAND = {"image": "i", "command": ["train"], "args": ["--executor_input", "{{$}}"]}
KEY = "bucket/root/digits/8c1d9f1e-33aa-4f34-9a2c-9d7be7f00c11/train/0"


def test_files_of_a_step_with_a_remote_root_are_paths_to_it_and_uris_to_others() -> None:
    one = OneTask(
        COMMAND, outputs={"out": "STRING"}, makes={"model": DATASET}, artifacts={"data": dataset("gs://b/d")},
        facts={**LAUNCHER, "pipeline_root": "s3://bucket/root"},
    )  # fmt: skip
    step = one.step()
    told = step.executor_input["outputs"]
    assert told["outputFile"] == f"/s3/{KEY}/executor_output.json"
    assert told["parameters"]["out"]["outputFile"] == f"/s3/{KEY}/parameters/out"
    assert told["artifacts"]["model"]["artifacts"][0]["uri"] == f"s3://{KEY}/model"
    assert step.result_files == (f"s3://{KEY}/executor_output.json", f"s3://{KEY}/parameters/out")
    assert step.directories == ()
    assert step.transfers == Transfers((("gs://b/d", "/gcs/b/d"),), ((f"/s3/{KEY}", f"s3://{KEY}"),))
    container = one.container()
    assert container["command"] == ["python3", "-m", "launcher", "--", "train"]
    (variable,) = [one for one in container["env"] if one["name"] == "BEAMHALL_TRANSFERS"]
    assert json.loads(variable["value"]) == {
        "fetch": [["gs://b/d", "/gcs/b/d"]], "store": [[f"/s3/{KEY}", f"s3://{KEY}"]],
    }  # fmt: skip
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/gcs", "/s3"]
    assert problems_of(one.pod()) == []


@pytest.mark.parametrize(
    ("what", "is_launched"),
    [
        ({}, False),
        ({"artifacts": {"data": dataset("/data/d")}}, False),
        ({"artifacts": {"data": dataset("s3://b/d")}}, True),
        ({"artifacts": {"data": dataset("https://host/d")}}, False),
        ({"artifacts": {"data": dataset("")}}, False),
        ({"artifacts": {"data": dataset("s3://b/d", metadata={"_kfp_workspace": True})}}, False),
        ({"container": {**COMMAND, "command": ["python", "-c", "model.custom_path = '/tmp/x'"]}}, True),
    ],
)
def test_who_needs_the_launcher(what: dict[str, Any], is_launched: bool) -> None:
    given = {"container": COMMAND, "config": {"workspace": {"size": "1Gi"}}, **what}
    one = OneTask(facts=LAUNCHER, **given)
    assert (one.step().transfers is not None) == is_launched
    assert ("launcher" in one.container()["command"]) == is_launched
    without = OneTask(**given)
    assert without.step().transfers is None
    assert "launcher" not in without.container()["command"]


def test_the_launcher_needs_a_command() -> None:
    with pytest.raises(BadStep, match="its container must have a command"):
        OneTask({"image": "i"}, facts={**LAUNCHER, "pipeline_root": "s3://b"}).step()


def test_an_artifact_of_this_machine_has_a_path_for_a_uri() -> None:
    step = OneTask(artifacts={"data": dataset("file:///data/d")}).step()
    assert step.executor_input["inputs"]["artifacts"]["data"]["artifacts"][0]["uri"] == "/data/d"
