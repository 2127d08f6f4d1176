"""The life of a Job: its Pods, what is counted, and how it ends."""

from typing import Any

import pytest

from beamhall.embedded.workloads.jobs import plan_job
from beamhall.kernel.indexes import format_indexes, parse_indexes
from beamhall.kernel.kinds import JOB, POD
from beamhall.kernel.objects import Key, Object, name_of
from tests.planning import World, deleted, said

_NOT_LOOKED_AT = frozenset(
    {"active", "conditions", "startTime", "completionTime", "uncountedTerminatedPods", "terminating", "ready"}
)


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
        left_out = (
            "active",
            "conditions",
            "startTime",
            "completionTime",
            "uncountedTerminatedPods",
            "terminating",
            "ready",
        )
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
    assert run.status == {}
    run.wait(30)
    run.end(name)
    assert run.status == {"succeeded": 1}
    assert run.conditions == ["SuccessCriteriaMet=True CompletionsReached", "Complete=True CompletionsReached"]
    assert run.job["status"]["completionTime"] == "2026-01-02T03:04:35Z"
    assert said(run.world.events) == [("SuccessfulCreate", f"Created pod: {name}"), ("Completed", "Job completed")]


def test_parallelism_and_completions() -> None:
    run = Run(completions=5, parallelism=2)
    while run.active:
        assert len(run.active) <= 2
        run.end(run.active[0])
    assert run.status == {"succeeded": 5}
    assert len(run.world.list(POD)) == 5


def test_successes_are_noted_as_runs_of_numbers_and_may_be_lost() -> None:
    run = Run(completions=5, parallelism=2)
    for _ in range(3):
        run.end(run.active[0])
    annotations = run.job["metadata"]["annotations"]
    assert annotations == {"beamhall.io/job-counted-pods": "0-2"}
    assert "uncountedTerminatedPods" not in run.job["status"]
    del run.job["metadata"]["annotations"]
    run.settle()
    assert run.status == {"succeeded": 3}
    while run.active:
        run.end(run.active[0])
    assert run.status == {"succeeded": 5}
    assert len(run.world.list(POD)) == 5


def test_however_many_indexes_fail_little_is_noted() -> None:
    run = Run(
        completions=300, parallelism=300, completionMode="Indexed", backoffLimitPerIndex=1, backoffLimit=2**31 - 1
    )
    for pod in run.world.list(POD):
        _failed(pod, 1)
    run.settle()
    assert run.status == {"failed": 300}
    assert run.job["metadata"]["annotations"] == {"beamhall.io/job-counted-pods": "0-299"}
    for pod in run.world.list(POD):
        del run.world.objects[Key(POD, "ns", name_of(pod))]
    run.wait(10)
    assert len(run.active) == 300
    for pod in run.world.list(POD):
        _failed(pod, 1)
    run.settle()
    assert run.status == {"failed": 600, "failedIndexes": "0-299"}, "the first ones count, though they are gone"
    assert run.conditions == ["FailureTarget=True FailedIndexes", "Failed=True FailedIndexes"]


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
    assert run.status == {}


def test_a_stale_view_makes_nothing_twice() -> None:
    run = Run(completions=4, parallelism=2)
    stale = run.world.snapshot()
    run.end(run.active[0])
    pods = run.world.list(POD)
    run.world.carry_out(plan_job(stale.objects[Key(JOB, "ns", "j")], stale))
    assert run.world.list(POD) == pods


@pytest.mark.parametrize("later_s", [0, 10])
def test_a_stale_job_makes_no_pod_again_that_is_done_and_gone(later_s: int) -> None:
    """The view shows that the Pod is gone, but not yet that its success was counted."""
    run = Run(completions=2, parallelism=1)
    run.wait(later_s)
    stale = run.world.snapshot()
    (name,) = run.active
    run.end(name)
    run.lose(name)
    del stale.objects[Key(POD, "ns", name)]
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
    assert run.conditions == ["SuccessCriteriaMet=True CompletionsReached", "Complete=True CompletionsReached"]


