"""CronJobs: when Jobs are made, which are kept, and what is reported."""

from typing import Any

import pytest

from beamhall.embedded.workloads.cron_jobs import plan_cron_job
from beamhall.kernel.kinds import CRON_JOB, JOB
from beamhall.kernel.objects import Key, Object, annotations_of, labels_of, name_of
from beamhall.kernel.plan import Plan
from tests.planning import World, deleted, made, said

SPEC = {"concurrencyPolicy": "Allow", "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1}
TEMPLATE = {"metadata": {"labels": {"team": "a"}}, "spec": {"template": {"spec": {"restartPolicy": "Never"}}}}
MINUTE = 29_455_384  # of 2026-01-02T03:04


class Cron:
    """A CronJob ``ns/c``, made at 03:04:05, and the job controller's part by hand."""

    def __init__(self, schedule: str = "*/10 * * * *", **spec: Any) -> None:
        metadata = {"name": "c", "namespace": "ns", "uid": "cron-uid"}
        self.world = World(
            (CRON_JOB, {"metadata": metadata, "spec": {**SPEC, "schedule": schedule, "jobTemplate": TEMPLATE, **spec}})
        )
        self.settle()

    @property
    def object(self) -> Object:
        return self.world.objects[Key(CRON_JOB, "ns", "c")]

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.object.get("status") or {}
        return status

    @property
    def jobs(self) -> list[int]:
        """The minutes, after 03:04, whose Jobs are there."""
        return [int(name_of(job).removeprefix("c-")) - MINUTE for job in self.world.list(JOB)]

    def settle(self) -> None:
        self.world.settle(plan_cron_job, CRON_JOB, "c")

    def plan(self) -> Plan:
        return plan_cron_job(self.object, self.world)

    def wait(self, minutes: float) -> None:
        self.world.advance(60 * minutes)
        self.settle()

    def end(self, minute: int, type_: str = "Complete") -> None:
        now = self.world.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        job = self.world.objects[Key(JOB, "ns", f"c-{MINUTE + minute}")]
        job["status"] = {"startTime": now, "conditions": [{"type": type_, "status": "True"}]}
        if type_ == "Complete":
            job["status"]["completionTime"] = now
        self.settle()


def test_a_job_at_each_time() -> None:
    cron = Cron()
    assert cron.jobs == []
    cron.wait(5)
    assert cron.jobs == []
    cron.wait(1)
    assert cron.jobs == [6]
    (job,) = cron.world.list(JOB)
    assert labels_of(job) == {"team": "a"}
    assert annotations_of(job) == {"batch.kubernetes.io/cronjob-scheduled-timestamp": "2026-01-02T03:10:00Z"}
    assert job["spec"] == TEMPLATE["spec"]
    assert cron.status["lastScheduleTime"] == "2026-01-02T03:10:00Z"
    assert [reference["name"] for reference in cron.status["active"]] == [name_of(job)]
    cron.wait(10)
    assert cron.jobs == [6, 16]
    assert said(cron.world.events)[0] == ("SuccessfulCreate", f"Created job c-{MINUTE + 6}")


def test_it_looks_again_when_the_next_is_due_but_at_least_once_a_minute() -> None:
    cron = Cron()
    assert cron.plan().again_after_s == 60
    cron.wait(5.5)
    assert cron.plan().again_after_s == 25


def test_a_stale_view_makes_no_second_job() -> None:
    cron = Cron()
    cron.world.advance(600)
    stale = cron.world.snapshot()
    cron.settle()
    cron.world.carry_out(plan_cron_job(stale.objects[Key(CRON_JOB, "ns", "c")], stale))
    assert cron.jobs == [6]


def test_a_stale_cron_job_makes_no_job_again_that_is_done_and_gone() -> None:
    cron = Cron(successfulJobsHistoryLimit=0)
    cron.world.advance(600)
    stale = cron.world.snapshot()
    cron.settle()
    cron.end(6)
    assert cron.jobs == []
    cron.world.carry_out(plan_cron_job(stale.objects[Key(CRON_JOB, "ns", "c")], stale))
    assert cron.jobs == []


def test_a_job_that_was_made_before_a_crash_is_not_made_again() -> None:
    cron = Cron()
    cron.wait(10)
    cron.end(6)
    del cron.object["status"]["lastScheduleTime"]
    cron.settle()
    assert cron.jobs == [6]
    assert cron.status["lastScheduleTime"] == "2026-01-02T03:10:00Z"


def test_the_time_zone_counts() -> None:
    cron = Cron("30 8 * * *", timeZone="Asia/Kolkata")  # 03:00 UTC
    cron.wait(60 * 24)
    (job,) = cron.world.list(JOB)
    assert list(annotations_of(job).values()) == ["2026-01-03T08:30:00+05:30"]


@pytest.mark.parametrize(
    ("policy", "jobs", "event"),
    [
        ("Allow", [6, 16], "SuccessfulCreate"),
        ("Forbid", [6], "JobAlreadyActive"),
        ("Replace", [16], "SuccessfulDelete"),
    ],
)
def test_while_an_earlier_one_runs(policy: str, jobs: list[int], event: str) -> None:
    cron = Cron(concurrencyPolicy=policy)
    cron.wait(10)
    cron.wait(10)
    assert cron.jobs == jobs
    assert event in [reason for reason, _ in said(cron.world.events)]


def test_what_was_forbidden_is_made_up_for_once() -> None:
    cron = Cron(concurrencyPolicy="Forbid")
    cron.wait(10)
    cron.wait(30)
    assert cron.jobs == [6]
    cron.end(6)
    assert cron.jobs == [36, 6][::-1]


@pytest.mark.parametrize(("deadline_s", "jobs"), [(None, [116]), (300, [116]), (60, [])])
def test_what_was_missed(deadline_s: int | None, jobs: list[int]) -> None:
    cron = Cron(startingDeadlineSeconds=deadline_s)
    cron.wait(118)
    assert cron.jobs == jobs


def test_very_much_was_missed() -> None:
    cron = Cron("* * * * *")
    cron.wait(90)
    assert "TooManyMissedTimes" not in [reason for reason, _ in said(cron.world.events)]
    cron.wait(200)
    assert cron.jobs == [90, 290]
    assert "TooManyMissedTimes" in [reason for reason, _ in said(cron.world.events)]


def test_suspended() -> None:
    cron = Cron(suspend=True)
    cron.wait(60)
    assert cron.jobs == []
    assert cron.plan().again_after_s is None
    cron.object["spec"]["suspend"] = False
    cron.settle()
    assert cron.jobs == [56]


def test_jobs_that_ended_are_kept_for_a_while() -> None:
    cron = Cron(successfulJobsHistoryLimit=2, failedJobsHistoryLimit=1)
    for minute, end in ((6, "Complete"), (16, "Failed"), (26, "Complete"), (36, "Failed"), (46, "Complete")):
        cron.wait(10)
        cron.end(minute, end)
    assert cron.jobs == [26, 36, 46]
    assert cron.status["lastSuccessfulTime"] == "2026-01-02T03:54:05Z"
    assert "active" not in cron.status
    assert ("SawCompletedJob", f"Saw completed job: c-{MINUTE + 16}, condition: Failed") in said(cron.world.events)


def test_a_job_that_went_missing_is_told() -> None:
    cron = Cron()
    cron.wait(10)
    del cron.world.objects[Key(JOB, "ns", f"c-{MINUTE + 6}")]
    cron.settle()
    assert ("MissingJob", f"Active job went missing: c-{MINUTE + 6}") in said(cron.world.events)
    assert "active" not in cron.status


def test_jobs_that_people_make_of_it_do_not_hold_it_up() -> None:
    cron = Cron(concurrencyPolicy="Forbid")
    metadata = {"name": "by-hand", "namespace": "ns"}
    reference = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "c", "uid": "cron-uid", "controller": True}
    cron.world.put(JOB, {"metadata": {**metadata, "ownerReferences": [reference]}, "spec": {}})
    plan = cron.plan()
    assert (made(plan, JOB), deleted(plan, JOB)) == ([], [])
    cron.world.advance(600)
    assert made(cron.plan(), JOB) == [f"c-{MINUTE + 6}"]


def test_a_schedule_that_is_not_understood_is_told() -> None:
    cron = Cron("* * * * *", timeZone="Not/There")
    cron.wait(10)
    assert "active" not in cron.status
    assert said(cron.plan().actions)[0][0] == "UnparseableSchedule"
