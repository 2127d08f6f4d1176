"""The laws of ``Client`` on kinds that come and go: CustomResourceDefinitions."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress

import pytest

from beamhall.client.protocol import Client, Selection
from beamhall.client.reflector import Pace, Replaced, Upserted, reflect
from beamhall.kernel.conditions import is_true
from beamhall.kernel.errors import ApiError, Invalid, NotFound, TooManyRequests
from beamhall.kernel.kinds import CUSTOM_RESOURCE_DEFINITION, Kind
from beamhall.kernel.objects import Object, ReadOnlyObject, name_of

SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1},
                "colour": {"type": "string", "enum": ["red", "blue"], "default": "red"},
            },
        },
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}


def definition(kind: Kind) -> Object:
    return {
        "metadata": {"name": kind.resource},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced",
            "names": {"kind": kind.kind, "plural": kind.plural, "singular": kind.kind.lower()},
            "versions": [
                {
                    "name": kind.version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": SCHEMA},
                    "subresources": {"status": {}},
                }
            ],
        },
    }


async def establish(client: Client, kind: Kind) -> None:
    """Make the kind and wait until it is served."""
    await client.create(CUSTOM_RESOURCE_DEFINITION, definition(kind))
    async with asyncio.timeout(30):
        while True:
            try:
                if is_true(await client.get(CUSTOM_RESOURCE_DEFINITION, kind.resource), "Established"):
                    await client.list(kind)
                    return
            except (NotFound, TooManyRequests):
                pass
            await asyncio.sleep(0.02)


@pytest.fixture
async def new_kind(client: Client) -> AsyncIterator[Kind]:
    """A kind that nobody has defined yet; its definition goes with the test."""
    kind = Kind(f"t{uuid.uuid4().hex[:8]}.beamhall.test", "v1", "Thing", "things")
    yield kind
    with suppress(NotFound):
        await client.delete(CUSTOM_RESOURCE_DEFINITION, kind.resource)


@pytest.fixture
async def kind(client: Client, new_kind: Kind) -> Kind:
    await establish(client, new_kind)
    return new_kind


def thing(namespace: str, name: str = "a", **spec: object) -> Object:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"size": 1} | spec}


async def test_custom_objects_are_defaulted_and_pruned(client: Client, namespace: str, kind: Kind) -> None:
    made = await client.create(kind, thing(namespace, sise=3))
    assert made["spec"] == {"size": 1, "colour": "red"}
    assert (made["apiVersion"], made["kind"]) == (kind.api_version, "Thing")
    assert await client.get(kind, "a", namespace) == made


async def test_wrong_fields_of_custom_objects_are_named(client: Client, namespace: str, kind: Kind) -> None:
    with pytest.raises(Invalid) as caught:
        await client.create(kind, thing(namespace, size=0, colour="green"))
    assert sorted(cause.field for cause in caught.value.causes) == ["spec.colour", "spec.size"]


async def test_the_generation_counts_changes_of_the_spec(client: Client, namespace: str, kind: Kind) -> None:
    assert (await client.create(kind, thing(namespace)))["metadata"]["generation"] == 1
    status = {"status": {"any": {"thing": 1}}, "spec": {"size": 9}}
    patched = await client.patch(kind, "a", namespace, status, subresource="status")
    assert (patched["metadata"]["generation"], patched["spec"]["size"]) == (1, 1)
    assert patched["status"] == {"any": {"thing": 1}}
    changed = await client.patch(kind, "a", namespace, {"spec": {"size": 2}, "status": None})
    assert (changed["metadata"]["generation"], changed["status"]) == (2, {"any": {"thing": 1}})


async def test_the_reflector_waits_for_a_kind(client: Client, namespace: str, new_kind: Kind) -> None:
    waited = asyncio.Event()

    def note(error: ApiError, delay_s: float) -> None:
        waited.set()

    pace = Pace(delay_min_s=0.01, delay_max_s=0.05, on_retry=note)
    changes = reflect(client, new_kind, Selection(namespace), pace=pace)

    async def define() -> None:
        await waited.wait()
        await establish(client, new_kind)
        await client.create(new_kind, thing(namespace))

    found: list[ReadOnlyObject] = []
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks, aclosing(changes):
        tasks.create_task(define())
        async for change in changes:
            if isinstance(change, Replaced):
                found += change.objects
            elif isinstance(change, Upserted):
                found.append(change.object)
            if found:
                break
    assert [name_of(obj) for obj in found] == ["a"]
    assert waited.is_set()


async def test_a_kind_that_is_removed_is_not_found(client: Client, namespace: str, kind: Kind) -> None:
    await client.create(kind, thing(namespace))
    await client.delete(CUSTOM_RESOURCE_DEFINITION, kind.resource)
    async with asyncio.timeout(30):
        while True:
            try:
                await client.list(kind)
            except NotFound:
                return
            await asyncio.sleep(0.02)
