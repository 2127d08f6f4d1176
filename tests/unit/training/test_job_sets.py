"""The life of a JobSet: what is made when, how it ends, restarts, suspension, and what is left after it."""

import copy
import hashlib
from typing import Any

import pytest

from beamhall.kernel.kinds import JOB, JOB_SET, PERSISTENT_VOLUME_CLAIM, POD, SERVICE
from beamhall.kernel.objects import Key, annotations_of, labels_of
from beamhall.training.jobsets.planner import plan_job_set
from tests.models.trainer import Trainer, job_set, job_template
from tests.planning import made


def _run(*replicated: Any, **spec: Any) -> Trainer:
    return Trainer((JOB_SET, job_set(*replicated, **spec)))


def _counts(run: Trainer, name: str) -> dict[str, Any]:
    entries = run.get(JOB_SET, "s")["status"]["replicatedJobsStatus"]
    found = next(entry for entry in entries if entry["name"] == name)
    return {key: value for key, value in found.items() if key != "name" and value}


def test_jobs_of_every_template_with_their_names_and_labels() -> None:
    run = _run({"name": "a", "replicas": 2}, {"name": "b", "template": job_template(3)})
    assert run.names(JOB) == ["s-a-0", "s-a-1", "s-b-0"]
    job = run.get(JOB, "s-b-0")
    marks = {
        "jobset.sigs.k8s.io/jobset-name": "s",
        "jobset.sigs.k8s.io/jobset-uid": run.get(JOB_SET, "s")["metadata"]["uid"],
        "jobset.sigs.k8s.io/replicatedjob-name": "b",
        "jobset.sigs.k8s.io/restart-attempt": "0",
        "jobset.sigs.k8s.io/replicatedjob-replicas": "1",
        "jobset.sigs.k8s.io/global-replicas": "3",
        "jobset.sigs.k8s.io/job-index": "0",
        "jobset.sigs.k8s.io/job-key": hashlib.sha1(b"ns/s-b-0", usedforsecurity=False).hexdigest(),
        "jobset.sigs.k8s.io/job-global-index": "2",
    }
    assert labels_of(job) == marks
    assert labels_of(job["spec"]["template"]) == annotations_of(job) == labels_of(job)
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "OnFailure"
    assert job["spec"]["template"]["spec"]["subdomain"] == "s"
    assert [name.rsplit("-", 1)[0] for name in run.names(POD)] == [
        "s-a-0-0",
        "s-a-1-0",
        "s-b-0-0",
        "s-b-0-1",
        "s-b-0-2",
    ]


def test_a_headless_service_has_the_pods_names() -> None:
    spec = _run().get(SERVICE, "s")["spec"]
    assert spec == {
        "clusterIP": "None",
        "selector": {"jobset.sigs.k8s.io/jobset-name": "s"},
        "publishNotReadyAddresses": True,
    }
    assert _run(network={"subdomain": "net", "publishNotReadyAddresses": False}).names(SERVICE) == ["net"]
    without = _run(network={"enableDNSHostnames": False})
    assert without.names(SERVICE) == []
    assert "subdomain" not in without.get(JOB, "s-a-0")["spec"]["template"]["spec"]


def test_the_way_to_completion() -> None:
    run = _run({"name": "a", "replicas": 2}, {"name": "b"})
    run.wait(1)
    assert _counts(run, "a") == {"active": 2}
    run.start("s-a")
    assert _counts(run, "a") == {"active": 2, "ready": 2}
    assert _counts(run, "b") == {"active": 1}
    run.end("s-a-0")
    assert _counts(run, "a") == {"active": 1, "ready": 1, "succeeded": 1}
    assert run.conditions(JOB_SET, "s") == []
    run.end()
    assert run.conditions(JOB_SET, "s") == ["Completed=True AllJobsCompleted"]
    assert run.get(JOB_SET, "s")["status"]["terminalState"] == "Completed"
    assert run.said(JOB_SET) == [("AllJobsCompleted", "jobset completed successfully")]


