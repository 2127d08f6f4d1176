"""Bells between the API and the driver."""

import asyncio

from beamhall.pipelines.signals import Signals, wait_for


async def test_all_that_woke_is_given_once() -> None:
    signals = Signals()
    signals.wake("a")
    signals.wake("b")
    signals.wake("a")
    assert await signals.woken() == {"a", "b"}
    signals.wake("c")
    assert await signals.woken() == {"c"}


async def test_followers_hear_of_their_run_only() -> None:
    signals = Signals()
    first, second, other = signals.follow("a"), signals.follow("a"), signals.follow("b")
    signals.publish("a")
    assert (first.is_set(), second.is_set(), other.is_set()) == (True, True, False)
    assert not signals.follow("a").is_set()


async def test_waiting_ends_by_a_bell_or_by_time() -> None:
    signals = Signals()
    async with asyncio.TaskGroup() as group:
        heard = group.create_task(wait_for(signals.follow("a"), 60))
        await asyncio.sleep(0)
        signals.publish("a")
    assert heard.result()
    assert not await wait_for(signals.follow("a"), 0.001)
