"""Node ports of Services: given out, kept, refused, given back."""

import asyncio

import pytest

from beamhall.client.local import LocalClient
from beamhall.embedded.api.node_ports import PORTS
from beamhall.kernel.errors import Invalid
from beamhall.kernel.kinds import SERVICE
from tests.unit.embedded.api.conftest import ADMIN, running_api


def service(name="s", *ports, kind="NodePort"):
    ports = ports or ({"port": 80},)
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"type": kind, "ports": list(ports)}}


def ports_of(obj):
    return [port.get("nodePort") for port in obj["spec"]["ports"]]


async def test_each_port_gets_one_of_its_own(client):
    made = await client.create(SERVICE, service("s", {"name": "a", "port": 1}, {"name": "b", "port": 2}))
    first, second = ports_of(made)
    assert first != second
    assert {first, second} <= set(PORTS)


async def test_a_cluster_service_has_none_and_loses_what_it_had(client):
    assert ports_of(await client.create(SERVICE, service(kind="ClusterIP"))) == [None]
    changed = await client.patch(SERVICE, "s", "default", {"spec": {"type": "NodePort"}})
    assert ports_of(changed)[0] in PORTS
    changed = await client.patch(SERVICE, "s", "default", {"spec": {"type": "ClusterIP"}})
    assert ports_of(changed) == [None]
    await client.create(SERVICE, service("other", {"port": 80, "nodePort": 30500}))


async def test_a_service_keeps_its_ports_when_a_writer_leaves_them_out(client):
    made = await client.create(SERVICE, service())
    replaced = await client.replace(SERVICE, service())
    assert ports_of(replaced) == ports_of(made)


@pytest.mark.parametrize(
    ("port", "why"),
    [(30100, "provided port is already allocated"), (80, "The range of valid ports is 30000-32767")],
)
async def test_ports_that_cannot_be_had(client, port, why):
    await client.create(SERVICE, service("first", {"port": 80, "nodePort": 30100}))
    with pytest.raises(Invalid) as caught:
        await client.create(SERVICE, service("second", {"port": 80, "nodePort": port}))
    assert caught.value.message.startswith(
        f'Service "second" is invalid: spec.ports[0].nodePort: Invalid value: {port}'
    )
    assert why in caught.value.message


async def test_two_at_once_do_not_get_the_same_and_a_deleted_one_is_free(client):
    outcomes: list[str] = []

    async def make(name):
        try:
            await client.create(SERVICE, service(name, {"port": 80, "nodePort": 31000}))
            outcomes.append("made")
        except Invalid:
            outcomes.append("refused")

    async with asyncio.TaskGroup() as tasks:
        for name in ("a", "b", "c"):
            tasks.create_task(make(name))
    assert sorted(outcomes) == ["made", "refused", "refused"]
    await client.delete(SERVICE, "a", "default")
    await client.create(SERVICE, service("d", {"port": 80, "nodePort": 31000}))


async def test_what_was_given_out_before_a_restart_stays_taken(tmp_path, clock):
    async with running_api(tmp_path, clock) as api:
        await LocalClient(api, ADMIN).create(SERVICE, service("a", {"port": 80, "nodePort": 31000}))
    async with running_api(tmp_path, clock) as api:
        with pytest.raises(Invalid):
            await LocalClient(api, ADMIN).create(SERVICE, service("b", {"port": 80, "nodePort": 31000}))
