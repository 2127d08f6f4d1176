"""Whatever happens to the Pods of a job: one story in its status, no change once it is finished, nothing done twice."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamhall.kernel.kinds import POD, SERVICE
from beamhall.kernel.objects import Key, name_of
from beamhall.training.registry import training_frameworks
from tests.unit.training.jobs import Run, job_of

_FRAMEWORKS = {framework.kind.api_version + framework.kind.kind: framework for framework in training_frameworks()}
_JOBS: dict[str, tuple[str, dict[str, int], dict[str, Any]]] = {
    "TFJob": ("v1TFJob", {"PS": 1, "Worker": 2}, {}),
    "TFJob of dynamic workers": ("v1TFJob", {"PS": 1, "Worker": 2}, {"enableDynamicWorker": True}),
    "PyTorchJob": ("v1PyTorchJob", {"Master": 1, "Worker": 2}, {}),
    "elastic PyTorchJob": ("v1PyTorchJob", {"Worker": 3}, {"elasticPolicy": {"minReplicas": 1}}),
    "MPIJob": ("v1MPIJob", {"Launcher": 1, "Worker": 2}, {}),
    "MPIJob v2beta1": (
        "v2beta1MPIJob",
        {"Launcher": 1, "Worker": 2},
        {"mpiImplementation": "OpenMPI", "launcherCreationPolicy": "WaitForWorkersReady"},
    ),
    "JAXJob": ("v1JAXJob", {"Worker": 3}, {}),
    "XGBoostJob": ("v1XGBoostJob", {"Master": 1, "Worker": 2}, {}),
    "PaddleJob": ("v1PaddleJob", {"Worker": 3}, {}),
}
_SLOTS = range(3)
_EVENTS = st.one_of(
    st.tuples(st.just("start"), st.sampled_from(_SLOTS)),
    st.tuples(st.just("end"), st.sampled_from(_SLOTS), st.sampled_from([0, 0, 1, 137])),
    st.tuples(st.just("vanish"), st.sampled_from(_SLOTS)),
    st.tuples(st.just("gone")),
    st.tuples(st.just("wait"), st.sampled_from([1, 30, 700])),
    st.tuples(st.just("suspend"), st.booleans()),
    st.tuples(st.just("scale"), st.integers(1, 3)),
    st.tuples(st.just("stale")),
)


def _slots(run: Run) -> list[str]:
    """Name all Pods that the job may ever have."""
    found = [f"j-{type_.lower()}-{i}" for type_ in run.job["spec"][run.framework.replicas_field] for i in range(3)]
    return [*found, "j-launcher"]


def _happen(run: Run, event: tuple[Any, ...], stale: list[Any]) -> None:
    what, *rest = event
    pods = run.pods
    if what in ("start", "end", "vanish"):
        rest[0] = pods[rest[0]] if rest[0] < len(pods) else ""
    pod = run.world.objects.get(Key(POD, "ns", rest[0])) if what in ("start", "end", "vanish") else None
    if what == "stale":
        view = stale[0]
        run.world.carry_out(run.planner.plan(view.objects[Key(run.framework.kind, "ns", "j")], view))
        stale[0] = run.world.snapshot()
    elif what == "gone":
        run.end_pods_being_deleted()
    elif what == "wait":
        run.wait(rest[0])
    elif what == "suspend":
        run.change(runPolicy={**run.job["spec"].get("runPolicy", {}), "suspend": rest[0]})
    elif what == "scale":
        run.job["spec"][run.framework.replicas_field]["Worker"]["replicas"] = rest[0]
    elif pod is None or pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        pass  # a Pod that is not there, or has ended, does nothing more
    elif what == "vanish":
        del run.world.objects[Key(POD, "ns", rest[0])]
    elif what == "start":
        run.start(rest[0])
    else:
        run.end(*rest)
    run.settle()


def _check(run: Run, finished: list[Any]) -> None:
    conditions = {c["type"]: c["status"] for c in run.job["status"]["conditions"]}
    ended = [type_ for type_ in ("Succeeded", "Failed") if conditions.get(type_) == "True"]
    assert conditions["Created"] == "True"
    assert len(ended) <= 1
    assert not ("Running" in conditions and "Restarting" in conditions)
    if ended:
        assert conditions.get("Running") != "True"
        assert "completionTime" in run.job["status"]
    if finished:
        assert run.job["status"]["conditions"] == finished[0]["conditions"]
        assert run.job["status"]["completionTime"] == finished[0]["completionTime"]
    elif ended:
        finished.append(run.job["status"])
    for counts in run.job["status"].get("replicaStatuses", {}).values():
        assert sum(n for field, n in counts.items() if field != "selector") <= 3
    assert {name_of(obj) for kind in (POD, SERVICE) for obj in run.world.list(kind)} <= {*_slots(run), "j"}


@pytest.mark.parametrize("which", _JOBS)
@settings(deadline=None, max_examples=25)
@given(
    events=st.lists(_EVENTS, max_size=14),
    restart=st.sampled_from(["Never", "OnFailure", "ExitCode"]),
    policy=st.sampled_from([{}, {"cleanPodPolicy": "All"}, {"cleanPodPolicy": "Running", "backoffLimit": 1}]),
)
def test_any_order_of_events(which: str, events: list[tuple[Any, ...]], restart: str, policy: dict[str, Any]) -> None:
    kind, replicas, spec = _JOBS[which]
    framework = _FRAMEWORKS[f"kubeflow.org/{kind}"]
    if which == "MPIJob v2beta1" and restart == "ExitCode":
        restart = "Never"  # which that version does not have
    job = job_of(framework, replicas, restart=restart, run_policy=policy, **spec)
    run = Run(job, framework, gang="scheduler-plugins", terminate_after_finish_s=30.0)
    finished: list[Any] = []
    stale = [run.world.snapshot()]
    for event in events:
        _happen(run, event, stale)
        _check(run, finished)
    assert list(run.planner.plan(run.job, run.world).actions) == []
