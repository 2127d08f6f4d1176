"""The Node as it is registered."""

from beamhall.embedded.agent.devices import Devices, Gpu
from beamhall.embedded.agent.limits.machine import Pressure
from beamhall.embedded.agent.node import Machine, NodeReporter, conditions_of, node_object
from beamhall.embedded.agent.settings import AgentSettings
from beamhall.kernel.kinds import NODE
from tests.unit.embedded.agent.test_events import HandClock

MACHINE = Machine(4, 8 * 2**30, 2**40, "boot", "machine")


def reporter(cluster, gpus):
    node = node_object("n", MACHINE, Devices([Gpu(str(i), "Big GPU") for i in range(gpus)]), 1000)
    return NodeReporter(cluster, HandClock(), AgentSettings(), node)


async def test_a_node_says_what_it_has(cluster):
    node = await reporter(cluster, 2).register()
    assert node["status"]["capacity"] == {
        "cpu": "4",
        "memory": "8388608Ki",
        "ephemeral-storage": "1073741824Ki",
        "pods": "1000",
        "nvidia.com/gpu": "2",
    }
    assert node["status"]["allocatable"] == node["status"]["capacity"]
    assert node["metadata"]["labels"]["nvidia.com/gpu.product"] == "Big-GPU"


async def test_registering_again_drops_what_is_no_longer_there_and_keeps_what_users_added(cluster):
    await reporter(cluster, 2).register()
    await cluster.patch(NODE, "n", "", {"metadata": {"labels": {"rack": "7"}}, "spec": {"unschedulable": True}})
    node = await reporter(cluster, 0).register()
    assert "nvidia.com/gpu" not in node["status"]["capacity"]
    assert node["metadata"]["labels"]["rack"] == "7"
    assert node["spec"]["unschedulable"] is True


async def test_pressure_is_written_when_it_comes_and_when_it_goes(cluster):
    found = [Pressure()]
    node = reporter(cluster, 0)
    node.look = lambda: found[0]
    await node.register()

    def conditions():
        every = cluster.objects[NODE, "", "n"]["status"]["conditions"]
        return {c["type"]: (c["status"], c["reason"], c["lastTransitionTime"]) for c in every}

    n_patches, calm = len(cluster.patches), conditions()
    await node.report_pressure()
    assert len(cluster.patches) == n_patches  # nothing changed
    node.clock.s += 60
    found[0] = Pressure(disk="7 MiB are free on the disk of /data")
    await node.report_pressure()
    pressed = conditions()
    assert pressed["DiskPressure"][:2] == ("True", "KubeletHasDiskPressure")
    assert pressed["DiskPressure"][2] != calm["DiskPressure"][2]
    assert pressed["Ready"] == calm["Ready"]
    found[0] = Pressure(memory="9 MiB of memory are available")
    await node.report_pressure()
    assert {name: status for name, (status, _, _) in conditions().items()} == {
        "MemoryPressure": "True",
        "DiskPressure": "False",
        "PIDPressure": "False",
        "Ready": "True",
    }


def test_a_condition_that_stays_keeps_its_time():
    ready = conditions_of("now", {"Ready=True": "then", "DiskPressure=True": "other"})
    assert {c["type"]: c["lastTransitionTime"] for c in ready} == {
        "MemoryPressure": "now",
        "DiskPressure": "now",
        "PIDPressure": "now",
        "Ready": "then",
    }
