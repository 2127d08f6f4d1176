"""Which key is next: order, coalescing, one at a time, delays, back-off."""

import asyncio

import pytest

from beamhall.kernel.kinds import POD
from beamhall.kernel.objects import Key
from beamhall.runtime.queue import BACK_OFF_MAX_S, BACK_OFF_MIN_S, KeyQueue
from tests.models.virtual_time import LoopClock, ManualClock, virtually

A, B, C = (Key(POD, "n", name) for name in "abc")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def queue(clock: ManualClock) -> KeyQueue:
    return KeyQueue(clock)


def test_keys_come_in_order_and_once(queue: KeyQueue) -> None:
    for key in (A, B, A, A):
        queue.add(key)
    assert len(queue) == 2
    assert [queue.pop(), queue.pop(), queue.pop()] == [A, B, None]


def test_a_key_that_is_under_way_comes_again_only_when_done(queue: KeyQueue) -> None:
    queue.add(A)
    assert queue.pop() == A
    queue.add(A)
    queue.add(A)
    assert queue.pop() is None
    queue.done(A)
    assert queue.pop() == A
    queue.done(A)
    assert queue.pop() is None
    assert queue.is_idle


def test_delayed_keys_come_when_due_in_order_of_time(queue: KeyQueue, clock: ManualClock) -> None:
    queue.add_after(A, 5)
    queue.add_after(B, 2)
    queue.add_after(C, 9)
    assert queue.next_delay_s() == 2
    clock.elapsed_s = 1.9
    assert queue.pop() is None
    clock.elapsed_s = 6
    assert [queue.pop(), queue.pop(), queue.pop()] == [B, A, None]
    assert queue.next_delay_s() == 3


def test_of_two_delays_the_earlier_holds(queue: KeyQueue, clock: ManualClock) -> None:
    queue.add_after(A, 5)
    queue.add_after(A, 9)
    queue.add_after(B, 9)
    queue.add_after(B, 5)
    clock.elapsed_s = 5
    assert [queue.pop(), queue.pop()] == [A, B]
    clock.elapsed_s = 20
    assert queue.pop() is None


def test_being_planned_ends_the_delay(queue: KeyQueue, clock: ManualClock) -> None:
    queue.add_after(A, 5)
    queue.add(A)
    assert queue.pop() == A
    queue.done(A)
    clock.elapsed_s = 6
    assert queue.pop() is None
    assert queue.next_delay_s() is None


def test_back_off_doubles_up_to_a_limit_and_is_forgotten(queue: KeyQueue, clock: ManualClock) -> None:
    delays = []
    for number in range(1, 20):
        assert queue.add_failed(A) == number
        delay_s = queue.next_delay_s()
        assert delay_s is not None
        delays.append(delay_s)
        clock.elapsed_s += delay_s
        assert queue.pop() == A
        queue.done(A)
    assert delays[0] == pytest.approx(BACK_OFF_MIN_S)
    assert delays[3] == pytest.approx(8 * BACK_OFF_MIN_S)
    assert delays[-1] == pytest.approx(BACK_OFF_MAX_S)
    queue.forget_failures(A)
    assert queue.add_failed(A) == 1


def test_timers_that_no_longer_count_are_dropped(queue: KeyQueue) -> None:
    for _ in range(10_000):
        queue.add_after(A, 1000)
        queue.add(A)
        queue.pop()
        queue.done(A)
    assert len(queue._timers) < 200


@virtually
async def test_waiting_ends_with_a_key_or_a_delay() -> None:
    clock = LoopClock()
    queue = KeyQueue(clock)
    queue.add_after(A, 30)
    assert await queue.get() == A
    assert clock.monotonic() == pytest.approx(30)

    async def add_later() -> None:
        await asyncio.sleep(7)
        queue.add_after(B, 3)
        queue.add_after(C, 100)

    async with asyncio.TaskGroup() as group:
        group.create_task(add_later())
        assert await queue.get() == B
    assert clock.monotonic() == pytest.approx(40)
