"""Steps that ask for what no node has."""

from typing import Any

from beamhall.kernel.kinds import NODE, POD
from tests.models.pipeline_driver import World, exits
from tests.unit.pipelines.dags import task
from tests.unit.pipelines.driver.specs import document

LARGE = {"image": "i", "args": ["{{$}}"], "resources": {"resourceCpuLimit": "64", "resourceMemoryLimit": "1Gi"}}


async def _resources(world: World, **settings: Any) -> tuple[Any, str]:
    """Run a step that fails, and give what its Pod asked for, and its error."""
    node = {"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "2", "memory": "8Gi"}}}
    await world.cluster.create(NODE, {"apiVersion": "v1", "kind": "Node", **node})
    world.behave = lambda path, given: exits(1)
    async with world.driver(failed_pods_kept_s=60.0, **settings):
        run = await world.ended(await world.submit(document({"a": task()}, executor=LARGE)))
        pods = (await world.cluster.list(POD)).items
    return pods[0]["spec"]["containers"][0]["resources"], run.error


async def test_a_step_does_with_what_the_largest_node_has_and_says_so(world: World) -> None:
    asked, error = await _resources(world, fit_steps=True)
    assert asked["limits"] == {"cpu": "2", "memory": "1Gi"}
    assert "On this cluster it asks for 64 cpu, and gets the 2 that the largest node has." in error


async def test_elsewhere_it_asks_for_what_was_said(world: World) -> None:
    asked, error = await _resources(world)
    assert asked["limits"] == {"cpu": "64", "memory": "1Gi"}
    assert "On this cluster" not in error
