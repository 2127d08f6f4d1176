import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from beamhall.embedded.api.builtin.definitions import Field, fields_of
from beamhall.embedded.api.builtin.fields import check_definition, check_fields
from beamhall.embedded.api.builtin.kinds import BUILT_INS, built_in
from beamhall.embedded.api.builtin.schemas import component_name, openapi_components, schema_of
from beamhall.kernel import kinds

ALL = [entry.kind for entry in BUILT_INS.values()]


def test_kinds():
    assert BUILT_INS["pods"].singular == "pod"
    assert built_in(kinds.TF_JOB) is None
    assert built_in(kinds.Kind("batch", "v2", "Job", "jobs")) is None


@pytest.mark.parametrize(
    ("definition", "name", "field"),
    [
        (
            "core_v1.PodSpec",
            "containers",
            Field(
                "core_v1.Container", "[]", (2,), required=True, patch_key="name", list_type="map", map_keys=("name",)
            ),
        ),
        ("core_v1.Volume", "emptyDir", Field("core_v1.EmptyDirVolumeSource", "", (2, 2))),
        ("core_v1.Secret", "data", Field("bytes", "{}", (2,))),
        ("core_v1.PodSpec", "nodeSelector", Field("string", "{}", (7,), is_atomic=True)),
        ("meta_v1.ObjectMeta", "finalizers", Field("string", "[]", (14,), patch_key="", list_type="set")),
        ("batch_v1.JobSpec", "backoffLimit", Field("int32", "", (7,))),
        ("core_v1.HTTPGetAction", "port", Field("int-or-string", "", (2,), required=True)),
        ("core_v1.ResourceRequirements", "limits", Field("quantity", "{}", (1,))),
    ],
)
def test_fields(definition, name, field):
    assert fields_of(definition)[name] == field


def test_structural_schema():
    spec = schema_of(kinds.POD)["properties"]["spec"]["properties"]
    assert spec["activeDeadlineSeconds"] == {"type": "integer", "format": "int64"}
    assert spec["containers"]["x-kubernetes-patch-merge-key"] == "name"
    assert spec["containers"]["items"]["properties"]["command"]["items"] == {"type": "string"}
    assert spec["volumes"]["x-kubernetes-patch-strategy"] == "merge,retainKeys"
    meta = schema_of(kinds.POD)["properties"]["metadata"]["properties"]
    assert meta["labels"] == {"type": "object", "additionalProperties": {"type": "string"}}


def test_reserved_words_keep_their_names_on_the_wire():
    version = schema_of(kinds.CUSTOM_RESOURCE_DEFINITION)["properties"]["spec"]["properties"]["versions"]["items"]
    assert version["properties"]["schema"]["properties"]["openAPIV3Schema"]["x-kubernetes-preserve-unknown-fields"]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.kind)
def test_structural_schemas_hold_nothing_else(kind):
    allowed = {"default", "type", "format", "properties", "items", "additionalProperties"}

    def check(schema, path):
        extra = {key for key in schema if key not in allowed and not key.startswith("x-kubernetes-")}
        assert not extra, f"{path} has {extra}"
        for name, inner in schema.get("properties", {}).items():
            check(inner, f"{path}.{name}")
        for name in ("items", "additionalProperties"):
            if name in schema:
                check(schema[name], f"{path}.{name}")

    schema = schema_of(kind)
    check(schema, kind.kind)
    assert {"apiVersion", "kind", "metadata"} <= set(schema["properties"])


