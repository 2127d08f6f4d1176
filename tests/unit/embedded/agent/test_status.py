"""The status that is reported, as tables."""

from dataclasses import replace

import pytest

from beamhall.embedded.agent.facts import ContainerFacts, Ending, Trouble
from beamhall.embedded.agent.probing import Failure, Health
from beamhall.embedded.agent.status import pod_status, reported_health
from tests.unit.embedded.agent.builders import PACE, at, container, facts, pod

READY = ContainerFacts(preparation="ready")
STUCK = Trouble("ErrImagePull", "no such image", 1, at(5))


def status_of(subject, known, now=100):
    return pod_status(subject, known, at(now), PACE, "127.0.0.1")


PHASES = {
    "nothing yet": (pod(), facts(), "Pending"),
    "waiting": (pod(), facts(main=ContainerFacts(trouble=STUCK)), "Pending"),
    "runs": (pod(), facts(main=container(None)), "Running"),
    "one of two": (pod(containers=("a", "b")), facts(a=container(None), b=READY), "Pending"),
    "one ended, one runs": (pod("Never", ("a", "b")), facts(a=container(1), b=container(None)), "Running"),
    "between restarts": (pod(), facts(main=container(1, 1)), "Running"),
    "succeeded": (pod("Never", ("a", "b")), facts(a=container(0), b=container(0)), "Succeeded"),
    "failed": (pod("Never", ("a", "b")), facts(a=container(0), b=container(2)), "Failed"),
    "initializing": (pod(inits=("i",)), facts(i=container(None), main=READY), "Pending"),
    "init failed": (pod("Never", inits=("i",)), facts(i=container(1), main=READY), "Failed"),
    "init fails again": (pod(inits=("i",)), facts(i=container(1, 1), main=READY), "Pending"),
    "done but for a sidecar": (
        pod("Never", inits=("s*",), phase="Running"), facts(s=container(None), main=container(0)), "Running",
    ),
    "its hook is not over": (
        pod(), facts(main=replace(container(None), health=Health(is_hooked=False, is_started=False))), "Pending",
    ),
    "ending": (pod(deleted_at=200), facts(main=container(None)), "Running"),
    "deleted, had to be killed": (pod(deleted_at=200), facts(main=container(137)), "Failed"),
    "deleted, ended well": (pod(deleted_at=200), facts(main=container(0)), "Succeeded"),
    "deleted before it ran": (pod(deleted_at=200), facts(main=READY), "Failed"),
    "deadline": (pod(), facts(main=container(0), ending=Ending(at(90), "DeadlineExceeded", "late")), "Failed"),
    "a final phase stays": (pod(phase="Succeeded"), facts(main=container(1)), "Succeeded"),
}  # fmt: skip


@pytest.mark.parametrize("case", PHASES.values(), ids=PHASES)
def test_phase(case):
    subject, known, phase = case
    assert status_of(subject, known)["phase"] == phase


def test_what_volumes_lack_is_said_while_they_do() -> None:
    held = Trouble("FailedMount", 'secret "s" not found', 1, at(5))
    state = {"waiting": {"reason": "ContainerCreating", "message": 'secret "s" not found'}}
    for ready, expected in ((False, state), (True, {"waiting": {"reason": "ContainerCreating"}})):
        known = facts(volumes_ready=ready, volumes_trouble=held)
        assert status_of(pod(), known)["containerStatuses"][0]["state"] == expected


