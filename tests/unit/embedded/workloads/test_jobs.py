"""The life of a Job: its Pods, what is counted, and how it ends."""

from typing import Any

import pytest

from beamhall.embedded.workloads.jobs import plan_job
from beamhall.kernel.indexes import format_indexes, parse_indexes
from beamhall.kernel.kinds import JOB, POD
from beamhall.kernel.objects import Key, Object, name_of
from tests.planning import World, deleted, said


class Run:
    """A Job ``ns/j`` in a world, and the kubelet's part."""

    def __init__(self, *, restart: str = "Never", **spec: Any) -> None:
        template = {
            "metadata": {"labels": {"team": "a"}},
            "spec": {"restartPolicy": restart, "containers": [{"name": "c"}]},
        }
        metadata = {"name": "j", "namespace": "ns", "uid": "job-uid"}
        self.world = World((JOB, {"metadata": metadata, "spec": {"template": template, **spec}}))
        self.settle()

    @property
    def job(self) -> Object:
        return self.world.objects[Key(JOB, "ns", "j")]

    @property
    def status(self) -> dict[str, Any]:
        """The status, without what the tests below do not look at."""
        left_out = ("conditions", "startTime", "completionTime", "uncountedTerminatedPods", "terminating", "ready")
        return {name: value for name, value in self.job["status"].items() if name not in left_out}

    @property
    def conditions(self) -> list[str]:
        return [f"{c['type']}={c['status']} {c['reason']}" for c in self.job["status"].get("conditions", ())]

    @property
    def active(self) -> list[str]:
        """The Pods that run, or will."""
        return [
            name_of(pod)
            for pod in self.world.list(POD)
            if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
            and "deletionTimestamp" not in pod["metadata"]
        ]

    def settle(self) -> None:
        self.world.settle(plan_job, JOB, "j")

    def end(self, name: str, code: int = 0) -> None:
        """Let a Pod finish."""
        now = self.world.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        ended = {"terminated": {"exitCode": code, "finishedAt": now}}
        pod = self.world.objects[Key(POD, "ns", name)]
        pod["status"] = {"phase": "Failed" if code else "Succeeded", "containerStatuses": [{"state": ended}]}
        self.settle()

    def lose(self, name: str) -> None:
        """Let a Pod vanish."""
        del self.world.objects[Key(POD, "ns", name)]
        self.settle()

    def wait(self, seconds: float) -> None:
        self.world.advance(seconds)
        self.settle()


def test_a_job_runs_one_pod_and_is_complete() -> None:
    run = Run(completions=1, parallelism=1)
    (name,) = run.active
    pod = run.world.list(POD)[0]
    assert name.startswith("j-")
    assert pod["metadata"]["labels"] == {
        "team": "a",
        "job-name": "j",
        "controller-uid": "job-uid",
        "batch.kubernetes.io/job-name": "j",
        "batch.kubernetes.io/controller-uid": "job-uid",
    }
    assert run.status == {"active": 1}
    run.wait(30)
    run.end(name)
    assert run.status == {"succeeded": 1}
    assert run.conditions == ["Complete=True CompletionsReached"]
    assert run.job["status"]["completionTime"] == "2026-01-02T03:04:35Z"
    assert said(run.world.events) == [("SuccessfulCreate", f"Created pod: {name}"), ("Completed", "Job completed")]


def test_parallelism_and_completions() -> None:
    run = Run(completions=5, parallelism=2)
    while run.active:
        assert len(run.active) <= 2
        run.end(run.active[0])
    assert run.status == {"succeeded": 5}
    assert len(run.world.list(POD)) == 5


def test_a_finished_pod_counts_once_also_when_it_is_deleted_later() -> None:
    run = Run(completions=3, parallelism=1)
    for _ in range(3):
        (name,) = run.active
        run.end(name)
        run.lose(name)
    assert run.status == {"succeeded": 3}
    assert "uncountedTerminatedPods" not in run.job["status"]


def test_a_pod_that_vanishes_while_it_runs_is_made_again() -> None:
    run = Run(completions=2, parallelism=2)
    first, second = run.active
    run.lose(first)
    assert run.active == [first, second]
    assert run.status == {"active": 2}


def test_a_stale_view_makes_nothing_twice() -> None:
    run = Run(completions=4, parallelism=2)
    stale = run.world.snapshot()
    run.end(run.active[0])
    pods = run.world.list(POD)
    run.world.carry_out(plan_job(stale.objects[Key(JOB, "ns", "j")], stale))
    assert run.world.list(POD) == pods


