"""The life of a training job: start, restart, limits, suspension, end and what is left after it."""

from typing import Any

import pytest

from beamhall.kernel.kinds import POD, POD_GROUP, SERVICE, TF_JOB
from beamhall.kernel.objects import Key, uid_of
from beamhall.kernel.plan import Create, Emit, Patch
from beamhall.training.gangs import VOLCANO_POD_GROUP
from tests.planning import START, World, deleted, made, said
from tests.unit.training.jobs import Run, tf_job


def test_a_new_job_becomes_services_then_pods() -> None:
    world = World((TF_JOB, tf_job({"PS": 1, "Worker": 1})))
    plan = Run(tf_job({"PS": 1, "Worker": 1})).planner.plan(world.list(TF_JOB)[0], world)
    assert [f"{a.kind.kind} {a.object['metadata']['name']}" for a in plan.actions if isinstance(a, Create)] == [
        "Service j-ps-0",
        "Service j-worker-0",
        "Pod j-ps-0",
        "Pod j-worker-0",
    ]
    assert said(plan.actions) == [
        ("SuccessfulCreateService", "Created service: j-ps-0"),
        ("SuccessfulCreateService", "Created service: j-worker-0"),
        ("SuccessfulCreatePod", "Created pod: j-ps-0"),
        ("SuccessfulCreatePod", "Created pod: j-worker-0"),
    ]
    assert isinstance(plan.actions[0], Patch)
    now = "2026-01-02T03:04:05Z"
    selector = "training.kubeflow.org/job-name=j,training.kubeflow.org/operator-name=tfjob-controller,"
    assert plan.actions[0].patch["status"] == {
        "conditions": [
            {
                "type": "Created",
                "status": "True",
                "reason": "TFJobCreated",
                "message": "TFJob j is created.",
                "lastUpdateTime": now,
                "lastTransitionTime": now,
            }
        ],
        "replicaStatuses": {
            "PS": {"selector": selector + "training.kubeflow.org/replica-type=ps"},
            "Worker": {"selector": selector + "training.kubeflow.org/replica-type=worker"},
        },
        "startTime": now,
        "lastReconcileTime": now,
    }


def test_the_way_to_success() -> None:
    run = Run(tf_job())
    run.start()
    assert run.conditions == ["Created=True", "Running=True"]
    assert run.message == "TFJob ns/j is running."
    assert run.counts("Worker") == {"active": 2}
    run.wait(60)
    run.end("j-worker-0", 0)
    assert run.conditions == ["Created=True", "Running=False", "Succeeded=True"]
    assert run.message == "TFJob ns/j successfully completed."
    assert run.job["status"]["completionTime"] == "2026-01-02T03:05:05Z"
    # what still runs at success is counted with what succeeded, as upstream does
    assert run.counts("Worker") == {"succeeded": 2}
    assert run.counts("PS") == {"succeeded": 1}
    assert ("TFJobSucceeded", run.message) in said(run.world.events)
    assert [event.reason for event in run.world.events].count("TFJobSucceeded") == 1


def test_a_plan_for_a_job_that_does_not_move_is_empty_at_any_time() -> None:
    run = Run(tf_job())
    run.start()
    run.world.advance(1000)
    assert run.planner.plan(run.job, run.world).actions == []


@pytest.mark.parametrize(
    ("policy", "code", "is_restarted"),
    [
        ("ExitCode", 137, True),
        ("ExitCode", 143, True),
        ("ExitCode", 128, True),
        ("ExitCode", 127, False),
        ("ExitCode", 1, False),
        ("Never", 137, False),
        # a Pod that may restart fails only when it is lost as a whole
        ("OnFailure", 1, True),
        ("Always", 1, True),
    ],
)
def test_restart_policies(policy: str, code: int, is_restarted: bool) -> None:
    run = Run(tf_job({"Worker": 2}, restart=policy))
    run.start()
    first = run.pod("j-worker-1")["metadata"]["uid"]
    run.end("j-worker-1", code)
    assert ("ExitedWithCode", f"Pod: ns.j-worker-1 exited with code {code}") in said(run.world.events)
    if not is_restarted:
        assert run.conditions == ["Created=True", "Running=False", "Failed=True"]
        assert run.pod("j-worker-1")["metadata"]["uid"] == first
        return
    assert run.conditions == ["Created=True", "Restarting=True"]
    assert run.message == "TFJob ns/j is restarting because 1 Worker replica(s) failed."
    assert [r for r, _ in said(run.world.events)].count("TFJobRestarting") == 1
    run.end_pods_being_deleted()
    assert run.pod("j-worker-1")["metadata"]["uid"] != first
    assert run.conditions == ["Created=True", "Restarting=True"], "the other worker runs, but this one is not back yet"
    run.start("j-worker-1")
    assert run.conditions == ["Created=True", "Running=True"]