@pytest.mark.parametrize(
    ("policy", "jobs", "is_complete"),
    [
        ({"operator": "All"}, ["s-a-0"], False),
        ({"operator": "Any"}, ["s-a-0"], True),
        ({"operator": "All", "targetReplicatedJobs": ["b"]}, ["s-a"], False),
        ({"operator": "All", "targetReplicatedJobs": ["b"]}, ["s-b"], True),
        ({"operator": "Any", "targetReplicatedJobs": ["b"]}, ["s-a"], False),
    ],
)
def test_the_success_policy(policy: Any, jobs: list[str], is_complete: bool) -> None:
    run = _run({"name": "a", "replicas": 2}, {"name": "b"}, successPolicy=policy)
    for job in jobs:
        run.end(job)
    assert bool(run.conditions(JOB_SET, "s")) == is_complete
    if is_complete:  # what still runs is taken away, what ended stays
        assert run.pods() == []
        assert [name for name in run.names(JOB) if not name.startswith(tuple(jobs))] == []


def test_one_failed_job_fails_the_set_and_the_rest_is_taken_away() -> None:
    run = _run({"name": "a"}, {"name": "b"})
    run.fail_job("s-a-0")
    assert run.conditions(JOB_SET, "s") == ["Failed=True FailedJobs"]
    message = "jobset failed due to one or more job failures (first failed job: s-a-0)"
    assert run.get(JOB_SET, "s")["status"]["conditions"][0]["message"] == message
    assert run.get(JOB_SET, "s")["status"]["terminalState"] == "Failed"
    assert run.names(JOB) == ["s-a-0"]