def test_openapi_components_are_closed_and_described():
    components = openapi_components([kinds.POD, kinds.JOB])
    text = json.dumps(components)
    references = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert references <= set(components)
    pod = components[component_name(kinds.POD)]
    assert pod["x-kubernetes-group-version-kind"] == [{"group": "", "version": "v1", "kind": "Pod"}]
    assert pod["description"].startswith("Pod is a collection of containers")
    spec = components["io.k8s.api.core.v1.PodSpec"]
    assert spec["required"] == ["containers"]
    assert "seconds" in spec["properties"]["terminationGracePeriodSeconds"]["description"]
    assert component_name(kinds.CUSTOM_RESOURCE_DEFINITION).startswith("io.k8s.apiextensions-apiserver.")
    limits = components["io.k8s.api.core.v1.ResourceRequirements"]["properties"]["limits"]["additionalProperties"]
    assert limits == {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity"}
    assert "io.k8s.api.core.v1.Node" not in components


def test_components_of_a_kind_that_is_not_built_in():
    with pytest.raises(KeyError, match="TFJob"):
        openapi_components([kinds.TF_JOB])


def test_lightkube_is_not_imported():
    code = (
        "import sys; from beamhall.embedded.api.builtin import schemas\nfrom beamhall.kernel import kinds\n"
        "schemas.preload(); schemas.openapi_components([kinds.PRIORITY_CLASS])\n"
        "print([m for m in sys.modules if m.startswith(('lightkube', 'httpx'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_table_has_the_fields_of_the_published_models():
    """Proves that ``definitions.json`` is as the script makes it from the installed models."""
    script = Path(__file__).parents[5] / "scripts" / "builtin_definitions.py"
    namespace: dict[str, Any] = {"__file__": str(script), "__name__": "script"}
    exec(compile(ast.parse(script.read_text()), str(script), "exec"), namespace)
    made = namespace["definitions"](namespace["known_fields"]())
    assert made == json.loads(namespace["TARGET"].read_text())
    assert {entry.definition for entry in BUILT_INS.values()} <= set(namespace["ROOTS"])


POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}


@pytest.mark.parametrize(
    ("spec", "unknown", "wrong"),
    [
        ({"contaners": []}, ["spec.contaners"], []),
        ({"containers": [{"name": "c", "imagee": 1}]}, ["spec.containers[0].imagee"], []),
        ({"containers": {}}, [], ["spec.containers: Invalid value: an object: must be a list"]),
        ({"containers": [5]}, [], ["spec.containers[0]: Invalid value: 5: must be an object"]),
        ({"containers": None, "hostNetwork": None}, [], []),
        ({"hostNetwork": "yes"}, [], ['spec.hostNetwork: Invalid value: "yes": must be true or false']),
        ({"priority": 1 << 31}, [], ["spec.priority: Invalid value: 2147483648: must be an integer of 32 bits"]),
        ({"priority": True}, [], ["spec.priority: Invalid value: a boolean: must be an integer of 32 bits"]),
        ({"priority": 1.5}, [], ["spec.priority: Invalid value: 1.5: must be an integer of 32 bits"]),
        ({"activeDeadlineSeconds": 1 << 40, "priority": -(1 << 31)}, [], []),
        ({"activeDeadlineSeconds": (1 << 63) - 1, "priority": (1 << 31) - 1}, [], []),
        (
            {"activeDeadlineSeconds": 1 << 63},
            [],
            ["spec.activeDeadlineSeconds: Invalid value: 9223372036854775808: must be an integer of 64 bits"],
        ),
        (
            {"containers": [{"livenessProbe": {"httpGet": {"port": 1 << 31}}}]},
            [],
            [
                "spec.containers[0].livenessProbe.httpGet.port: Invalid value: 2147483648: "
                "must be an integer or a string"
            ],
        ),
        (
            {"nodeSelector": {"a": 1}},
            [],
            ["spec.nodeSelector[a]: Invalid value: 1: must be a string (write it in quotes)"],
        ),
        ({"containers": [{"resources": {"limits": {"cpu": 1, "memory": "1Gi", "x": 0.5}}}]}, [], []),
        ({"containers": [{"livenessProbe": {"httpGet": {"port": "http"}}}]}, [], []),
        ({"containers": [{"livenessProbe": {"httpGet": {"port": 8080}}}]}, [], []),
        (
            {"containers": [{"command": ["a", 1]}]},
            [],
            ["spec.containers[0].command[1]: Invalid value: 1: must be a string (write it in quotes)"],
        ),
    ],
)
def test_check_fields(spec, unknown, wrong):
    check = check_fields(kinds.POD, {**POD, "spec": spec})
    assert list(check.unknown) == unknown
    assert [f"{cause.field}: {cause.message}" for cause in check.causes] == wrong


@pytest.mark.parametrize(
    ("meta", "is_good"),
    [
        ({"creationTimestamp": None}, True),
        ({"creationTimestamp": "2026-01-02T03:04:05Z"}, True),
        ({"creationTimestamp": "2026-01-02T03:04:05.123456+02:00"}, True),
        ({"creationTimestamp": "2026-01-02"}, False),
        ({"creationTimestamp": "2026-01-02T03:04:05"}, False),
        ({"labels": []}, False),
    ],
)
def test_metadata(meta, is_good):
    check = check_fields(kinds.CONFIG_MAP, {"metadata": meta})
    assert not check.unknown
    assert (not check.causes) == is_good


@pytest.mark.parametrize(
    ("value", "is_good"), [("eA==", True), ("eA=\n=", True), ("eA", False), ("!", False), (1, False), ("", True)]
)
def test_bytes(value, is_good):
    assert (not check_fields(kinds.SECRET, {"data": {"k": value}}).causes) == is_good


def test_custom_resource_schemas_are_open():
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"x": {"not": {}}}, "x-anything": 1}}
    obj = {"spec": {"versions": [{"name": "v1", "schema": schema}], "group": "g"}}
    assert check_fields(kinds.CUSTOM_RESOURCE_DEFINITION, obj).unknown == ()


def test_other_kinds_and_definitions():
    assert check_fields(kinds.TF_JOB, {"spek": 1}).unknown == ()
    assert check_definition("meta_v1.DeleteOptions", {"propagationPolicy": "x", "bogus": 1}).unknown == ("bogus",)
