"""From a probe's answers to what they say of a container, as tables."""

import pytest

from beamhall.embedded.agent.probing import (
    WELL,
    Failure,
    Health,
    Probe,
    Tally,
    count,
    initial_health,
    judge,
    probes_of,
)

GOOD, BAD = True, False
VERDICTS = {  # success threshold, failure threshold, verdict before, answers, verdicts after each
    "the first success counts": (1, 3, None, [GOOD], [True]),
    "a failure below its threshold says nothing": (1, 3, None, [BAD, BAD], [None, None]),
    "at its threshold it does": (1, 3, None, [BAD, BAD, BAD], [None, None, False]),
    "a success in between starts the count anew": (1, 2, None, [BAD, GOOD, BAD], [None, True, True]),
    "what was good stays so for a while": (1, 3, True, [BAD, BAD, BAD], [True, True, False]),
    "what was bad must prove itself": (2, 1, False, [GOOD, GOOD], [False, True]),
    "in a row": (2, 1, False, [GOOD, BAD, GOOD, GOOD], [False, False, False, True]),
    "more of the same changes nothing": (1, 1, None, [GOOD, GOOD, BAD, BAD], [True, True, False, False]),
}


@pytest.mark.parametrize("case", VERDICTS.values(), ids=VERDICTS)
def test_verdicts(case):
    success, failure, before, answers, expected = case
    probe = Probe("readiness", {}, success_threshold=success, failure_threshold=failure)
    tally, verdicts = Tally(before), []
    for answer in answers:
        tally = count(tally, probe, answer)
        verdicts.append(tally.verdict)
    assert verdicts == expected


NEW = Health(is_started=False, is_ready=False)
LIVENESS = Probe("liveness", {}, grace_s=5)
JUDGEMENTS = {
    "a startup probe succeeds": (NEW, Probe("startup", {}), True, Health(is_started=True, is_ready=False)),
    "or says nothing yet": (NEW, Probe("startup", {}), None, NEW),
    "or fails": (
        NEW, Probe("startup", {}), False,
        Health(is_started=False, is_ready=False, failure=Failure("failed startup probe")),
    ),
    "liveness fails, with its own grace": (WELL, LIVENESS, False, Health(failure=Failure("failed liveness probe", 5))),
    "liveness goes on": (WELL, LIVENESS, True, WELL),
    "readiness comes": (Health(is_ready=False), Probe("readiness", {}), True, WELL),
    "and goes, and nothing is ended for it": (WELL, Probe("readiness", {}), False, Health(is_ready=False)),
    "not known is not ready": (Health(is_ready=False), Probe("readiness", {}), None, Health(is_ready=False)),
}  # fmt: skip


@pytest.mark.parametrize("case", JUDGEMENTS.values(), ids=JUDGEMENTS)
def test_judgements(case):
    before, probe, verdict, expected = case
    assert judge(before, probe, verdict) == expected


@pytest.mark.parametrize(
    ("purposes", "has_hook", "expected"),
    [
        ((), False, WELL),
        (("readiness",), False, Health(is_ready=False)),
        (("startup",), False, Health(is_started=False)),
        (("liveness",), False, WELL),
        ((), True, Health(is_hooked=False, is_started=False)),
    ],
)
def test_what_a_new_container_must_prove(purposes, has_hook, expected):
    assert initial_health([Probe(purpose, {}) for purpose in purposes], has_hook=has_hook) == expected


def test_probes_are_read_from_the_container():
    stated = {
        "httpGet": {"port": 80}, "initialDelaySeconds": 2, "periodSeconds": 3, "timeoutSeconds": 4,
        "successThreshold": 1, "failureThreshold": 6, "terminationGracePeriodSeconds": 0,
    }  # fmt: skip
    readiness = {"exec": {"command": ["true"]}}
    probes = probes_of({"name": "c", "readinessProbe": readiness, "startupProbe": stated})
    assert probes == [Probe("startup", stated, 2, 3, 4, 1, 6, 0), Probe("readiness", readiness, 0, 10, 1, 1, 3, None)]
    assert not probes_of({"name": "c"})