def test_a_work_queue_is_complete_when_all_pods_are_done_after_a_success() -> None:
    run = Run(parallelism=3)
    assert len(run.active) == 3
    for name in list(run.active):
        assert run.conditions == []
        run.end(name)
    assert run.status == {"succeeded": 3}
    assert run.conditions == ["Complete=True CompletionsReached"]


def test_indexed_jobs_do_each_index_once() -> None:
    run = Run(completions=3, parallelism=2, completionMode="Indexed", backoffLimit=1)
    pods = {name_of(pod): pod for pod in run.world.list(POD)}
    zero, one = sorted(pods)
    assert (zero[:4], one[:4]) == ("j-0-", "j-1-")
    assert pods[one]["spec"]["containers"][0]["env"] == [{"name": "JOB_COMPLETION_INDEX", "value": "1"}]
    assert pods[one]["metadata"]["annotations"] == {"batch.kubernetes.io/job-completion-index": "1"}
    assert pods[one]["spec"]["hostname"] == "j-1"
    run.end(one)
    assert run.status == {"active": 2, "succeeded": 1, "completedIndexes": "1"}
    run.end(zero, code=1)
    run.wait(10)
    assert [name[:4] for name in run.active] == ["j-0-", "j-2-"]
    for name in list(run.active):
        run.end(name)
    assert run.status == {"succeeded": 3, "failed": 1, "completedIndexes": "0-2"}


def test_failed_pods_are_replaced_ever_later_until_the_limit() -> None:
    run = Run(completions=1, parallelism=1, backoffLimit=2)
    waits = []
    for _ in range(2):
        run.end(run.active[0], code=1)
        waits.append(plan_job(run.job, run.world).again_after_s)
        assert run.active == []
        run.wait(waits[-1] or 0)
    assert waits == [10, 20]
    run.end(run.active[0], code=1)
    assert run.status == {"failed": 3}
    assert run.conditions == ["Failed=True BackoffLimitExceeded"]
    assert ("BackoffLimitExceeded", "Job has reached the specified backoff limit") in said(run.world.events)


@pytest.mark.parametrize(("limit", "restarts", "is_failed"), [(2, 1, False), (2, 2, True), (0, 0, False), (0, 1, True)])
def test_restarts_inside_pods_count(limit: int, restarts: int, is_failed: bool) -> None:
    run = Run(completions=1, parallelism=1, backoffLimit=limit, restart="OnFailure")
    run.world.list(POD)[0]["status"] = {"phase": "Running", "containerStatuses": [{"restartCount": restarts}]}
    run.settle()
    assert run.conditions == (["Failed=True BackoffLimitExceeded"] if is_failed else [])
    assert len(run.active) == (0 if is_failed else 1)


def test_active_deadline() -> None:
    run = Run(completions=1, activeDeadlineSeconds=60)
    assert plan_job(run.job, run.world).again_after_s == 60
    run.wait(60)
    assert run.conditions == ["Failed=True DeadlineExceeded"]
    assert run.active == []


def test_ttl() -> None:
    run = Run(completions=1, ttlSecondsAfterFinished=60)
    run.end(run.active[0])
    assert plan_job(run.job, run.world).again_after_s == 60
    run.world.advance(60)
    assert deleted(plan_job(run.job, run.world), JOB) == ["j"]


def test_suspend_and_resume() -> None:
    run = Run(completions=2, parallelism=2, suspend=True)
    assert run.active == []
    assert run.conditions == ["Suspended=True JobSuspended"]
    assert "startTime" not in run.job["status"]
    run.job["spec"]["suspend"] = False
    run.settle()
    assert len(run.active) == 2
    assert run.conditions == ["Suspended=False JobResumed"]
    run.job["spec"]["suspend"] = True
    run.settle()
    assert run.active == []
    assert run.status == {}, "Pods that we take away have not failed"


def test_scaling_down_deletes_pods_that_do_not_count_as_failed() -> None:
    run = Run(completions=5, parallelism=3)
    run.job["spec"]["parallelism"] = 1
    run.settle()
    assert run.status == {"active": 1}


@pytest.mark.parametrize("spec", [{"managedBy": "kueue.x-k8s.io/multikueue"}])
def test_jobs_of_another_manager_are_left_alone(spec: dict[str, Any]) -> None:
    assert Run(completions=1, **spec).active == []


@pytest.mark.parametrize(("text", "indexes"), [("", set()), ("0", {0}), ("0-2,5", {0, 1, 2, 5}), ("1,3", {1, 3})])
def test_completed_indexes(text: str, indexes: set[int]) -> None:
    assert parse_indexes(text) == indexes
    assert format_indexes(indexes) == text