def test_indexed_jobs_do_each_index_once() -> None:
    run = Run(completions=3, parallelism=2, completionMode="Indexed", backoffLimit=1)
    pods = {name_of(pod): pod for pod in run.world.list(POD)}
    zero, one = sorted(pods)
    assert (zero[:4], one[:4]) == ("j-0-", "j-1-")
    assert pods[one]["spec"]["containers"][0]["env"] == [{"name": "JOB_COMPLETION_INDEX", "value": "1"}]
    assert pods[one]["metadata"]["annotations"] == {
        "batch.kubernetes.io/job-completion-index": "1",
        "beamhall.io/job-pod-number": "1",
    }
    assert pods[one]["spec"]["hostname"] == "j-1"
    run.end(one)
    assert run.status == {"succeeded": 1, "completedIndexes": "1"}
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
    assert run.conditions == ["FailureTarget=True BackoffLimitExceeded", "Failed=True BackoffLimitExceeded"]
    assert ("BackoffLimitExceeded", "Job has reached the specified backoff limit") in said(run.world.events)


@pytest.mark.parametrize(("limit", "restarts", "is_failed"), [(2, 1, False), (2, 2, True), (0, 0, False), (0, 1, True)])
def test_restarts_inside_pods_count(limit: int, restarts: int, is_failed: bool) -> None:
    run = Run(completions=1, parallelism=1, backoffLimit=limit, restart="OnFailure")
    run.world.list(POD)[0]["status"] = {"phase": "Running", "containerStatuses": [{"restartCount": restarts}]}
    run.settle()
    assert run.conditions == (
        ["FailureTarget=True BackoffLimitExceeded", "Failed=True BackoffLimitExceeded"] if is_failed else []
    )
    assert len(run.active) == (0 if is_failed else 1)


def test_active_deadline() -> None:
    run = Run(completions=1, activeDeadlineSeconds=60)
    run.wait(10)
    assert plan_job(run.job, run.world).again_after_s == 50
    run.wait(50)
    assert run.conditions == ["FailureTarget=True DeadlineExceeded", "Failed=True DeadlineExceeded"]
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
    assert run.status == {}


@pytest.mark.parametrize("spec", [{"managedBy": "kueue.x-k8s.io/multikueue"}])
def test_jobs_of_another_manager_are_left_alone(spec: dict[str, Any]) -> None:
    assert Run(completions=1, **spec).active == []


def test_what_runs_is_reported_a_second_later() -> None:
    run = Run(completions=1)
    assert "active" not in run.job["status"]
    assert plan_job(run.job, run.world).again_after_s == 1
    run.wait(1)
    assert run.job["status"]["active"] == 1


def test_a_job_is_over_when_its_last_pod_has_ended() -> None:
    run = Run(completions=1, parallelism=1, activeDeadlineSeconds=60)
    run.world.list(POD)[0]["spec"]["nodeName"] = "n"
    run.wait(60)
    assert run.conditions == ["FailureTarget=True DeadlineExceeded"]
    assert run.job["status"]["terminating"] == 1
    run.world.finish_deletions()
    run.settle()
    assert run.conditions == ["FailureTarget=True DeadlineExceeded", "Failed=True DeadlineExceeded"]
    assert run.job["status"]["terminating"] == 0
    assert said(run.world.events)[-1] == ("DeadlineExceeded", "Job was active longer than specified deadline")


