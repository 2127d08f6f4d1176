"""Reading progress: what is written to the status, how often logs are read, and when it ends."""

import asyncio
from collections.abc import Callable
from typing import Any

from beamhall.kernel.kinds import POD, PYTORCH_JOB, TRAIN_JOB
from beamhall.runtime.progress import ProgressReader
from tests.models.cluster import ModelCluster
from tests.models.virtual_time import LoopClock, virtually


def _pod(name: str, phase: str = "Running", **labels: str) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "a",
            "labels": labels or {"training.kubeflow.org/job-role": "master"},
        },
        "spec": {"containers": [{"name": "pytorch"}]},
        "status": {"phase": phase},
    }


async def _cluster(phase: str = "Running") -> ModelCluster:
    cluster = ModelCluster()
    job = await cluster.create(PYTORCH_JOB, {"metadata": {"name": "j", "namespace": "a"}})
    pod = _pod("j-master-0", phase)
    owner = {"kind": "PyTorchJob", "name": "j", "uid": job["metadata"]["uid"], "controller": True}
    pod["metadata"]["ownerReferences"] = [owner]
    cluster.written["j-master-0"] = '{"step": 1, "steps": 4, "loss": 0.5}\n'
    await cluster.create(POD, pod)
    return cluster


def _told(cluster: ModelCluster, name: str = "j") -> Any:
    kind = PYTORCH_JOB if name == "j" else TRAIN_JOB
    job = next(job for job in cluster.all(kind) if job["metadata"]["name"] == name)
    return (job.get("status") or {}).get("trainerStatus")


async def _read_for(cluster: ModelCluster, seconds: float, then: Callable[[], None] = lambda: None) -> None:
    reader = ProgressReader(cluster, LoopClock())
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(reader.run())
        await asyncio.sleep(seconds)
        then()
        await asyncio.sleep(seconds)
        running.cancel()


@virtually
async def test_what_rank_0_says_is_in_the_status_and_what_it_says_again_writes_nothing() -> None:
    cluster = await _cluster()
    await _read_for(cluster, 30)
    assert _told(cluster)["progressPercentage"] == 25
    assert {"name": "loss", "value": "0.5"} in _told(cluster)["metrics"]
    assert cluster.requests.count("patch") == 1
    assert 3 <= cluster.requests.count("logs") <= 12, "the less often, the less there is"


@virtually
async def test_what_is_new_is_read_within_seconds_and_the_pace_gives_the_time_left() -> None:
    cluster = await _cluster()

    def goes_on() -> None:
        cluster.written["j-master-0"] += '{"step": 3, "steps": 4}\nhalf a line {"step": 4'

    await _read_for(cluster, 5, goes_on)
    assert _told(cluster)["progressPercentage"] == 75
    assert 1 <= _told(cluster)["estimatedRemainingSeconds"] <= 5


@virtually
async def test_the_last_word_of_a_pod_that_ended_is_read_at_once_and_then_no_more() -> None:
    cluster = await _cluster()

    def ends() -> None:
        cluster.written["j-master-0"] += '{"step": 4, "steps": 4}\n'
        cluster.status(POD, "j-master-0", "a", {"phase": "Succeeded"})

    await _read_for(cluster, 0.5, ends)
    assert _told(cluster)["progressPercentage"] == 100
    n_reads = cluster.requests.count("logs")
    await _read_for(cluster, 60)
    assert cluster.requests.count("logs") == n_reads, "also not after a restart of the service"


@virtually
async def test_trainjobs_are_told_by_the_first_of_their_nodes() -> None:
    cluster = ModelCluster()
    await cluster.create(TRAIN_JOB, {"metadata": {"name": "t", "namespace": "a"}})
    labels = {
        "jobset.sigs.k8s.io/jobset-name": "t",
        "jobset.sigs.k8s.io/replicatedjob-name": "node",
        "batch.kubernetes.io/job-completion-index": "0",
    }
    cluster.written["t-node-0-0-x"] = '{"epoch": 1, "epochs": 2}\n'
    await cluster.create(POD, _pod("t-node-0-0-x", **labels))
    await _read_for(cluster, 5)
    assert _told(cluster, "t")["progressPercentage"] == 50


@virtually
async def test_however_many_jobs_there_are_so_many_logs_a_second_are_read() -> None:
    cluster = ModelCluster()
    for i in range(300):
        pod = _pod(f"p{i}")
        pod["metadata"]["ownerReferences"] = [{"kind": "PyTorchJob", "name": f"p{i}", "controller": True}]
        cluster.written[f"p{i}"] = ""
        await cluster.create(POD, pod)
    await _read_for(cluster, 5)
    assert 200 < cluster.requests.count("logs") <= 400


@virtually
async def test_a_log_or_a_job_that_is_not_there_stops_nothing() -> None:
    cluster = await _cluster()
    other = _pod("lost")
    other["metadata"]["ownerReferences"] = [{"kind": "PyTorchJob", "name": "none", "controller": True}]
    await cluster.create(POD, other)
    cluster.written["lost"] = '{"step": 1}\n'
    await cluster.create(POD, _pod("no-log"))
    await _read_for(cluster, 10)
    assert _told(cluster)["progressPercentage"] == 25
