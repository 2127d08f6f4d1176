"""The controllers of ``apps/v1`` and ``batch/v1`` come to rest at what is wanted, on views that are stale and torn.

As in ``test_convergence``, the runtime runs as it is, in virtual time.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beamhall.embedded.workloads.cron_jobs import SCHEDULED_AT
from beamhall.embedded.workloads.job_pods import COUNTED, completion_index, number_of
from beamhall.embedded.workloads.registry import workload_planners
from beamhall.kernel.indexes import parse_indexes
from beamhall.kernel.kinds import (
    CONTROLLER_REVISION,
    CRON_JOB,
    DEPLOYMENT,
    JOB,
    POD,
    REPLICA_SET,
    STATEFUL_SET,
    Kind,
)
from beamhall.kernel.objects import Key, Object, annotations_of, controller_of, name_of, uid_of
from beamhall.runtime import worker
from beamhall.runtime.controller import Controller
from tests.models.cluster import ModelCluster
from tests.models.virtual_time import run_virtually
from tests.property.test_convergence import NAMESPACE, Act, Step, disturbances, live_together

READY = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
RUNNING = {"phase": "Running", "conditions": [READY]}
LABELS = {"app": "a"}
STALE_ENOUGH = pytest.mark.parametrize("sight_limit_s", [0.5, 5.0])
OFTEN = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _template(version: int = 1) -> Object:
    return {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": f"v{version}"}]}}


def _object(**spec: Any) -> Object:
    metadata = {"name": "x", "namespace": NAMESPACE, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": metadata, "spec": {"selector": {"matchLabels": LABELS}, "template": _template(), **spec}}


def _controllers(*names: str) -> list[Controller]:
    return [Controller.of(planner) for planner in workload_planners() if planner.name in names]


def _live(cluster: ModelCluster, kind: Kind, obj: Object, controllers: list[Controller], script: Any) -> None:
    steps, act = script

    async def main() -> None:
        await cluster.create(kind, obj)
        await live_together(cluster, controllers, [("wait", 1.0), *steps], act)

    run_virtually(main())


def _acting(kind: Kind, end: Callable[[ModelCluster], Awaitable[None]]) -> Act:
    """Do what users and kubelets do: change the spec, lose Pods, run them."""

    async def act(cluster: ModelCluster, step: Step) -> None:
        match step:
            case ("spec", patch):
                await _unhindered(cluster, kind, patch)
            case ("lose", index) if index < len(cluster.all(POD)):
                cluster.remove(Key(POD, NAMESPACE, name_of(cluster.all(POD)[index])))
            case ("run", index) if index < len(cluster.all(POD)):
                cluster.status(POD, name_of(cluster.all(POD)[index]), NAMESPACE, RUNNING)
            case ("end",):
                await end(cluster)

    return act


async def _unhindered(cluster: ModelCluster, kind: Kind, spec: Object) -> None:
    failures, cluster.failures = cluster.failures, []
    await cluster.patch(kind, "x", NAMESPACE, {"spec": spec})
    cluster.failures = failures


async def _run_all(cluster: ModelCluster) -> None:
    for _ in range(60):
        for pod in cluster.all(POD):
            if (pod.get("status") or {}).get("phase") != "Running":
                cluster.status(POD, name_of(pod), NAMESPACE, RUNNING)
        await asyncio.sleep(30)


def _wanted(steps: Iterable[Step], field: str, first: Any) -> list[Any]:
    """Give all values that a field was given, the last one last."""
    return [first, *(step[1][field] for step in steps if step[0] == "spec" and field in step[1])]


def _most_at_once(cluster: ModelCluster, kind: Kind) -> int:
    """Give how many objects of a kind there were together at most."""
    most = 0
    there: set[str] = set()
    for _, type_, entry_kind, obj in cluster.log:
        if entry_kind == kind:
            (there.discard if type_ == "DELETED" else there.add)(uid_of(obj))
            most = max(most, len(there))
    return most


def _steps(*kinds: Kind, versions: bool = True) -> st.SearchStrategy[list[Step]]:
    spec = st.one_of(
        st.fixed_dictionaries({"replicas": st.integers(0, 4)}),
        *([st.fixed_dictionaries({"template": st.integers(1, 3).map(_template)})] if versions else []),
    )
    step = st.one_of(
        *disturbances(*kinds),
        st.tuples(st.just("spec"), spec),
        st.tuples(st.just("lose"), st.integers(0, 4)),
        st.tuples(st.just("run"), st.integers(0, 4)),
    )
    return st.lists(step, min_size=8, max_size=30)


@STALE_ENOUGH
@given(steps=_steps(REPLICA_SET, POD, versions=False))
@OFTEN
def test_a_replica_set(monkeypatch: pytest.MonkeyPatch, sight_limit_s: float, steps: list[Step]) -> None:
    monkeypatch.setattr(worker, "SIGHT_LIMIT_S", sight_limit_s)
    cluster = ModelCluster()
    script = steps, _acting(REPLICA_SET, _run_all)
    _live(cluster, REPLICA_SET, _object(replicas=2), _controllers("replicaset"), script)
    sizes = _wanted(steps, "replicas", 2)
    (owner,) = cluster.all(REPLICA_SET)
    assert len(cluster.all(POD)) == sizes[-1] == owner["status"]["replicas"]
    assert owner["status"].get("availableReplicas", 0) == sizes[-1]
    assert all((controller_of(pod) or {})["uid"] == uid_of(owner) for pod in cluster.all(POD))
    assert _most_at_once(cluster, POD) <= max(sizes), "a Pod too many was made"


@STALE_ENOUGH
@given(steps=_steps(DEPLOYMENT, REPLICA_SET, POD), recreate=st.booleans())
@OFTEN
def test_a_deployment(
    monkeypatch: pytest.MonkeyPatch, sight_limit_s: float, steps: list[Step], *, recreate: bool
) -> None:
    monkeypatch.setattr(worker, "SIGHT_LIMIT_S", sight_limit_s)
    cluster = ModelCluster()
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    strategy = {"type": "Recreate"} if recreate else rolling
    obj = _object(replicas=2, strategy=strategy, progressDeadlineSeconds=600, revisionHistoryLimit=10)
    script = steps, _acting(DEPLOYMENT, _run_all)
    _live(cluster, DEPLOYMENT, obj, _controllers("deployment", "replicaset"), script)
    size, template = _wanted(steps, "replicas", 2)[-1], _wanted(steps, "template", _template())[-1]
    images = {pod["spec"]["containers"][0]["image"] for pod in cluster.all(POD)}
    assert len(cluster.all(POD)) == size
    assert images <= {template["spec"]["containers"][0]["image"]}
    (owner,) = cluster.all(DEPLOYMENT)
    assert owner["status"].get("updatedReplicas", 0) == owner["status"].get("replicas", 0) == size
    conditions = {c["type"]: f"{c['status']} {c['reason']}" for c in owner["status"]["conditions"]}
    assert conditions["Progressing"] == "True NewReplicaSetAvailable"
    made = Counter(name for (plural, name, _), _ in cluster.creations.items() if plural == "replicasets")
    assert len(made) <= 3, "a template has one set"


@STALE_ENOUGH
@given(steps=_steps(STATEFUL_SET, CONTROLLER_REVISION, POD), parallel=st.booleans())
@OFTEN
def test_a_stateful_set(
    monkeypatch: pytest.MonkeyPatch, sight_limit_s: float, steps: list[Step], *, parallel: bool
) -> None:
    monkeypatch.setattr(worker, "SIGHT_LIMIT_S", sight_limit_s)
    cluster = ModelCluster()
    policy = "Parallel" if parallel else "OrderedReady"
    obj = _object(replicas=2, podManagementPolicy=policy, updateStrategy={"type": "RollingUpdate"})
    _live(cluster, STATEFUL_SET, obj, _controllers("statefulset"), (steps, _acting(STATEFUL_SET, _run_all)))
    size, template = _wanted(steps, "replicas", 2)[-1], _wanted(steps, "template", _template())[-1]
    assert [name_of(pod) for pod in cluster.all(POD)] == [f"x-{number}" for number in range(size)]
    images = {pod["spec"]["containers"][0]["image"] for pod in cluster.all(POD)}
    assert images <= {template["spec"]["containers"][0]["image"]}
    (owner,) = cluster.all(STATEFUL_SET)
    assert owner["status"]["currentRevision"] == owner["status"]["updateRevision"]
    assert owner["status"].get("readyReplicas", 0) == size
    assert len(cluster.all(CONTROLLER_REVISION)) <= 3


def _finish(pod: Object) -> Object:
    ended = {"exitCode": 0, "finishedAt": "2026-01-01T00:00:00Z"}
    return {"phase": "Succeeded", "containerStatuses": [{"name": "c", "state": {"terminated": ended}}]}


job_steps = st.lists(
    st.one_of(
        *disturbances(JOB, POD),
        st.tuples(st.just("run"), st.integers(0, 4)),
        st.tuples(st.just("finish"), st.integers(0, 4)),
        st.tuples(st.just("forget"), st.integers(0, 4)),
    ),
    min_size=8,
    max_size=30,
)


@STALE_ENOUGH
@given(steps=job_steps, indexed=st.booleans())
@OFTEN
def test_a_job_runs_each_of_its_pods_once(
    monkeypatch: pytest.MonkeyPatch, sight_limit_s: float, steps: list[Step], *, indexed: bool
) -> None:
    monkeypatch.setattr(worker, "SIGHT_LIMIT_S", sight_limit_s)
    cluster = ModelCluster()

    def finish(index: int) -> None:
        pods = cluster.all(POD)
        if index < len(pods) and (pods[index].get("status") or {}).get("phase") != "Succeeded":
            cluster.status(POD, name_of(pods[index]), NAMESPACE, _finish(pods[index]))

    async def finish_all(cluster: ModelCluster) -> None:
        for _ in range(20):
            for index in range(len(cluster.all(POD))):
                finish(index)
            await asyncio.sleep(30)

    plain = _acting(JOB, finish_all)

    async def act(cluster: ModelCluster, step: Step) -> None:
        if step[0] == "finish":
            finish(step[1])
        elif step[0] == "forget":
            _forget(cluster, step[1])
        elif step[0] != "run" or _is_new(cluster, step[1]):
            await plain(cluster, step)

    mode = "Indexed" if indexed else "NonIndexed"
    obj = _object(completions=4, parallelism=2, completionMode=mode, backoffLimit=6)
    _live(cluster, JOB, obj, _controllers("job"), (steps, act))
    (job,) = cluster.all(JOB)
    assert [c["type"] for c in job["status"]["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    assert job["status"]["succeeded"] == 4
    assert sorted(n for (plural, _, _), n in cluster.creations.items() if plural == "pods") == [1, 1, 1, 1]


def _forget(cluster: ModelCluster, index: int) -> None:
    """Remove a Pod that is done and counted, as people do who tidy up."""
    (job,) = cluster.all(JOB)
    numbers = parse_indexes(annotations_of(job).get(COUNTED) or "")
    indexes = parse_indexes((job.get("status") or {}).get("completedIndexes") or "")
    pods = [pod for pod in cluster.all(POD) if number_of(pod) in numbers or completion_index(pod) in indexes]
    if index < len(pods):
        cluster.remove(Key(POD, NAMESPACE, name_of(pods[index])))


def _is_new(cluster: ModelCluster, index: int) -> bool:
    pods = cluster.all(POD)
    return index < len(pods) and not (pods[index].get("status") or {}).get("phase")


cron_steps = st.lists(
    st.one_of(*disturbances(CRON_JOB, JOB), st.tuples(st.just("wait"), st.sampled_from((30.0, 70.0)))),
    min_size=12,
    max_size=30,
)


@STALE_ENOUGH
@given(steps=cron_steps)
@OFTEN
def test_a_cron_job_makes_one_job_a_time(
    monkeypatch: pytest.MonkeyPatch, sight_limit_s: float, steps: list[Step]
) -> None:
    monkeypatch.setattr(worker, "SIGHT_LIMIT_S", sight_limit_s)
    cluster = ModelCluster()

    async def end(cluster: ModelCluster) -> None:
        await _unhindered(cluster, CRON_JOB, {"suspend": True})

    obj = _object(schedule="* * * * *", concurrencyPolicy="Allow", jobTemplate={"spec": {"template": _template()}})
    _live(cluster, CRON_JOB, obj, _controllers("cronjob"), (steps, _acting(CRON_JOB, end)))
    times = Counter(annotations_of(obj)[SCHEDULED_AT] for _, type_, kind, obj in cluster.log if (type_, kind) == MADE)
    assert set(times.values()) == {1}
    (cron_job,) = cluster.all(CRON_JOB)
    assert cron_job["status"]["lastScheduleTime"] == max(times)


MADE = ("ADDED", JOB)
