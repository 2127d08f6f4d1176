"""Pods as real processes, from the object to the final status."""

from beamhall.kernel.kinds import POD
from tests.unit.embedded.agent.conftest import pod_of


async def test_a_pod_runs_and_succeeds(agent, cluster):
    await cluster.create(POD, pod_of("one", "echo hello"))
    pod = await cluster.phase("one", "Succeeded", "Failed")
    assert pod["status"]["phase"] == "Succeeded"
    (container,) = pod["status"]["containerStatuses"]
    assert container["state"]["terminated"]["exitCode"] == 0
    assert container["state"]["terminated"]["reason"] == "Completed"
    assert container["restartCount"] == 0
