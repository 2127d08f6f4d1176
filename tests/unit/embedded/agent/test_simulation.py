"""Simulated nodes on the real embedded API: they come and go with the setting, and their Pods run and end."""

import asyncio
import random
from contextlib import asynccontextmanager

from beamhall.client.local import LocalClient
from beamhall.client.protocol import Selection
from beamhall.embedded.agent.simulation import SimulatedNodes, Simulation
from beamhall.embedded.api.beginnings import FIRST_NAMESPACES
from beamhall.embedded.api.factory import create_resource_api
from beamhall.embedded.store.store import Store
from beamhall.kernel.identity import ADMIN_GROUP, User
from beamhall.kernel.kinds import NAMESPACE, NODE, POD
from tests.unit.embedded.agent.conftest import RealClock


@asynccontextmanager
async def api(tmp_path):
    store = await Store.open(tmp_path / "objects.db")
    resource_api = create_resource_api(store, RealClock(), random.Random(1))
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(resource_api.run())
        client = LocalClient(resource_api, User("owner", (ADMIN_GROUP,)))
        await until(lambda: client.list(NAMESPACE), lambda page: len(page.items) >= len(FIRST_NAMESPACES))
        yield client
        task.cancel()
    await store.close()


@asynccontextmanager
async def simulating(client, wanted):
    simulation = Simulation(client, wanted, RealClock())
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(simulation.run())
        await simulation.wait_ready()
        yield
        task.cancel()


async def until(get, holds, timeout_s=60):
    async with asyncio.timeout(timeout_s):
        while not holds(found := await get()):
            await asyncio.sleep(0.02)
    return found


async def make(client, name, node, **annotations):
    metadata = {"name": name, "namespace": "default", "annotations": annotations}
    await client.create(POD, {"metadata": metadata, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    await client.bind(name, "default", node)


async def phases(client):
    return {p["metadata"]["name"]: p["status"].get("phase") for p in (await client.list(POD)).items}


async def test_pods_run_end_and_go(tmp_path):
    async with api(tmp_path) as client, simulating(client, SimulatedNodes(2)):
        run, code = "beamhall.io/simulated-run", "beamhall.io/simulated-exit-code"
        await make(client, "quick", "simulated-0000", **{run: "0s"})
        await make(client, "bad", "simulated-0001", **{run: "1s", code: "2"})
        await make(client, "long", "simulated-0001")
        await make(client, "elsewhere", "real")
        wanted = {"quick": "Succeeded", "bad": "Failed", "long": "Running", "elsewhere": "Pending"}
        assert await until(lambda: phases(client), lambda found: found == wanted)
        await client.delete(POD, "long", "default")
        await until(lambda: phases(client), lambda found: "long" not in found)


async def test_nodes_follow_the_setting_and_pods_are_found_again(tmp_path):
    async def nodes(client):
        page = await client.list(NODE, Selection(labels="type=simulated"))
        return {node["metadata"]["name"]: node for node in page.items}

    async with api(tmp_path) as client:
        async with simulating(client, SimulatedNodes(2, {"cpu": "8", "nvidia.com/gpu": "4"})):
            found = await nodes(client)
            assert sorted(found) == ["simulated-0000", "simulated-0001"]
            assert found["simulated-0000"]["spec"]["taints"] == [
                {"key": "beamhall.io/simulated", "value": "true", "effect": "NoSchedule"}
            ]
            await client.patch(NODE, "simulated-0000", "", {"spec": {"unschedulable": True}})
        await make(client, "waits", "simulated-0000")
        async with simulating(client, SimulatedNodes(1, {"cpu": "4"}, is_open=True)):
            (node,) = (await nodes(client)).values()
            assert node["status"]["allocatable"] == {"cpu": "4"}
            assert "taints" not in node["spec"]
            assert node["spec"]["unschedulable"] is True, "what users set stays"
            await until(lambda: phases(client), lambda found: found == {"waits": "Running"})
        async with simulating(client, SimulatedNodes(0)):
            assert await nodes(client) == {}


async def test_many_pods_run(tmp_path):
    async with api(tmp_path) as client, simulating(client, SimulatedNodes(1)):
        async with asyncio.TaskGroup() as tasks:
            for number in range(200):
                tasks.create_task(make(client, f"p{number}", "simulated-0000"))
        await until(lambda: phases(client), lambda found: set(found.values()) == {"Running"})