def test_a_restart_makes_every_job_anew_until_there_were_too_many() -> None:
    run = _run({"name": "a"}, {"name": "b"}, failurePolicy={"maxRestarts": 1})
    uids = {name: run.get(JOB, name)["metadata"]["uid"] for name in run.names(JOB)}
    run.fail_job("s-a-0")
    status = run.get(JOB_SET, "s")["status"]
    assert (status["restarts"], status["restartsCountTowardsMax"]) == (1, 1)
    assert run.names(JOB) == ["s-a-0", "s-b-0"]
    assert all(run.get(JOB, name)["metadata"]["uid"] != uid for name, uid in uids.items())
    assert labels_of(run.get(JOB, "s-b-0"))["jobset.sigs.k8s.io/restart-attempt"] == "1"
    run.fail_job("s-b-0")
    assert run.conditions(JOB_SET, "s") == ["Failed=True ReachedMaxRestarts"]
    assert [reason for reason, _ in run.said(JOB_SET)] == ["RestartJobSetFailurePolicyAction", "ReachedMaxRestarts"]


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [
        ({"action": "FailJobSet"}, "Failed=True FailJobSetFailurePolicyAction"),
        ({"action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}, ""),
        (
            {"action": "FailJobSet", "onJobFailureMessagePatterns": ["^too of"]},
            "Failed=True FailJobSetFailurePolicyAction",
        ),
        ({"action": "FailJobSet", "onJobFailureMessagePatterns": ["never"]}, ""),
        ({"action": "FailJobSet", "targetReplicatedJobs": ["b"]}, ""),
        ({"action": "FailJobSet", "targetReplicatedJobs": ["a"]}, "Failed=True FailJobSetFailurePolicyAction"),
    ],
)
def test_the_first_rule_that_applies_decides(rule: Any, outcome: str) -> None:
    run = _run({"name": "a"}, {"name": "b"}, failurePolicy={"maxRestarts": 1, "rules": [rule]})
    run.fail_job("s-a-0")
    assert run.conditions(JOB_SET, "s") == ([outcome] if outcome else [])
    assert run.get(JOB_SET, "s")["status"]["restarts"] == (0 if outcome else 1)


def test_restarts_that_do_not_count() -> None:
    rule = {"action": "RestartJobSetAndIgnoreMaxRestarts"}
    run = _run(failurePolicy={"maxRestarts": 0, "rules": [rule]})
    for _ in range(3):
        run.fail_job("s-a-0")
    status = run.get(JOB_SET, "s")["status"]
    assert status["restarts"] == 3
    assert not status.get("restartsCountTowardsMax")


def test_one_job_alone_is_restarted() -> None:
    rule = {"action": "RestartJob"}
    run = _run({"name": "a", "replicas": 2}, failurePolicy={"maxRestarts": 1, "rules": [rule]})
    uids = [run.get(JOB, name)["metadata"]["uid"] for name in run.names(JOB)]
    run.fail_job("s-a-1")
    assert run.get(JOB, "s-a-0")["metadata"]["uid"] == uids[0]
    assert run.get(JOB, "s-a-1")["metadata"]["uid"] != uids[1]
    assert _counts(run, "a")["jobRestarts"] == [0, 1]
    run.end()
    assert run.conditions(JOB_SET, "s") == ["Completed=True AllJobsCompleted"]


def test_a_job_waits_for_what_it_depends_on() -> None:
    ready = [{"name": "a", "status": "Ready"}]
    done = [{"name": "a", "status": "Complete"}, {"name": "b", "status": "Ready"}]
    run = _run({"name": "a"}, {"name": "b", "dependsOn": ready}, {"name": "c", "dependsOn": done})
    assert run.names(JOB) == ["s-a-0"]
    run.start("s-a")
    assert run.names(JOB) == ["s-a-0", "s-b-0"]
    run.start("s-b")
    assert run.names(JOB) == ["s-a-0", "s-b-0"]
    run.end("s-a")
    assert run.names(JOB) == ["s-a-0", "s-b-0", "s-c-0"]


def test_all_replicas_must_have_come() -> None:
    ready = [{"name": "a", "status": "Ready"}]
    run = _run({"name": "a", "replicas": 2}, {"name": "b", "dependsOn": ready})
    run.start("s-a-0")
    assert "s-b-0" not in run.names(JOB)
    run.start("s-a-1")
    assert "s-b-0" in run.names(JOB)


def test_a_set_of_nothing_is_not_complete() -> None:
    assert _run({"name": "a", "replicas": 0}).conditions(JOB_SET, "s") == []


def test_the_job_that_failed_first_is_named() -> None:
    run = _run({"name": "a"}, {"name": "b"})
    for name, second in (("s-a-0", 2), ("s-b-0", 1)):
        since = f"2026-01-02T03:04:0{second}Z"
        run.get(JOB, name)["status"] = {
            "conditions": [{"type": "Failed", "status": "True", "reason": "r", "lastTransitionTime": since}]
        }
    run.settle()
    assert "(first failed job: s-b-0)" in run.said(JOB_SET)[0][1]


@pytest.mark.parametrize(("strategy", "made_at_once"), [("Recreate", ["s-b-0"]), ("BlockingRecreate", [])])
def test_jobs_are_made_anew_beside_or_behind_those_that_go(strategy: str, made_at_once: list[str]) -> None:
    policy = {"maxRestarts": 1, "restartStrategy": strategy}
    run = _run({"name": "a"}, {"name": "b"}, failurePolicy=policy)
    run.get(JOB_SET, "s")["status"]["restarts"] = 1
    run.get(JOB, "s-a-0")["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    del run.world.objects[Key(JOB, "ns", "s-b-0")]
    assert made(plan_job_set(run.get(JOB_SET, "s"), run.world), JOB) == made_at_once


def test_jobs_in_order() -> None:
    run = _run({"name": "a"}, {"name": "b"}, startupPolicy={"startupPolicyOrder": "InOrder"})
    assert run.names(JOB) == ["s-a-0"]
    assert run.conditions(JOB_SET, "s") == ["StartupPolicyInProgress=True InOrderStartupPolicyInProgress"]
    run.start()
    assert run.names(JOB) == ["s-a-0", "s-b-0"]
    run.start()
    assert run.conditions(JOB_SET, "s")[-1] == "StartupPolicyCompleted=True InOrderStartupPolicyCompleted"
    assert run.conditions(JOB_SET, "s")[0].startswith("StartupPolicyInProgress=False")


def test_suspended_and_resumed_with_what_was_changed_meanwhile() -> None:
    run = _run({"name": "a", "template": job_template(2)})
    run.start()
    run.change(JOB_SET, "s", suspend=True)
    run.world.finish_deletions()
    run.settle()
    assert run.pods() == []
    assert run.conditions(JOB_SET, "s") == ["Suspended=True SuspendedJobs"]
    assert _counts(run, "a") == {"suspended": 1}
    jobs = copy.deepcopy(run.get(JOB_SET, "s")["spec"]["replicatedJobs"])
    pod = jobs[0]["template"]["spec"]["template"]
    pod["spec"]["nodeSelector"] = {"disk": "fast"}
    pod["metadata"] = {"labels": {"queue": "q"}}
    run.change(JOB_SET, "s", replicatedJobs=jobs, suspend=False)
    assert run.conditions(JOB_SET, "s") == ["Suspended=False ResumeJobs"]
    assert len(run.pods()) == 2
    pod = run.get(POD, run.pods()[0])
    assert pod["spec"]["nodeSelector"] == {"disk": "fast"}
    assert labels_of(pod)["queue"] == "q"


def test_a_set_that_begins_suspended_makes_no_pods() -> None:
    run = _run(suspend=True)
    assert run.names(JOB) == ["s-a-0"]
    assert [reason for reason, _ in run.said(JOB)] == ["Suspended"]
    run.change(JOB_SET, "s", suspend=False)
    assert len(run.pods()) == 1


def test_claims_are_shared_by_the_pods_that_mount_them() -> None:
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    template = job_template(volumeMounts=[{"name": "data", "mountPath": "/d"}])
    run = _run({"name": "a", "template": template}, {"name": "b"}, volumeClaimPolicies=[{"templates": [claim]}])
    assert run.names(PERSISTENT_VOLUME_CLAIM) == ["data-s"]
    volumes = run.get(JOB, "s-a-0")["spec"]["template"]["spec"]["volumes"]
    assert volumes == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-s"}}]
    assert "volumes" not in run.get(JOB, "s-b-0")["spec"]["template"]["spec"]


@pytest.mark.parametrize("policy", [{}, {"retentionPolicy": {"whenDeleted": "Retain"}}])
def test_claims_that_are_retained_belong_to_nobody(policy: Any) -> None:
    claim = {"metadata": {"name": "data"}, "spec": {}}
    run = _run(volumeClaimPolicies=[{"templates": [claim], **policy}])
    assert ("ownerReferences" in run.get(PERSISTENT_VOLUME_CLAIM, "data-s")["metadata"]) == (not policy)


def test_the_time_to_live() -> None:
    run = _run(ttlSecondsAfterFinished=60)
    run.end()
    run.wait(59)
    assert run.names(JOB_SET) == ["s"]
    run.wait(1)
    assert run.names(JOB_SET) == []
    assert run.names(JOB) == []


def test_the_coordinators_address_is_on_every_pod() -> None:
    run = _run({"name": "a"}, {"name": "b"}, coordinator={"replicatedJob": "b", "podIndex": 0})
    assert labels_of(run.get(JOB, "s-a-0"))["jobset.sigs.k8s.io/coordinator"] == "s-b-0-0.s"


def test_a_set_of_another_manager_is_left_alone() -> None:
    assert _run(managedBy="kueue.x-k8s.io/multikueue").names(JOB) == []