def test_a_pod_that_someone_deletes_is_made_again_and_does_not_count() -> None:
    run = Run(tf_job({"Worker": 2}, run_policy={"backoffLimit": 0}))
    run.start()
    first = run.pod("j-worker-0")
    first["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:06Z"
    first["status"]["phase"] = "Failed"
    run.settle()
    assert run.conditions == ["Created=True", "Running=True"]
    run.end_pods_being_deleted()
    assert run.pod("j-worker-0")["metadata"]["uid"] != first["metadata"]["uid"]
    assert run.conditions == ["Created=True", "Running=True"]


def test_a_stale_view_makes_and_counts_nothing_twice() -> None:
    run = Run(tf_job({"Worker": 2}, restart="ExitCode"))
    run.start()
    stale = run.world.snapshot()
    run.end("j-worker-1", 137)
    failed = run.world.snapshot()
    run.end_pods_being_deleted()
    pods = run.world.list(POD)
    for view in (stale, failed):
        run.world.carry_out(run.planner.plan(view.objects[Key(TF_JOB, "ns", "j")], view))
    assert run.world.list(POD) == pods
    run.settle()
    assert run.job["metadata"]["annotations"]["training.beamhall/restarts"].count("worker-1") == 1
    assert '"j-worker-1":[1,' in run.job["metadata"]["annotations"]["training.beamhall/restarts"]


def test_a_failed_pod_that_is_still_there_is_counted_once() -> None:
    run = Run(tf_job({"Worker": 2}, restart="ExitCode", run_policy={"backoffLimit": 1}))
    run.start()
    run.end("j-worker-1", 137)
    del run.pod("j-worker-1")["metadata"]["deletionTimestamp"]  # as if the deletion had not been carried out
    run.settle()
    assert run.conditions == ["Created=True", "Restarting=True"]
    assert "deletionTimestamp" in run.pod("j-worker-1")["metadata"]


def test_success_is_written_once() -> None:
    run = Run(tf_job())
    run.start()
    run.pod("j-worker-0")["status"]["phase"] = "Succeeded"
    plans = run.world.settle(run.planner.plan, TF_JOB, "j")
    assert [len(plan.actions) for plan in plans] == [2, 0], "the status and its event"


def test_replacements_are_made_ever_later_as_by_a_kubelet() -> None:
    run = Run(tf_job({"Worker": 2}, restart="ExitCode"))
    waits = []
    for _ in range(4):
        run.start("j-worker-1")
        run.end("j-worker-1", 137)
        uid = uid_of(run.pod("j-worker-1"))
        waits.append(run.planner.plan(run.job, run.world).again_after_s)
        if waits[-1]:
            run.wait(waits[-1] - 1)
            run.end_pods_being_deleted()
            assert uid_of(run.pod("j-worker-1")) == uid, "until then it is there, with its log"
            run.wait(1)
        run.end_pods_being_deleted()
        assert uid_of(run.pod("j-worker-1")) != uid
    assert waits == [None, 10, 20, 40]
    run.start("j-worker-1")
    run.wait(600)
    run.end("j-worker-1", 137)
    run.end_pods_being_deleted()
    assert "j-worker-1" in run.pods, "a Pod that ran well for ten minutes is replaced at once"


@pytest.mark.parametrize(("limit", "n_kills"), [(0, 1), (1, 2), (3, 4)])
def test_backoff_limit_counts_pods_made_anew(limit: int, n_kills: int) -> None:
    run = Run(tf_job({"Worker": 2}, restart="ExitCode", run_policy={"backoffLimit": limit}))
    run.start()
    for _ in range(n_kills - 1):
        run.end("j-worker-1", 137)
        run.wait(600)
        run.end_pods_being_deleted()
        run.start("j-worker-1")
        assert run.conditions[-1] == "Running=True"
    run.end("j-worker-1", 137)
    assert run.conditions[-1] == "Failed=True"
    assert run.message == "TFJob ns/j has failed because it has reached the specified backoff limit"
    assert "deletionTimestamp" not in run.pod("j-worker-1")["metadata"], "the last failure stays, with its log"


@pytest.mark.parametrize(
    ("limit", "restarts", "last"), [(0, 0, "Running"), (0, 1, "Failed"), (3, 2, "Running"), (3, 3, "Failed")]
)
def test_backoff_limit_counts_restarts_inside_pods(limit: int, restarts: int, last: str) -> None:
    run = Run(tf_job({"Worker": 2}, restart="OnFailure", run_policy={"backoffLimit": limit}))
    run.start()
    run.start("j-worker-0", restarts=restarts)
    assert run.conditions[-1] == f"{last}=True"


def test_active_deadline() -> None:
    run = Run(tf_job(run_policy={"activeDeadlineSeconds": 30}))
    run.start()
    run.world.advance(10)
    assert run.planner.plan(run.job, run.world).again_after_s == 20
    run.wait(20)
    assert run.conditions[-1] == "Failed=True"
    assert run.message == "TFJob ns/j has failed because it was active longer than specified deadline"
    assert run.pods == ["j-ps-0", "j-worker-0", "j-worker-1"], "cleanPodPolicy None holds here too"


@pytest.mark.parametrize(
    ("policy", "left"),
    [("None", ["j-ps-0", "j-worker-0", "j-worker-1"]), ("Running", ["j-worker-0"]), ("All", [])],
)
def test_clean_pod_policy(policy: str, left: list[str]) -> None:
    run = Run(tf_job(run_policy={"cleanPodPolicy": policy}))
    run.start()
    run.end("j-worker-0", 0)
    run.end_pods_being_deleted()
    assert run.pods == left
    assert [service["metadata"]["name"] for service in run.world.list(SERVICE)] == left


def test_what_never_ends_is_ended_after_a_grace_period_where_that_is_set() -> None:
    run = Run(tf_job(), terminate_after_finish_s=30.0)
    run.start()
    run.end("j-worker-0", 0)
    run.world.advance(10)
    plan = run.planner.plan(run.job, run.world)
    assert (plan.actions, plan.again_after_s) == ([], 20)
    run.wait(20)
    deadlines = {name: run.pod(name)["spec"].get("activeDeadlineSeconds") for name in run.pods}
    assert deadlines == {"j-ps-0": 1, "j-worker-0": None, "j-worker-1": 1}, "they stay, with their logs"
    assert ("TerminatedPod", "Ended pod: j-ps-0: it still ran after the job had finished") in said(run.world.events)


def test_what_never_started_goes_when_the_job_is_over() -> None:
    run = Run(tf_job(), terminate_after_finish_s=0.0)
    run.start("j-worker-0")
    run.end("j-worker-0", 0)
    assert run.pods == ["j-worker-0"]
    assert [service["metadata"]["name"] for service in run.world.list(SERVICE)] == ["j-worker-0"]


def test_ttl() -> None:
    run = Run(tf_job(run_policy={"ttlSecondsAfterFinished": 100}))
    run.start()
    run.end("j-worker-0", 0)
    assert run.planner.plan(run.job, run.world).again_after_s == 100
    run.world.advance(100)
    assert deleted(run.planner.plan(run.job, run.world), TF_JOB) == ["j"]


def test_suspend_and_resume() -> None:
    run = Run(tf_job(run_policy={"suspend": True}))
    assert run.pods == []
    assert run.conditions == ["Created=True", "Suspended=True"]
    assert "startTime" not in run.job["status"]
    run.wait(60)
    run.change(runPolicy={})
    assert run.conditions == ["Created=True", "Suspended=False"]
    assert run.job["status"]["startTime"] == "2026-01-02T03:05:05Z"
    run.start()
    assert run.conditions == ["Created=True", "Suspended=False", "Running=True"]
    run.change(runPolicy={"suspend": True})
    run.end_pods_being_deleted()
    assert (run.pods, run.world.list(SERVICE)) == ([], [])
    assert run.conditions == ["Created=True", "Running=False", "Suspended=True"]
    assert [c["reason"] for c in run.job["status"]["conditions"][1:]] == ["TFJobSuspended", "TFJobSuspended"]
    assert run.message == "TFJob j is suspended."
    assert run.counts("Worker") == {}
    assert [r for r, _ in said(run.world.events) if "sume" in r or "Susp" in r] == [
        "TFJobSuspended",
        "TFJobResumed",
        "TFJobSuspended",
    ]


def test_resuming_forgets_restarts() -> None:
    run = Run(tf_job({"Worker": 2}, restart="ExitCode"))
    run.start()
    run.end("j-worker-1", 137)
    run.change(runPolicy={"suspend": True})
    run.end_pods_being_deleted()
    run.change(runPolicy={"backoffLimit": 0})
    assert run.pods == ["j-worker-0", "j-worker-1"]
    assert run.job["metadata"]["annotations"] == {}


def test_scaling_down_removes_pods_and_services() -> None:
    run = Run(tf_job({"PS": 1, "Worker": 3}))
    run.start()
    run.change(tfReplicaSpecs=tf_job({"Worker": 1})["spec"]["tfReplicaSpecs"])
    run.end_pods_being_deleted()
    assert run.pods == ["j-worker-0"]
    assert [service["metadata"]["name"] for service in run.world.list(SERVICE)] == ["j-worker-0"]


def test_group_admission() -> None:
    run = Run(tf_job(run_policy={"schedulingPolicy": {"scheduleTimeoutSeconds": 60}}), gang="scheduler-plugins")
    group = run.world.list(POD_GROUP)[0]
    assert group["metadata"]["name"] == "j"
    assert group["spec"] == {"minMember": 3, "scheduleTimeoutSeconds": 60}
    assert run.pod("j-ps-0")["metadata"]["labels"]["scheduling.x-k8s.io/pod-group"] == "j"
    run.change(runPolicy={"schedulingPolicy": {"minAvailable": 2}})
    assert run.world.list(POD_GROUP)[0]["spec"]["minMember"] == 2
    run.start()
    run.end("j-worker-0", 0)
    assert run.world.list(POD_GROUP) == []


def test_a_job_of_one_pod_needs_no_group_until_it_grows() -> None:
    run = Run(tf_job({"Worker": 1}), gang="scheduler-plugins")
    mark = "scheduling.x-k8s.io/pod-group"
    assert run.world.list(POD_GROUP) == []
    assert mark not in run.pod("j-worker-0")["metadata"]["labels"], "it would wait for a group that never comes"
    run.start()
    run.change(tfReplicaSpecs=tf_job({"Worker": 3})["spec"]["tfReplicaSpecs"])
    assert run.world.list(POD_GROUP)[0]["spec"] == {"minMember": 3}
    assert [run.pod(pod)["metadata"]["labels"].get(mark) for pod in run.pods] == ["j", "j", "j"], "all three count"
    run.change(tfReplicaSpecs=tf_job({"Worker": 1})["spec"]["tfReplicaSpecs"])
    run.end_pods_being_deleted()
    assert run.world.list(POD_GROUP)[0]["spec"] == {"minMember": 1}
    run.end("j-worker-0", 0)
    assert run.world.list(POD_GROUP) == []


def test_a_job_of_one_pod_that_asks_for_a_group_has_one() -> None:
    run = Run(tf_job({"Worker": 1}, run_policy={"schedulingPolicy": {"minAvailable": 1}}), gang="scheduler-plugins")
    assert run.world.list(POD_GROUP)[0]["spec"] == {"minMember": 1}
    assert run.pod("j-worker-0")["metadata"]["labels"]["scheduling.x-k8s.io/pod-group"] == "j"
    assert len(Run(tf_job({"Worker": 1}), gang="volcano").world.list(VOLCANO_POD_GROUP)) == 1


def test_volcano_holds_pods_back_until_the_group_is_admitted() -> None:
    run = Run(tf_job({"Worker": 2}), gang="volcano", scheduler_name="volcano")
    assert run.pods == []
    kind = run.planner.watches[-1]
    run.world.list(kind)[0]["status"] = {"phase": "Inqueue"}
    run.settle()
    pod = run.pod("j-worker-0")
    assert pod["metadata"]["annotations"] == {"scheduling.k8s.io/group-name": "j", "volcano.sh/task-spec": "worker"}
    assert pod["spec"]["schedulerName"] == "volcano"
    assert run.world.list(kind)[0]["spec"] == {"minMember": 2, "queue": "default"}


def test_an_invalid_job_fails_and_says_why() -> None:
    run = Run(tf_job({"Wroker": 1}))
    assert run.conditions == ["Created=True", "Failed=True"]
    assert run.job["status"]["conditions"][-1]["reason"] == "TFJobFailedValidation"
    assert "'Wroker' is not supported; supported values: Chief," in run.message
    assert run.pods == []


@pytest.mark.parametrize("manager", ["kueue.x-k8s.io/multikueue"])
def test_a_job_of_another_manager_is_left_alone(manager: str) -> None:
    run = Run(tf_job(run_policy={"managedBy": manager}))
    assert "status" not in run.job
    assert run.pods == []


def test_a_status_that_was_worked_out_from_an_old_one_is_not_written() -> None:
    run = Run(tf_job())
    run.start()
    run.pod("j-worker-0")["status"]["phase"] = "Succeeded"
    plan = run.planner.plan(run.job, run.world)
    run.job["metadata"]["resourceVersion"] = "later"
    run.world.carry_out(plan)
    assert run.conditions[-1] == "Running=True"


def test_a_job_that_is_being_deleted_makes_nothing() -> None:
    job = tf_job()
    job["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    run = Run(job)
    assert (run.pods, run.job.get("status")) == ([], None)


def test_names_that_are_taken_are_waited_for() -> None:
    """The Pods of an earlier job of the same name may still be ending."""
    old: dict[str, Any] = {"metadata": {"name": "j-worker-0", "namespace": "ns"}}
    world = World((TF_JOB, tf_job({"Worker": 2})), (POD, old), (SERVICE, old))
    plan = Run(tf_job()).planner.plan(world.list(TF_JOB)[0], world)
    assert made(plan, POD) == made(plan, SERVICE) == ["j-worker-1"]
    assert plan.again_after_s == 5
    assert world.now == START
    assert not [a for a in plan.actions if isinstance(a, Emit) and "worker-0" in a.message]
