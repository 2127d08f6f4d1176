"""Whatever happens to a TFJob's Pods, its status tells one story, and looking twice does nothing."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from beamhall.kernel.kinds import POD, SERVICE, TF_JOB
from beamhall.kernel.objects import Key, name_of
from tests.unit.training.jobs import Run, tf_job

_SLOTS = ["j-ps-0", "j-worker-0", "j-worker-1"]
_EVENTS = st.one_of(
    st.tuples(st.just("start"), st.sampled_from(_SLOTS)),
    st.tuples(st.just("end"), st.sampled_from(_SLOTS), st.sampled_from([0, 0, 1, 137])),
    st.tuples(st.just("vanish"), st.sampled_from(_SLOTS)),
    st.tuples(st.just("gone")),
    st.tuples(st.just("wait"), st.sampled_from([1, 30, 700])),
    st.tuples(st.just("suspend"), st.booleans()),
    st.tuples(st.just("stale")),
)


def _happen(run: Run, event: tuple[Any, ...], stale: list[Any]) -> None:
    what, *rest = event
    pod = run.world.objects.get(Key(POD, "ns", rest[0])) if what in ("start", "end", "vanish") else None
    if what == "stale":
        view = stale[0]
        run.world.carry_out(run.planner.plan(view.objects[Key(TF_JOB, "ns", "j")], view))
        stale[0] = run.world.snapshot()
    elif what == "gone":
        run.end_pods_being_deleted()
    elif what == "wait":
        run.wait(rest[0])
    elif what == "suspend":
        run.change(runPolicy={**run.job["spec"].get("runPolicy", {}), "suspend": rest[0]})
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
        assert sum(n for field, n in counts.items() if field != "selector") <= 2
    assert {name_of(obj) for kind in (POD, SERVICE) for obj in run.world.list(kind)} <= set(_SLOTS)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(_EVENTS, max_size=14),
    st.sampled_from(["Never", "OnFailure", "ExitCode"]),
    st.sampled_from([{}, {"cleanPodPolicy": "All"}, {"cleanPodPolicy": "Running", "backoffLimit": 1}]),
)
def test_any_order_of_events(events: list[tuple[Any, ...]], restart: str, policy: dict[str, Any]) -> None:
    run = Run(tf_job(restart=restart, run_policy=policy), gang="scheduler-plugins", terminate_after_finish_s=30.0)
    finished: list[Any] = []
    stale = [run.world.snapshot()]
    for event in events:
        _happen(run, event, stale)
        _check(run, finished)
    assert run.planner.plan(run.job, run.world).actions == []
