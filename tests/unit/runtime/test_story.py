"""The story of objects: what is worth a line, repetition, and its bounds."""

from beamhall.kernel.kinds import POD, TF_JOB
from beamhall.kernel.objects import Key
from beamhall.runtime import story as module
from beamhall.runtime.story import Story
from tests.models.virtual_time import ManualClock

KEY = Key(TF_JOB, "a", "x")


def test_it_tells_when_who_why_what_and_how_it_ended() -> None:
    clock = ManualClock()
    clock.elapsed_s = 61.5
    story = Story(clock)
    story.tell(KEY, "tfjob", why="2 Pods are missing", actions=["created Pod a/p"], outcome="Conflict: changed")
    assert story.of("tfjobs.kubeflow.org", "a", "x") == [
        {
            "time": "2026-01-01T00:01:01.500000Z",
            "controller": "tfjob",
            "why": "2 Pods are missing",
            "actions": ["created Pod a/p"],
            "outcome": "Conflict: changed",
            "times": 1,
        }
    ]
    assert story.of("tfjobs.kubeflow.org", "b", "x") == []


def test_nothing_done_for_the_same_reason_is_no_news() -> None:
    story = Story(ManualClock())
    story.tell(KEY, "tfjob", why="all is well")
    story.tell(KEY, "tfjob", why="all is well")
    story.tell(KEY, "tfjob", why="it runs")
    assert [entry["why"] for entry in story.of(TF_JOB.resource, "a", "x")] == ["all is well", "it runs"]


def test_the_same_again_is_counted() -> None:
    clock = ManualClock()
    story = Story(clock)
    for _ in range(3):
        clock.elapsed_s += 1
        story.tell(KEY, "tfjob", why="w", actions=["a"], outcome="ServiceUnavailable: no")
    (entry,) = story.of(TF_JOB.resource, "a", "x")
    assert entry["times"] == 3
    assert entry["time"].startswith("2026-01-01T00:00:03")


def test_it_is_bounded_by_object_and_in_all() -> None:
    story = Story(ManualClock())
    for number in range(100):
        story.tell(KEY, "tfjob", why=str(number))
    kept = story.of(TF_JOB.resource, "a", "x")
    assert [entry["why"] for entry in kept] == [str(n) for n in range(100 - module.ENTRIES_PER_OBJECT, 100)]
    for number in range(module.OBJECTS_LIMIT):
        story.tell(Key(POD, "a", str(number)), "c", why="w")
    assert story.of(TF_JOB.resource, "a", "x") == []
    assert story.of("pods", "a", "0")
