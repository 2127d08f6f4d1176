"""Custom kinds: definitions, schemas, versions, columns."""

import asyncio

import pytest

from beamhall.client.local import LocalClient
from beamhall.client.protocol import Selection
from beamhall.embedded.api.schema_form import schema_problems
from beamhall.kernel.conditions import is_true
from beamhall.kernel.errors import Invalid, NotFound, UnsupportedMediaType
from beamhall.kernel.kinds import CUSTOM_RESOURCE_DEFINITION, Kind
from beamhall.training.definitions import tf_job_definition
from tests.unit.embedded.api.conftest import ADMIN, TOY, TOY_SCHEMA, running_api, toy, toy_definition, until_gone


async def test_a_definition_is_established_and_served_at_once(client):
    made = await client.create(CUSTOM_RESOURCE_DEFINITION, toy_definition())
    assert is_true(made, "Established")
    assert is_true(made, "NamesAccepted")
    assert made["status"]["storedVersions"] == ["v1"]
    assert made["status"]["acceptedNames"]["singular"] == "toy"
    assert (await client.list(TOY)).items == []


async def test_objects_are_pruned_defaulted_and_validated(client, toys):
    obj = toy()
    obj["spec"]["unknown"] = 1
    made = await client.create(toys, obj)
    assert made["spec"] == {"size": 1, "colour": "red"}
    with pytest.raises(Invalid) as caught:
        await client.create(toys, toy("bad", size=0))
    assert [cause.field for cause in caught.value.causes] == ["spec.size"]
    with pytest.raises(Invalid, match=r"spec\.size: Required value"):
        await client.replace(toys, {"metadata": {"name": "t", "namespace": "default"}, "spec": {}})


async def test_a_status_of_a_custom_kind_changes_nothing_else(client, toys):
    await client.create(toys, toy())
    patch = {"status": {"n": 1}, "spec": {"size": 5}, "metadata": {"labels": {"a": "b"}}}
    changed = await client.patch(toys, "t", "default", patch, subresource="status")
    assert changed["status"] == {"n": 1}
    assert changed["spec"]["size"] == 1
    assert "labels" not in changed["metadata"]


async def test_strategic_patches_are_for_built_in_kinds(client, toys):
    await client.create(toys, toy())
    with pytest.raises(UnsupportedMediaType, match="merge-patch"):
        await client.patch(toys, "t", "default", {"spec": {"size": 2}}, type="strategic")


async def test_versions_differ_in_name_only(client):
    definition = toy_definition()
    definition["spec"]["versions"].append(
        {"name": "v2", "served": True, "storage": False, "schema": {"openAPIV3Schema": TOY_SCHEMA}}
    )
    await client.create(CUSTOM_RESOURCE_DEFINITION, definition)
    newer = Kind("example.org", "v2", "Toy", "toys")
    made = await client.create(newer, toy())
    assert made["apiVersion"] == "example.org/v2"
    page = await client.list(TOY)
    assert page.items[0]["apiVersion"] == "example.org/v1"
    async with client.watch(newer, revision="") as events:
        assert (await anext(events)).object["apiVersion"] == "example.org/v2"
        await client.patch(TOY, "t", "default", {"spec": {"size": 2}})
        changed = (await anext(events)).object
    assert (changed["apiVersion"], changed["spec"]["size"]) == ("example.org/v2", 2)
    assert (await client.patch(newer, "t", "default", {"spec": {"size": 2}}))["metadata"]["generation"] == 2


async def test_a_changed_definition_is_served_as_changed(client, toys):
    await client.create(toys, toy())
    changed = toy_definition(served=False)
    await client.patch(CUSTOM_RESOURCE_DEFINITION, toys.resource, "", {"spec": changed["spec"]})
    with pytest.raises(NotFound):
        await client.get(toys, "t", "default")
    await client.delete(CUSTOM_RESOURCE_DEFINITION, toys.resource)
    await until_gone(client, CUSTOM_RESOURCE_DEFINITION, toys.resource)


async def test_definitions_are_served_again_after_a_restart(tmp_path, clock):
    async with running_api(tmp_path, clock) as first:
        client = LocalClient(first, ADMIN)
        await client.create(CUSTOM_RESOURCE_DEFINITION, toy_definition())
        await client.create(TOY, toy())
    async with running_api(tmp_path, clock) as second:
        assert (await LocalClient(second, ADMIN).get(TOY, "t", "default"))["spec"]["size"] == 1


