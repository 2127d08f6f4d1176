"""Every placeholder that the SDK can write, and structs within structs."""

import json
from typing import Any

import pytest

from beamhall.pipelines.spec.placeholders import (
    JOB_FIELDS,
    Context,
    fill,
    fill_arguments,
    fill_constant,
    fill_text,
    fill_value,
    has_placeholders,
    local_path,
    references,
)


def artifact(name: str, uri: str, **metadata: Any) -> dict[str, Any]:
    return {"name": name, "uri": uri, "type": {"schemaTitle": "system.Dataset"}, "metadata": metadata}


EXECUTOR_INPUT: dict[str, Any] = {
    "inputs": {
        "parameterValues": {"n": 3.0, "s": "a'b\"", "l": [1.0, "x"], "t": True, "evil": "{{$.pipeline_job_name}}"},
        "artifacts": {
            "d": {"artifacts": [artifact("first", "gs://b/d", k="v", n=2.0), artifact("second", "s3://b/e")]},
            "none": {"artifacts": []},
        },
    },
    "outputs": {
        "parameters": {"Output": {"outputFile": "/out/Output"}},
        "artifacts": {"m": {"artifacts": [artifact("m", "/root/m")]}},
        "outputFile": "/out/executor_output.json",
    },
}
JOB = {name: f"<{name}>" for name in JOB_FIELDS if name != "workspace_path"}
CONTEXT = Context(EXECUTOR_INPUT, JOB)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain {{x}} {{$", "plain {{x}} {{$"),
        ("a{{$.inputs.parameters['n']}}b{{$.inputs.parameters['n']}}", "a3b3"),
        ("{{$.inputs.parameters['s']}}", "a'b\""),
        ('{{$.inputs.parameters["t"]}}', "true"),
        ("{{$.inputs.parameters['l']}}", '[1,"x"]'),
        ("{{$.inputs.parameters['absent']}}", ""),
        ("{{$.inputs.parameters['evil']}}", "{{$.pipeline_job_name}}"),
        ("{{$.inputs.artifacts['d'].uri}}", "gs://b/d"),
        ("{{$.inputs.artifacts['d'].path}}", "/gcs/b/d"),
        ("{{$.inputs.artifacts['d'].name}}", "first"),
        ("{{$.inputs.artifacts['d'].metadata}}", '{"k":"v","n":2}'),
        ("{{$.inputs.artifacts['d'].metadata['n']}}", "2"),
        ("{{$.inputs.artifacts['d'].properties['k']}}", "v"),
        ("{{$.inputs.artifacts['d'].metadata['zz']}}", ""),
        ("{{$.inputs.artifacts['none'].path}}{{$.inputs.artifacts['none'].uri}}", ""),
        ("{{$.outputs.artifacts['m'].path}}", "/root/m"),
        ("{{$.outputs.artifacts['m'].uri}}", "/root/m"),
        ("{{$.outputs.parameters['Output'].output_file}}", "/out/Output"),
        ("{{$.outputs.output_file}}", "/out/executor_output.json"),
        ("{{$.outputMetadataUri}}", "/out/executor_output.json"),
        ("{{$.workspace_path}}/x", "/kfp-workspace/x"),
        ("{{$.pipeline_google_cloud_project_id}}", "{{$.pipeline_google_cloud_project_id}}"),
        ("{{$.inputs.artifacts['d'].zzz}}", "{{$.inputs.artifacts['d'].zzz}}"),
        ("{{$.outputs.parameters['zz'].output_file}}", "{{$.outputs.parameters['zz'].output_file}}"),
        ("{{$.inputs.parameters['s'].json_escape[1]}}", "a'b\\\""),
        ("{{$.inputs.parameters['s'].json_escape[2]}}", "a'b\\\\\\\""),
        *((f"{{{{$.{name}}}}}", f"<{name}>") for name in JOB),
    ],
)
def test_placeholders(text: str, result: str) -> None:
    assert fill(text, CONTEXT) == result
    assert fill_value({text: [text, 1]}, CONTEXT) == {result: [result, 1]}
    assert fill_arguments([text], CONTEXT) == [result]


def test_the_whole_input_is_json_with_integers() -> None:
    found = fill("{{$}}", CONTEXT)
    assert json.loads(found) == EXECUTOR_INPUT
    assert '"n":3,' in found
    assert json.loads(json.loads(f'"{fill("{{$.json_escape[1]}}", CONTEXT)}"')) == EXECUTOR_INPUT


def test_a_list_of_artifacts_is_json() -> None:
    assert [one["name"] for one in json.loads(fill("{{$.inputs.artifacts['d']}}", CONTEXT))] == ["first", "second"]


def test_a_job_field_that_is_not_known_stays() -> None:
    assert fill("{{$.pipeline_root}}", Context({})) == "{{$.pipeline_root}}"
    assert fill("{{$.inputs.parameters['n']}}", Context({})) == ""


N = "{{$.inputs.parameters['n']}}"


@pytest.mark.parametrize(
    ("struct", "argv"),
    [
        ({"Concat": ["a", N, "b"]}, ["a3b"]),
        ({"Concat": []}, [""]),
        ({"Concat": ["x=", {"IfPresent": {"InputName": "absent", "Then": "y"}}]}, ["x="]),
        ({"Concat": ["x=", {"IfPresent": {"InputName": "n", "Then": [N, {"Concat": ["-", N]}], "Else": "z"}}]},
         ["x=3-3"]),
        ({"IfPresent": {"InputName": "n", "Then": ["--n", N]}}, ["--n", "3"]),
        ({"IfPresent": {"InputName": "d", "Then": "has"}}, ["has"]),
        ({"IfPresent": {"InputName": "none", "Then": "has", "Else": ["a", "b"]}}, ["a", "b"]),
        ({"IfPresent": {"InputName": "absent", "Then": "x"}}, []),
        ({"IfPresent": {"InputName": "n", "Then": [{"IfPresent": {"InputName": "absent", "Then": "x", "Else": {
            "Concat": ["e", {"Concat": ["f", N]}]}}}, "last"]}}, ["ef3", "last"]),
        ({"Concat": ["a", 1.0, True, {"k": N}]}, ['a1true{"k":"3"}']),
    ],
)  # fmt: skip
def test_structs(struct: Any, argv: list[str]) -> None:
    text = json.dumps(struct)
    assert fill_arguments(["first", text], CONTEXT) == ["first", *argv]
    assert fill_text(text, CONTEXT) == "".join(argv)


@pytest.mark.parametrize("text", ['{"Concat": [', '{"Concat": 1, "x": 2}', '{"concat": ["a"]}'])
def test_what_only_looks_like_a_struct_is_text(text: str) -> None:
    assert fill_arguments([text], CONTEXT) == [text]


def test_a_constant_takes_what_other_parameters_give_and_no_more() -> None:
    other = "{{$}}{{$.inputs.artifacts['d'].uri}}"
    constant = {N: ["{{$.pipeline_job_uuid}} {{$.inputs.parameters['zz']}}", other, 1.0]}
    filled = {"3": ["{{$.pipeline_job_uuid}} ", other, 1.0]}
    assert fill_constant(constant, {"n": 3.0}) == filled
    assert has_placeholders(constant)
    assert has_placeholders([{"a": N}])
    assert not has_placeholders([{"a": "{{"}, 1])


def test_references() -> None:
    value = {"{{$.pipeline_root}}": [json.dumps({"Concat": [N, "{{$.outputs.artifacts['m'].path}}"]}), 1, "{{$}}"]}
    assert list(references(value)) == [
        ("pipeline_root",), ("inputs", "parameters", "n"), ("outputs", "artifacts", "m", "path"), (),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("gs://b/k", "/gcs/b/k"), ("s3://b/k", "/s3/b/k"), ("minio://b/k", "/minio/b/k"),
        ("oci://r.io/m/x:1", "/oci/r.io_m_x:1/models"), ("/a/b", "/a/b"), ("file:///a", "/a"), ("https://h/x", "https://h/x"),
    ],
)  # fmt: skip
def test_paths(uri: str, path: str) -> None:
    assert local_path({"uri": uri}) == path


def test_the_path_of_what_was_downloaded_to_the_workspace() -> None:
    metadata = {"_kfp_workspace": True}
    assert local_path({"uri": "gs://b/k", "metadata": metadata}) == "/kfp-workspace/.artifacts/gcs/b/k"
    assert local_path({"uri": "/a/b", "metadata": metadata}) == "/kfp-workspace/.artifacts/a/b"
    assert local_path({"uri": "/a/b", "metadata": {"_kfp_workspace": "True"}}) == "/a/b"
