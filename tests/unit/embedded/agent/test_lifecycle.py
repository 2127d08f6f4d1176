"""What to do next, as a table: a Pod, what is known, and the time give steps and when to look again."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamhall.embedded.agent.facts import ContainerFacts, Ending, PreStop, Trouble
from beamhall.embedded.agent.lifecycle import (
    BeginEnd,
    CallPreStop,
    CleanUp,
    Decision,
    Delete,
    PrepareImage,
    PrepareVolumes,
    Start,
    Terminate,
    decide,
    outcome,
)
from beamhall.embedded.agent.probing import Failure, Health
from tests.unit.embedded.agent.builders import PACE, at, container, facts, pod

NEW = ContainerFacts()
READY = ContainerFacts(preparation="ready")
MAKING = ContainerFacts(preparation="making")


def unwell(*codes, **health):
    return replace(container(*codes), health=Health(**health))


def hooked(pre_stop, **health):
    return replace(unwell(None, **health), pre_stop=pre_stop)


STUCK = Trouble("ErrImagePull", "no such image", 1, at(5))

CASES = {
    "volumes come first": (pod(), facts(volumes_ready=False), 0, [PrepareVolumes()], None),
    "then the environment": (pod(), facts(), 0, [PrepareImage("main")], None),
    "which is waited for": (pod(), facts(main=MAKING), 0, [], None),
    "then it starts": (pod(), facts(main=READY), 0, [Start("main", 0)], None),
    "a running one is left alone": (pod(), facts(main=container(None)), 9, [], None),
    "all containers start together": (
        pod(containers=("a", "b")), facts(a=READY, b=NEW), 0, [Start("a", 0), PrepareImage("b")], None,
    ),
    "trouble is waited out": (pod(), facts(main=ContainerFacts(trouble=STUCK)), 1, [], 5),
    "and then it is tried again": (pod(), facts(main=ContainerFacts(trouble=STUCK)), 5, [PrepareImage("main")], None),
    "volumes' trouble is waited out": (pod(), facts(volumes_ready=False, volumes_trouble=STUCK), 1, [], 5),
    "the first restart is immediate": (pod(), facts(main=container(1)), 1, [Start("main", 1)], None),
    "the second waits": (pod(), facts(main=container(1, 1)), 3, [], 12),
    "until it is time": (pod(), facts(main=container(1, 1)), 12, [Start("main", 2)], None),
    "the third waits twice as long": (pod(), facts(main=container(1, 1, 1)), 3, [], 23),
    "a long run starts over": (pod(), facts(main=container(1, 1, quick=0)), 2, [Start("main", 2)], None),
    "Always restarts a success too": (pod(), facts(main=container(0)), 1, [Start("main", 1)], None),
    "OnFailure does not": (pod("OnFailure"), facts(main=container(0)), 1, [], None),
    "OnFailure restarts a failure": (pod("OnFailure"), facts(main=container(1)), 1, [Start("main", 1)], None),
    "Never does not": (pod("Never"), facts(main=container(1)), 1, [], None),
    "init containers first": (pod(inits=("i", "j")), facts(i=READY, j=READY, main=READY), 0, [Start("i", 0)], None),
    "one after another": (
        pod(inits=("i", "j")), facts(i=container(0), j=READY, main=READY), 1, [Start("j", 0)], None,
    ),
    "then the others": (
        pod(inits=("i", "j")), facts(i=container(0), j=container(0), main=READY), 1, [Start("main", 0)], None,
    ),
    "a failed init container runs again": (
        pod(inits=("i",)), facts(i=container(1), main=READY), 1, [Start("i", 1)], None,
    ),
    "but not under Never": (pod("Never", inits=("i",)), facts(i=container(1), main=READY), 1, [], None),
    "a sidecar does not hold up the others": (
        pod(inits=("s*",)), facts(s=container(None), main=READY), 1, [Start("main", 0)], None,
    ),
    "a sidecar is restarted beside them": (
        pod("Never", inits=("s*",)), facts(s=container(0), main=container(None)), 1, [Start("s", 1)], None,
    ),
    "a sidecar ends after them": (
        pod("Never", inits=("s*",)), facts(s=container(None), main=container(0)), 1, [Terminate("s", at(31))], None,
    ),
    "a deletion ends what runs": (
        pod(deleted_at=30), facts(main=container(None)), 1, [Terminate("main", at(31))], None,
    ),
    "once": (
        pod(deleted_at=30), facts(main=container(None), terminating={"main": at(31)}), 2, [], None,
    ),
    "and again if the time is cut": (
        pod(deleted_at=3, grace=3), facts(main=container(None), terminating={"main": at(31)}), 2,
        [Terminate("main", at(4))], None,
    ),
    "a deleted Pod starts nothing": (pod(deleted_at=30), facts(main=READY), 1, [Delete()], None),
    "nor restarts": (pod(deleted_at=30), facts(main=container(1)), 1, [Delete()], None),
    "the object goes once": (pod(deleted_at=30), facts(main=container(0), is_deletion_asked=True), 1, [], None),
    "finalizers are waited for": (pod(deleted_at=0, grace=0), facts(main=container(0)), 1, [], None),
    "sidecars end last when deleted": (
        pod(deleted_at=30, inits=("s*",)), facts(s=container(None), main=container(None)), 1,
        [Terminate("main", at(31))], None,
    ),
    "then they end": (
        pod(deleted_at=30, inits=("s*",)), facts(s=container(None), main=container(0)), 1,
        [Terminate("s", at(31))], None,
    ),
    "a Pod that is gone is ended soon": (
        pod(), facts(main=container(None), gone_at=at(5)), 5, [Terminate("main", at(7))], None,
    ),
    "and cleaned up": (pod(), facts(main=container(0), gone_at=at(5)), 6, [CleanUp()], None),
    "a deadline is watched": (pod(activeDeadlineSeconds=60), facts(main=container(None)), 1, [], 60),
    "and noted for good": (
        pod(activeDeadlineSeconds=60), facts(main=container(None)), 60,
        [BeginEnd(Ending(at(90), "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"))],
        None,
    ),
    "before it acts": (
        pod(activeDeadlineSeconds=60), facts(main=container(None), ending=Ending(at(90), "DeadlineExceeded")), 60,
        [Terminate("main", at(90))], None,
    ),
    "a success at the deadline stays one": (
        pod("Never", activeDeadlineSeconds=60), facts(main=container(0)), 61, [], None,
    ),
    "a Pod that has ended starts nothing": (pod(phase="Succeeded"), facts(main=READY), 1, [], None),
    "but its leftovers end": (
        pod(phase="Failed"), facts(main=container(None)), 1, [Terminate("main", at(30))], None,
    ),
    "a sidecar that has not started holds up the others": (
        pod(inits=("s*",)), facts(s=unwell(None, is_started=False), main=READY), 1, [], None,
    ),
    "but nobody once they run": (
        pod(containers=("a", "b"), inits=("s*",)), facts(s=unwell(None, is_started=False), a=container(None), b=READY),
        1, [Start("b", 0)], None,
    ),
    "a failed probe ends the container": (
        pod(), facts(main=unwell(None, failure=Failure("failed liveness probe"))), 5,
        [Terminate("main", at(35), "Container main failed liveness probe, will be restarted")], None,
    ),
    "with the probe's own grace": (
        pod(), facts(main=unwell(None, failure=Failure("failed startup probe", 2))), 5,
        [Terminate("main", at(7), "Container main failed startup probe, will be restarted")], None,
    ),
    "once for a run": (
        pod(), facts(main=unwell(None, failure=Failure("failed liveness probe")), terminating={"main": at(35)}), 6,
        [], None,
    ),
    "and for good under Never": (
        pod("Never"), facts(main=unwell(None, failure=Failure("failed liveness probe"))), 5,
        [Terminate("main", at(35), "Container main failed liveness probe")], None,
    ),
    "and it is restarted whatever its exit code": (
        pod("OnFailure"),
        facts(main=replace(container(0), attempts=(replace(container(0).attempts[0], was_unwell=True),))), 5,
        [Start("main", 1)], None,
    ),
    "a deletion is no matter of health": (
        pod(deleted_at=30), facts(main=unwell(None, failure=Failure("failed liveness probe", 1))), 5,
        [Terminate("main", at(31))], None,
    ),
    "a preStop hook comes before SIGTERM": (
        pod(deleted_at=30), facts(main=hooked(PreStop())), 1, [CallPreStop("main", at(31))], 31,
    ),
    "which waits for it": (pod(deleted_at=30), facts(main=hooked(PreStop(at(31)))), 2, [], 31),
    "until it is over": (
        pod(deleted_at=30), facts(main=hooked(PreStop(at(31), is_over=True))), 2, [Terminate("main", at(31))], None,
    ),
    "or the time is": (
        pod(deleted_at=30), facts(main=hooked(PreStop(at(31)))), 31, [Terminate("main", at(31))], None,
    ),
    "a deletion without grace calls no hook": (
        pod(deleted_at=1, grace=0), facts(main=hooked(PreStop())), 1, [Terminate("main", at(1))], None,
    ),
    "nor does the end of a Pod that is gone": (
        pod(), facts(main=hooked(PreStop()), gone_at=at(5)), 5, [Terminate("main", at(7))], None,
    ),
    "hooks are called at once, SIGTERM is in turn": (
        pod(deleted_at=30, inits=("s*",)), facts(s=hooked(PreStop()), main=container(None)), 1,
        [CallPreStop("s", at(31)), Terminate("main", at(31))], 31,
    ),
    "sidecars end in turn, last one first": (
        pod(deleted_at=30, inits=("r*", "s*")),
        facts(r=container(None), s=hooked(PreStop(at(31), is_over=True)), main=container(0)), 2,
        [Terminate("s", at(31))], None,
    ),
    "a failed probe waits for the hook too": (
        pod(), facts(main=hooked(PreStop(at(35)), failure=Failure("failed liveness probe"))), 7, [], None,
    ),
    "an ended Pod that is deleted goes": (pod(phase="Failed", deleted_at=30), facts(), 1, [Delete()], None),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_decide(case):
    subject, known, now, steps, wake_at = case
    expected = Decision(tuple(steps), None if wake_at is None else at(wake_at))
    assert decide(subject, known, at(now), PACE) == expected


CODES = st.lists(st.integers(0, 2), max_size=4).flatmap(lambda codes: st.sampled_from([tuple(codes), (*codes, None)]))


@given(
    policy=st.sampled_from(["Always", "OnFailure", "Never"]),
    codes=st.tuples(CODES, CODES, CODES),
    deleted=st.booleans(),
    gone=st.booleans(),
    now=st.integers(0, 400),
)
def test_what_runs_is_not_started_and_what_ends_starts_nothing(policy, codes, deleted, gone, now):
    subject = pod(policy, ("a", "b"), ("i",), deleted_at=300 if deleted else None)
    known = facts(
        i=container(*codes[0]), a=container(*codes[1]), b=container(*codes[2]), gone_at=at(200) if gone else None
    )
    decision = decide(subject, known, at(now), PACE)
    starts = [step for step in decision.steps if isinstance(step, Start)]
    assert not {step.container for step in starts} & set(known.running())
    for step in starts:
        assert step.attempt == len(known.of(step.container).attempts)
    if deleted or gone or outcome(subject, known) is not None:
        assert not starts
    if any(isinstance(other, Delete | CleanUp) for other in decision.steps):
        assert not known.running()
