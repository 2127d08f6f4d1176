"""Controllers converge, whatever the order, delay, repetition and loss of what they see; and make nothing twice.

The runtime runs as it is, in virtual time, on a cluster in memory whose lists and watches are held back, cut, repeated
and expired as hypothesis likes, while requests and answers get lost. With a short limit of waiting for own writes
planners are called on stale views all the time.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beamhall.client.reflector import Pace
from beamhall.kernel.kinds import POD, SERVICE, TF_JOB, Kind
from beamhall.kernel.objects import Key, Object, controller_of, key_of, name_of, uid_of
from beamhall.runtime import worker
from beamhall.runtime.controller import Controller
from beamhall.runtime.manager import Manager
from beamhall.training.planner import TrainingSettings
from beamhall.training.registry import training_planners
from tests.models.cluster import ModelCluster, unavailable
from tests.models.crews import CREW, CREWS, crew
from tests.models.virtual_time import LoopClock, run_virtually

Step = tuple[Any, ...]
Act = Callable[[ModelCluster, Step], Awaitable[None]]
NAMESPACE = "a"


def disturbances(*kinds: Kind) -> Sequence[st.SearchStrategy[Step]]:
    """Give the steps in which the network does what networks do."""
    kind = st.sampled_from(kinds)
    return (
        st.tuples(st.just("hold"), kind),
        st.tuples(st.just("show"), kind, st.integers(1, 3)),
        st.tuples(st.just("show"), kind, st.none()),
        st.tuples(st.sampled_from(("cut", "expire"))),
        st.tuples(st.just("repeat"), st.booleans()),
        st.tuples(st.just("fail"), st.sampled_from(("before", "after"))),
        st.tuples(st.just("wait"), st.sampled_from((0.0, 0.001, 1.0, 20.0))),
    )


async def disturb(cluster: ModelCluster, step: Step) -> None:
    match step:
        case ("hold", kind):
            cluster.hold(kind)
        case ("show", kind, number):
            cluster.show(kind, number)
        case ("cut",):
            cluster.cut()
        case ("expire",):
            cluster.expire()
        case ("repeat", is_repeating):
            cluster.is_repeating = is_repeating
        case ("fail", when):
            cluster.failures.append(unavailable(when))
        case ("wait", delay_s):
            await asyncio.sleep(delay_s)


async def live_through(cluster: ModelCluster, controller: Controller, steps: Sequence[Step], act: Act) -> None:
    """Run a controller through the steps, and then until it has nothing left to do."""
    await live_together(cluster, [controller], steps, act)


async def live_together(
    cluster: ModelCluster, controllers: Sequence[Controller], steps: Sequence[Step], act: Act
) -> None:
    """Run controllers through the steps, and then until they have nothing left to do."""
    manager = Manager(cluster, controllers, LoopClock(), pace=Pace(jitter=lambda: 0.5))
    kinds = {kind for controller in controllers for kind in controller.kinds}
    async with asyncio.TaskGroup() as group:
        running = group.create_task(manager.run())
        for step in steps:
            await disturb(cluster, step)
            await act(cluster, step)
            await asyncio.sleep(0)
        for kind in kinds:
            cluster.show(kind)
        cluster.failures.clear()
        await asyncio.sleep(200)  # longer than any delay of reflector and queue
        cluster.collect_garbage()
        await act(cluster, ("end",))
        await asyncio.sleep(2000)  # longer than any delay of a planner
        assert manager.is_idle
        requests = len(cluster.requests)
        await asyncio.sleep(2000)
        assert len(cluster.requests) == requests, "it does not rest"
        for kind in kinds:
            seen = list(manager.views.present().list(kind))
            assert seen == cluster.all(kind)
        running.cancel()


def needless_deletions(cluster: ModelCluster) -> list[str]:
    """Name the Pods that were removed though they had not failed and their owner was still there."""
    living: set[str] = set()
    needless = []
    for _, type_, kind, obj in cluster.log:
        (living.discard if type_ == "DELETED" else living.add)(uid_of(obj))
        owner = controller_of(obj)
        is_owned = owner is not None and owner["uid"] in living
        if kind == POD and type_ == "DELETED" and is_owned and obj.get("status", {}).get("phase") != "Failed":
            needless.append(name_of(obj))
    return needless


def failures(cluster: ModelCluster) -> Counter[tuple[str, str, str]]:
    """Count the Pods that failed, by what ``ModelCluster.creations`` counts by."""
    failed = {
        uid_of(obj): ("pods", name_of(obj), (controller_of(obj) or {}).get("uid", ""))
        for _, _, kind, obj in cluster.log
        if kind == POD and obj.get("status", {}).get("phase") == "Failed"
    }
    return Counter(failed.values())


crew_steps = st.one_of(
    *disturbances(CREW, POD),
    st.tuples(st.just("crew"), st.sampled_from("xy"), st.integers(0, 3)),
    st.tuples(st.just("no crew"), st.sampled_from("xy")),
    st.tuples(st.just("pod"), st.integers(0, 5), st.sampled_from(("Running", "Failed"))),
    st.tuples(st.just("lost pod"), st.integers(0, 5)),
    st.tuples(st.just("garbage")),
)


async def act_on_crews(cluster: ModelCluster, step: Step) -> None:
    match step:
        case ("crew", name, replicas):
            if Key(CREW, NAMESPACE, name) not in cluster.objects:
                lost, cluster.failures = cluster.failures, []
                await cluster.create(CREW, crew(name, replicas))
                cluster.failures = lost
        case ("no crew", name):
            cluster.remove(Key(CREW, NAMESPACE, name))
        case ("pod", index, phase):
            set_phase(cluster, index, phase)
        case ("lost pod", index):
            lose_pod(cluster, index)
        case ("garbage",):
            cluster.collect_garbage()


def lose_pod(cluster: ModelCluster, index: int) -> None:
    """Let a Pod fail and go while nobody hears of it: only the next list tells, by not having it."""
    pods = cluster.all(POD)
    if index < len(pods):
        cluster.hold(POD)
        cluster.status(POD, name_of(pods[index]), NAMESPACE, {"phase": "Failed"})
        cluster.remove(key_of(POD, pods[index]))
        cluster.expire()
        cluster.show(POD)


def set_phase(cluster: ModelCluster, index: int, phase: str) -> None:
    pods = cluster.all(POD)
    if index < len(pods) and pods[index].get("status", {}).get("phase") in (None, "Running"):
        cluster.status(POD, name_of(pods[index]), NAMESPACE, {"phase": phase})


@pytest.mark.parametrize("sight_limit_s", [0.5, 5.0])
@given(steps=st.lists(crew_steps, min_size=12, max_size=40))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_crews_converge_and_nothing_is_made_twice(
    monkeypatch: pytest.MonkeyPatch, sight_limit_s: float, steps: list[Step]
) -> None:
    monkeypatch.setattr(worker, "SIGHT_LIMIT_S", sight_limit_s)
    cluster = ModelCluster()
    begin: list[Step] = [("crew", "x", 3), ("wait", 1.0), ("wait", 1.0)]
    run_virtually(live_through(cluster, Controller.of(CREWS), begin + steps, act_on_crews))
    crews = cluster.all(CREW)
    wanted = {f"{name_of(obj)}-{n}": uid_of(obj) for obj in crews for n in range(obj["spec"]["replicas"])}
    assert {name_of(pod): (controller_of(pod) or {})["uid"] for pod in cluster.all(POD)} == wanted
    for obj in crews:
        assert obj["status"]["pods"] == [name for name, uid in sorted(wanted.items()) if uid == uid_of(obj)]
    assert needless_deletions(cluster) == []
    failed = failures(cluster)
    living = {uid_of(obj) for obj in crews}  # of a dead owner, garbage may be made again until its end is seen
    for (plural, name, owner), number in cluster.creations.items():
        if plural == "pods" and owner in living:
            assert number <= 1 + failed[plural, name, owner]


tfjob_steps = st.one_of(
    *disturbances(TF_JOB, POD, SERVICE),
    st.tuples(st.just("pod"), st.integers(0, 2), st.sampled_from(("Running", "Failed"))),
)


def tfjob() -> Object:
    def replica(number: int) -> Object:
        container = {"name": "tensorflow", "image": "i", "command": ["python", "-m", "trainer.task"]}
        return {"replicas": number, "restartPolicy": "ExitCode", "template": {"spec": {"containers": [container]}}}

    return {
        "metadata": {"name": "t", "namespace": NAMESPACE},
        "spec": {"tfReplicaSpecs": {"PS": replica(1), "Worker": replica(2)}},
    }


async def act_on_tfjob(cluster: ModelCluster, step: Step) -> None:
    match step:
        case ("pod", index, phase):
            advance_pod(cluster, index, phase)
        case ("end",):
            await asyncio.sleep(2000)
            for index in range(3):
                advance_pod(cluster, index, "Running")
            await asyncio.sleep(10)
            for index in range(3):  # a worker's success ends the job: only now
                if "worker" in name_of(cluster.all(POD)[index]):
                    advance_pod(cluster, index, "Succeeded")


def advance_pod(cluster: ModelCluster, index: int, phase: str) -> None:
    """Do what a kubelet does: phases do not go back, and what failed says 137, which is worth a new attempt."""
    pods = cluster.all(POD)
    if index >= len(pods) or pods[index].get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return
    exit_code = {"Succeeded": 0, "Failed": 137}.get(phase)
    state = {"running": {}} if exit_code is None else {"terminated": {"exitCode": exit_code}}
    container = {"name": "tensorflow", "restartCount": 0, "state": state}
    cluster.status(POD, name_of(pods[index]), NAMESPACE, {"phase": phase, "containerStatuses": [container]})


@pytest.mark.parametrize("sight_limit_s", [0.5, 5.0])
@given(steps=st.lists(tfjob_steps, min_size=12, max_size=40))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_tfjob_ends_once_and_each_replica_runs_once(
    monkeypatch: pytest.MonkeyPatch, sight_limit_s: float, steps: list[Step]
) -> None:
    monkeypatch.setattr(worker, "SIGHT_LIMIT_S", sight_limit_s)
    cluster = ModelCluster()
    planner = next(planner for planner in training_planners(TrainingSettings()) if planner.name == "tfjob")

    async def main() -> None:
        await cluster.create(TF_JOB, tfjob())
        await live_through(cluster, Controller.of(planner), [("wait", 1.0), *steps], act_on_tfjob)

    run_virtually(main())
    (job,) = cluster.all(TF_JOB)
    conditions = {condition["type"]: condition["status"] for condition in job["status"]["conditions"]}
    assert conditions["Succeeded"] == "True"
    assert "Failed" not in conditions
    failed = failures(cluster)
    made = {key: number for key, number in cluster.creations.items() if key[0] == "pods"}
    assert len(made) == 3
    assert {key: number for key, number in made.items() if number != 1 + failed[key]} == {}
    assert needless_deletions(cluster) == []