async def test_a_watch_of_a_kind_goes_on_while_its_definition_changes(client, toys):
    async with asyncio.timeout(20), client.watch(toys, revision="") as events:
        spec = toy_definition(additionalPrinterColumns=[{"name": "N", "type": "integer", "jsonPath": ".spec.size"}])
        await client.patch(CUSTOM_RESOURCE_DEFINITION, toys.resource, "", {"spec": spec["spec"]})
        await client.create(toys, toy())
        assert (await anext(events)).type == "ADDED"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"spec": {"group": "other.org"}}, "metadata.name"),
        ({"spec": {"scope": "Everywhere"}}, "spec.scope"),
        ({"spec": {"versions": []}}, "spec.versions"),
        ({"spec": {"names": {"kind": None}}}, "spec.names.kind"),
    ],
)
async def test_a_wrong_definition_names_its_field(client, change, field):
    definition = toy_definition()
    for part, value in change["spec"].items():
        if isinstance(value, dict):
            definition["spec"][part] |= value
        else:
            definition["spec"][part] = value
    with pytest.raises(Invalid) as caught:
        await client.create(CUSTOM_RESOURCE_DEFINITION, definition)
    assert any(cause.field.startswith(field) for cause in caught.value.causes)


async def test_a_column_that_cannot_be_read_is_refused(client):
    definition = toy_definition(additionalPrinterColumns=[{"name": "N", "type": "string", "jsonPath": ".spec["}])
    with pytest.raises(Invalid, match="additionalPrinterColumns"):
        await client.create(CUSTOM_RESOURCE_DEFINITION, definition)


async def test_a_version_without_schema_is_refused(client):
    with pytest.raises(Invalid, match="openAPIV3Schema: Required value"):
        await client.create(CUSTOM_RESOURCE_DEFINITION, toy_definition(schema={}))


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"properties": {"x": "string"}}, "properties[x]"),
        ({"properties": []}, "properties"),
        ({"properties": {"x": {}}}, "properties[x].type"),
        ({"properties": {"x": {"type": "text"}}}, "properties[x].type"),
        ({"properties": {"x": {"type": "array"}}}, "properties[x].items"),
        ({"properties": {"x": {"type": "array", "items": [1]}}}, "properties[x].items"),
        ({"properties": {"x": {"type": "string", "pattern": "("}}}, "properties[x].pattern"),
        ({"properties": {"x": {"type": "string", "maxLength": "1"}}}, "properties[x].maxLength"),
        ({"properties": {"x": {"type": "string", "enum": "a"}}}, "properties[x].enum"),
        ({"required": "x"}, "required"),
        ({"additionalProperties": {"type": 1}}, "additionalProperties.type"),
        ({"anyOf": {}}, "anyOf"),
        ({"allOf": [1]}, "allOf[0]"),
        ({"not": 1}, "not"),
        ({"x-kubernetes-preserve-unknown-fields": "yes"}, "x-kubernetes-preserve-unknown-fields"),
    ],
)
def test_schemas_that_are_none(part, field):
    found = [cause.field for cause in schema_problems({"type": "object", **part}, "s")]
    assert f"s.{field}" in found


def test_schemas_that_are_right():
    assert list(schema_problems(TOY_SCHEMA, "s")) == []
    parts = {"x": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}}
    assert list(schema_problems({"type": "object", "properties": parts, "not": {"required": ["y"]}}, "s")) == []
    spec = tf_job_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert list(schema_problems(spec, "s")) == []


async def test_a_name_that_another_definition_has_is_not_served(client):
    await client.create(CUSTOM_RESOURCE_DEFINITION, toy_definition())
    other = toy_definition()
    other["metadata"]["name"] = "games.example.org"
    other["spec"]["names"] = {"kind": "Toy", "plural": "games", "singular": "game"}
    made = await client.create(CUSTOM_RESOURCE_DEFINITION, other)
    conditions = {c["type"]: (c["status"], c["reason"], c["message"]) for c in made["status"]["conditions"]}
    assert conditions == {
        "NamesAccepted": ("False", "KindConflict", '"Toy" is already in use'),
        "Established": ("False", "NotAccepted", "not all names are accepted"),
    }
    assert made["status"]["acceptedNames"]["kind"] == ""
    games = Kind("example.org", "v1", "Toy", "games")
    with pytest.raises(NotFound):
        await client.list(games)
    await client.delete(CUSTOM_RESOURCE_DEFINITION, TOY.resource)
    async with asyncio.timeout(20):
        while True:
            found = await client.get(CUSTOM_RESOURCE_DEFINITION, games.resource)
            if all(c["status"] == "True" for c in found["status"]["conditions"]):
                break
            await asyncio.sleep(0.001)
    assert (await client.list(games)).items == []