@pytest.mark.parametrize(("policy", "n_new"), [("TerminatingOrFailed", 1), ("Failed", 0)])
def test_when_a_pod_that_is_being_deleted_is_replaced(policy: str, n_new: int) -> None:
    run = Run(completions=1, podReplacementPolicy=policy)
    run.world.list(POD)[0]["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    run.settle()
    assert len(run.active) == n_new
    run.world.finish_deletions()
    run.settle()
    assert len(run.active) == 1


def _failed(pod: Object, code: int, **condition: str) -> None:
    """Let a Pod fail, without letting the Job's planner see it yet."""
    ended = {"terminated": {"exitCode": code, "finishedAt": "2026-01-02T03:04:05Z"}}
    pod["status"] = {"phase": "Failed", "containerStatuses": [{"name": "c", "state": ended}]}
    if condition:
        pod["status"]["conditions"] = [{"status": "True", **condition}]


def _rule(action: str, *, operator: str = "In", name: str = "c") -> dict[str, Any]:
    return {"action": action, "onExitCodes": {"operator": operator, "values": [42], "containerName": name}}


DISRUPTED = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


@pytest.mark.parametrize(
    ("rules", "code", "condition", "failed", "conditions"),
    [
        ([_rule("FailJob")], 42, {}, 1, ["FailureTarget=True PodFailurePolicy", "Failed=True PodFailurePolicy"]),
        ([_rule("FailJob")], 41, {}, 1, []),
        (
            [_rule("FailJob", operator="NotIn")],
            41,
            {},
            1,
            ["FailureTarget=True PodFailurePolicy", "Failed=True PodFai"],
        ),
        ([_rule("Count"), _rule("FailJob")], 42, {}, 1, []),
        ([_rule("Ignore")], 42, {}, 0, []),
        ([DISRUPTED], 1, {"type": "DisruptionTarget"}, 0, []),
        ([DISRUPTED], 1, {"type": "Ready"}, 1, []),
        (
            [{**_rule("FailJob"), "onExitCodes": {**_rule("FailJob")["onExitCodes"], "containerName": "z"}}],
            42,
            {},
            1,
            [],
        ),
    ],
)
def test_failure_policies(rules: Any, code: int, condition: Any, failed: int, conditions: list[str]) -> None:
    run = Run(completions=1, parallelism=1, podFailurePolicy={"rules": rules})
    _failed(run.world.list(POD)[0], code, **condition)
    run.settle()
    assert run.status.get("failed", 0) == failed
    assert len(run.conditions) == len(conditions)
    assert all(found.startswith(wanted) for found, wanted in zip(run.conditions, conditions, strict=True))
    run.wait(10)
    assert len(run.active) == (0 if conditions else 1)


def test_the_rule_that_failed_a_job_is_named() -> None:
    run = Run(completions=1, podFailurePolicy={"rules": [_rule("FailJob")]})
    name = run.active[0]
    _failed(run.world.list(POD)[0], 42)
    run.settle()
    message = f"Container c for pod ns/{name} failed with exit code 42 matching FailJob rule at index 0"
    assert run.job["status"]["conditions"][0]["message"] == message
    assert ("PodFailurePolicy", message) in said(run.world.events)


def test_each_index_has_a_limit_of_its_own() -> None:
    run = Run(completions=2, parallelism=2, completionMode="Indexed", backoffLimitPerIndex=1, backoffLimit=2**31 - 1)

    def fail(index: int) -> None:
        pod = next(p for p in run.world.list(POD) if name_of(p) in run.active and name_of(p).startswith(f"j-{index}-"))
        run.end(name_of(pod), 1)

    fail(0)
    assert [name[:4] for name in run.active] == ["j-1-"], "the index waits"
    run.wait(10)
    again = next(pod for pod in run.world.list(POD) if name_of(pod) in run.active and name_of(pod).startswith("j-0"))
    assert again["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"] == "1"
    fail(0)
    assert run.status == {"failed": 2, "failedIndexes": "0"}
    assert run.conditions == []
    run.end(run.active[0])
    assert run.status == {"failed": 2, "failedIndexes": "0", "succeeded": 1, "completedIndexes": "1"}
    assert run.conditions == ["FailureTarget=True FailedIndexes", "Failed=True FailedIndexes"]


def test_too_many_failed_indexes_end_a_job() -> None:
    run = Run(
        completions=5, parallelism=5, completionMode="Indexed", backoffLimitPerIndex=0, maxFailedIndexes=1,
        backoffLimit=2**31 - 1,
    )  # fmt: skip
    run.end(run.active[0], 1)
    assert run.conditions == []
    run.end(run.active[0], 1)
    reason = "MaxFailedIndexesExceeded"
    assert run.conditions == [f"FailureTarget=True {reason}", f"Failed=True {reason}"]
    assert run.active == []


def test_a_rule_fails_an_index_at_once() -> None:
    run = Run(
        completions=2, parallelism=2, completionMode="Indexed", backoffLimitPerIndex=5, backoffLimit=2**31 - 1,
        podFailurePolicy={"rules": [_rule("FailIndex")]},
    )  # fmt: skip
    _failed(next(pod for pod in run.world.list(POD) if name_of(pod).startswith("j-1-")), 42)
    run.settle()
    assert run.job["status"]["failedIndexes"] == "1"
    assert [name[:4] for name in run.active] == ["j-0-"]


@pytest.mark.parametrize(
    ("rule", "ends_at"),
    [
        ({"succeededIndexes": "0"}, 0),
        ({"succeededIndexes": "1-2", "succeededCount": 1}, 1),
        ({"succeededIndexes": "0-1"}, 1),
        ({"succeededCount": 3}, 2),
    ],
)
def test_success_policies(rule: dict[str, Any], ends_at: int) -> None:
    run = Run(completions=4, parallelism=4, completionMode="Indexed", successPolicy={"rules": [rule]})
    for index in range(ends_at + 1):
        assert run.conditions == []
        run.end(next(name for name in run.active if name.startswith(f"j-{index}-")))
    assert run.conditions == ["SuccessCriteriaMet=True SuccessPolicy", "Complete=True SuccessPolicy"]
    assert run.active == []
    assert run.job["status"]["conditions"][0]["message"] == "Matched rules at index 0"
    assert run.job["status"]["completionTime"]


def test_an_elastic_job_shrinks() -> None:
    run = Run(completions=4, parallelism=4, completionMode="Indexed")
    run.end(next(name for name in run.active if name.startswith("j-3-")))
    run.end(next(name for name in run.active if name.startswith("j-0-")))
    run.job["spec"] |= {"completions": 2, "parallelism": 2}
    run.settle()
    assert [name[:4] for name in run.active] == ["j-1-"]
    assert run.status == {"succeeded": 1, "completedIndexes": "0"}


def test_the_time_that_a_job_may_take_begins_again_when_it_is_resumed() -> None:
    run = Run(completions=1, activeDeadlineSeconds=60)
    run.wait(50)
    run.job["spec"]["suspend"] = True
    run.settle()
    run.wait(1000)
    run.job["spec"]["suspend"] = False
    run.settle()
    assert len(run.active) == 1
    assert run.job["status"]["startTime"] == "2026-01-02T03:21:35Z"
    assert [reason for reason, _ in said(run.world.events)][-3:] == ["Suspended", "Resumed", "SuccessfulCreate"]


def test_a_variable_of_the_users_stays() -> None:
    run = Run(suspend=True, completions=1, completionMode="Indexed")
    container = run.job["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "JOB_COMPLETION_INDEX", "value": "mine"}]
    run.job["spec"]["suspend"] = False
    run.settle()
    assert run.world.list(POD)[0]["spec"]["containers"][0]["env"] == container["env"]


@pytest.mark.parametrize(("text", "indexes"), [("", set()), ("0", {0}), ("0-2,5", {0, 1, 2, 5}), ("1,3", {1, 3})])
def test_completed_indexes(text: str, indexes: set[int]) -> None:
    assert parse_indexes(text) == indexes
    assert format_indexes(indexes) == text
