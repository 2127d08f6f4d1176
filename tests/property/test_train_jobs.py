"""Whatever happens to the Pods and Jobs of a TrainJob, it and its JobSet tell one story, and end once."""

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from beamhall.kernel.kinds import CLUSTER_TRAINING_RUNTIME, JOB, JOB_SET, POD, TRAIN_JOB
from beamhall.kernel.objects import Key, is_being_deleted, name_of
from tests.models.trainer import Trainer, job_template, phase, runtime, train_job

_JOBS = ["t-dataset-initializer-0", "t-node-0"]
_FIRST = [{"name": "dataset-initializer", "status": "Complete"}]
_EVENTS = st.one_of(
    st.tuples(st.just("start"), st.sampled_from(_JOBS)),
    st.tuples(st.just("end"), st.sampled_from(_JOBS), st.booleans()),
    st.tuples(st.just("fail"), st.sampled_from(_JOBS)),
    st.tuples(st.just("vanish"), st.sampled_from([JOB, JOB_SET, POD])),
    st.tuples(st.just("gone")),
    st.tuples(st.just("wait"), st.sampled_from([1, 20, 400])),
    st.tuples(st.just("suspend"), st.booleans()),
    st.tuples(st.just("stale")),
)


def _happen(run: Trainer, event: tuple[Any, ...], stale: list[Any]) -> None:
    what, *rest = event
    if what == "start":
        run.start(rest[0])
    elif what == "end":
        run.end(rest[0], failed=rest[1])
    elif what == "fail" and rest[0] in run.names(JOB):
        if not run.get(JOB, rest[0]).get("status", {}).get("conditions"):
            run.fail_job(rest[0])
    elif what == "vanish":
        for name in run.names(rest[0])[:1]:
            del run.world.objects[Key(rest[0], "ns", name)]
    elif what == "gone":
        run.world.finish_deletions()
    elif what == "wait":
        run.wait(rest[0])
    elif what == "suspend":
        run.change(TRAIN_JOB, "t", suspend=rest[0])
    elif what == "stale":
        run.plan_from(stale[0])
        stale[0] = run.world.snapshot()
    run.settle()


def _check(run: Trainer, finished: list[Any]) -> None:
    status = run.get(TRAIN_JOB).get("status", {})
    conditions = {c["type"]: c["status"] for c in status.get("conditions", [])}
    assert conditions.keys() <= {"Suspended", "Complete", "Failed"}
    ended = [type_ for type_ in ("Complete", "Failed") if conditions.get(type_) == "True"]
    assert len(ended) <= 1
    if finished:
        assert status["conditions"] == finished[0]
    elif ended:
        finished.append(copy.deepcopy(status["conditions"]))
    else:
        assert (conditions.get("Suspended") == "True") == bool(run.get(TRAIN_JOB)["spec"].get("suspend"))
    live = [pod for pod in run.world.list(POD) if phase(pod) in ("Pending", "Running")]
    indexes = [name_of(pod).rsplit("-", 1)[0] for pod in live]
    assert len(indexes) == len(set(indexes)), "two Pods do the same index"
    if ended or run.get(TRAIN_JOB)["spec"].get("suspend"):
        assert not live
    sets = run.world.list(JOB_SET)
    assert len(sets) <= 1
    for job_set in sets:
        status = job_set.get("status", {})
        assert status.get("restartsCountTowardsMax", 0) <= 1
        types = [c["type"] for c in status.get("conditions", []) if c["status"] == "True"]
        assert not {"Completed", "Failed"} <= set(types)
        assert is_being_deleted(job_set) or not ended or status.get("terminalState")


@settings(deadline=None, max_examples=60)
@given(st.lists(_EVENTS, max_size=12), st.booleans(), st.booleans(), st.sampled_from([None, 500]))
def test_any_order_of_events(
    events: list[tuple[Any, ...]], with_initializer: bool, restarts: bool, deadline_s: int | None
) -> None:
    first = {"name": "dataset-initializer", "template": job_template(step="dataset-initializer")}
    node: dict[str, Any] = {"name": "node", "template": job_template(step="trainer")}
    over = runtime(*([first, node | {"dependsOn": _FIRST}] if with_initializer else [node]))
    if restarts:
        over["spec"]["template"]["spec"]["failurePolicy"] = {"maxRestarts": 1}
    deadline: dict[str, Any] = {"activeDeadlineSeconds": deadline_s} if deadline_s else {}
    job = train_job(trainer={"numNodes": 2}, **deadline)
    run = Trainer((CLUSTER_TRAINING_RUNTIME, over), (TRAIN_JOB, job), gang="scheduler-plugins")
    stale = [run.world.snapshot()]
    finished: list[Any] = []
    for event in events:
        _happen(run, event, stale)
        _check(run, finished)