STATES = {
    "creating": (pod(), READY, {"waiting": {"reason": "ContainerCreating"}}, {}),
    "initializing": (pod(inits=("i",)), READY, {"waiting": {"reason": "PodInitializing"}}, {}),
    "trouble": (
        pod(), ContainerFacts(trouble=STUCK), {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}, {},
    ),
    "running": (pod(), container(None), {"running": {"startedAt": "2026-01-01T12:00:00Z"}}, {}),
    "back-off": (
        pod(), container(1, 1),
        {"waiting": {
            "reason": "CrashLoopBackOff",
            "message": "back-off 10s restarting failed container=main pod=p_ns(u)",
        }},
        {"exitCode": 1, "reason": "Error", "startedAt": "2026-01-01T12:00:01Z", "finishedAt": "2026-01-01T12:00:02Z",
         "containerID": "beamhall://u.main.1"},
    ),
    "runs again": (
        pod(), container(1, None), {"running": {"startedAt": "2026-01-01T12:00:01Z"}},
        {"exitCode": 1, "reason": "Error", "startedAt": "2026-01-01T12:00:00Z", "finishedAt": "2026-01-01T12:00:01Z",
         "containerID": "beamhall://u.main.0"},
    ),
    "runs once its postStart hook is over": (
        pod(), replace(container(None), health=Health(is_hooked=False, is_started=False)),
        {"waiting": {"reason": "ContainerCreating"}}, {},
    ),
    "completed": (
        pod("Never"), container(0),
        {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": "2026-01-01T12:00:00Z",
                        "finishedAt": "2026-01-01T12:00:01Z", "containerID": "beamhall://u.main.0"}}, {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", STATES.values(), ids=STATES)
def test_container_state(case):
    subject, known, state, last = case
    (entry,) = status_of(subject, facts(main=known))["containerStatuses"]
    assert entry["state"] == state
    assert entry["lastState"] == ({"terminated": last} if last else {})
    assert entry["restartCount"] == max(0, len(known.attempts) - 1)


def test_conditions_keep_their_transition_times_and_those_of_others():
    subject = pod()
    subject["status"] = {
        "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": "x"},
            {"type": "Ready", "status": "True", "lastTransitionTime": "y"},
            {"type": "theirs", "status": "True"},
        ]
    }
    found = {c["type"]: c for c in status_of(subject, facts(main=container(None)))["conditions"]}
    assert found["PodScheduled"] == {"type": "PodScheduled", "status": "True", "lastTransitionTime": "x"}
    assert found["Ready"] == {"type": "Ready", "status": "True", "lastTransitionTime": "y"}
    assert found["ContainersReady"]["lastTransitionTime"] == "2026-01-01T12:01:40Z"
    assert found["theirs"] == {"type": "theirs", "status": "True"}


def test_an_unready_pod_says_which_container():
    known = facts(a=container(None), b=READY)
    found = {c["type"]: c for c in status_of(pod(containers=("a", "b")), known)["conditions"]}
    assert found["Ready"]["reason"] == "ContainersNotReady"
    assert found["Ready"]["message"] == "containers with unready status: [b]"
    assert found["Initialized"]["status"] == "True"
    assert found["PodScheduled"]["status"] == "True"


HEALTH = {
    "no probes": (Health(), (True, True)),
    "not started": (Health(is_started=False), (False, False)),
    "not ready": (Health(is_ready=False), (True, False)),
}


@pytest.mark.parametrize("case", HEALTH.values(), ids=HEALTH)
@pytest.mark.parametrize("inits", [(), ("s*",)])
def test_probes_decide_who_is_started_and_ready(case, inits):
    health, expected = case
    unsure, well = replace(container(None), health=health), container(None)
    known = facts(s=unsure, main=well) if inits else facts(main=unsure)
    status = status_of(pod(inits=inits), known)
    (entry,) = status["initContainerStatuses" if inits else "containerStatuses"]
    assert (entry["started"], entry["ready"]) == expected
    ready = {c["type"]: c["status"] for c in status["conditions"]}["Ready"]
    assert ready == ("True" if expected[1] else "False")


GATES = {
    "missing": ([], 'corresponding condition of pod readiness gate "g" does not exist.'),
    "false": ([{"type": "g", "status": "False"}], 'the status of pod readiness gate "g" is not "True", but False'),
    "true": ([{"type": "g", "status": "True"}], ""),
}


@pytest.mark.parametrize("case", GATES.values(), ids=GATES)
def test_readiness_gates(case):
    theirs, message = case
    subject = pod(readinessGates=[{"conditionType": "g"}])
    subject["status"] = {"conditions": theirs}
    found = {c["type"]: c for c in status_of(subject, facts(main=container(None)))["conditions"]}
    assert found["ContainersReady"]["status"] == "True"
    assert (found["Ready"]["status"], found["Ready"].get("message", "")) == ("False" if message else "True", message)


def test_a_run_that_was_taken_over_has_the_health_that_was_reported():
    subject = pod()
    entry = {"name": "main", "containerID": "beamhall://u.main.0", "started": True, "ready": False}
    subject["status"] = {"containerStatuses": [entry]}
    plain = subject["spec"]["containers"][0]
    probed = plain | {"startupProbe": {"exec": {}}, "readinessProbe": {"exec": {}}}
    unproved = Health(is_started=False, is_ready=False)
    assert reported_health(subject, probed, 0, is_unwell=False) == Health(is_ready=False)
    assert reported_health(subject, probed, 1, is_unwell=False) == unproved
    assert reported_health(subject, plain, 0, is_unwell=False) == Health()
    assert reported_health(subject, probed, 0, is_unwell=True) == replace(
        unproved, failure=Failure("failed a probe or a hook")
    )


def test_addresses_and_start():
    status = status_of(pod(), facts(address="127.64.0.1", started_at=1))
    assert (status["podIP"], status["podIPs"]) == ("127.64.0.1", [{"ip": "127.64.0.1"}])
    assert (status["hostIP"], status["startTime"]) == ("127.0.0.1", "2026-01-01T12:00:01Z")