TEXT = {"type": "string"}
ATOMIC = {"type": "object", "x-kubernetes-map-type": "atomic"}
KEYED = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["k"],
    "items": {"type": "object", "properties": {"k": TEXT}, "required": ["k"]},
}


@pytest.mark.parametrize(
    ("schema", "field", "message"),
    [
        ({"type": "string", "$ref": "#/x"}, "$ref", "$ref is not supported"),
        ({"type": "array", "items": TEXT, "uniqueItems": True}, "uniqueItems", "becomes quadratic"),
        ({"type": "object", "properties": {"a": TEXT}, "additionalProperties": TEXT}, "additionalProperties", "exclus"),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": False},
         "x-kubernetes-preserve-unknown-fields", "must be true or undefined"),
        ({"type": "string", "anyOf": [{"default": "x"}]}, "anyOf[0].default", "must be empty to be structural"),
        ({"type": "object", "x-kubernetes-embedded-resource": True}, "properties", "must not be empty"),
        ({"type": "object", "x-kubernetes-list-type": "set"}, "type", "must be array"),
        ({"type": "array", "items": TEXT, "x-kubernetes-list-type": "bag"},
         "x-kubernetes-list-type", "supported values"),
        ({**KEYED, "x-kubernetes-list-map-keys": []}, "x-kubernetes-list-map-keys", "must not be empty"),
        ({**KEYED, "x-kubernetes-list-map-keys": ["j"]}, "x-kubernetes-list-map-keys[0]", "names of item properties"),
        ({**KEYED, "items": TEXT}, "items.type", "must be object"),
        ({**KEYED, "items": {"type": "object", "properties": {"k": TEXT}}},
         "items.properties[k].default", "must have a"),
        ({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "set"},
         "items.x-kubernetes-map-type", "must be atomic"),
        ({"type": "string", "x-kubernetes-map-type": "atomic"}, "type", "must be object"),
        ({"type": "integer", "default": "x"}, "default", "must be an integer"),
        ({"type": "object", "properties": {"a": TEXT}, "default": {"b": 1}},
         "default", "must not have unknown fields: b"),
    ],
)  # fmt: skip
def test_schemas_that_are_no_structural_ones(schema, field, message):
    (cause,) = schema_problems({"type": "object", "properties": {"x": schema}}, "s")
    assert cause.field == f"s.properties[x].{field}"
    assert message in cause.message


def test_schemas_with_extensions_that_are_right():
    for schema in (
        KEYED,
        {**KEYED, "items": {"type": "object", "properties": {"k": {**TEXT, "default": ""}}}},
        {
            "type": "array",
            "items": {"type": "object", "x-kubernetes-map-type": "atomic"},
            "x-kubernetes-list-type": "set",
        },
        {"type": "object", "properties": {"a": TEXT}, "default": {"a": "x"}},
        {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
    ):
        assert list(schema_problems({"type": "object", "properties": {"x": schema}}, "s")) == []


async def test_definitions_that_cannot_be_served_say_why(client):
    definition = toy_definition()
    definition["spec"] |= {"conversion": {"strategy": "Webhook"}, "preserveUnknownFields": True}
    definition["spec"]["versions"] *= 2
    with pytest.raises(Invalid) as caught:
        await client.create(CUSTOM_RESOURCE_DEFINITION, definition)
    said = {cause.field: cause.message for cause in caught.value.causes}
    assert "webhooks are not served" in said["spec.conversion.strategy"]
    assert "must be false" in said["spec.preserveUnknownFields"]
    assert said["spec.versions[1].name"] == 'Duplicate value: "v1"'


async def test_fields_to_select_by_are_single_values_of_the_schema(client):
    def definition(path):
        return toy_definition(selectableFields=[{"jsonPath": path}])

    with pytest.raises(Invalid, match="does not refer to a field of the schema"):
        await client.create(CUSTOM_RESOURCE_DEFINITION, definition(".spec.nope"))
    with pytest.raises(Invalid, match="must point to a field of type string, boolean or integer"):
        await client.create(CUSTOM_RESOURCE_DEFINITION, definition(".spec"))
    await client.create(CUSTOM_RESOURCE_DEFINITION, definition(".spec.colour"))
    await client.create(TOY, toy())
    assert len((await client.list(TOY, Selection(fields="spec.colour=red"))).items) == 1
    assert (await client.list(TOY, Selection(fields="spec.colour=blue"))).items == []
