"""Schedules under crashes, long pauses and clocks that jump: no time is made twice, and with catch-up none is lost."""

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from beamhall.history.records import RecurringRun
from beamhall.pipelines.schedules.planning import due, run_id

_SECOND = 1_000_000
_BEGAN = int(datetime(2026, 3, 28, tzinfo=UTC).timestamp())

_interval = st.integers(1, 5000).map(lambda s: ({"interval_s": s}, lambda at: (at - _BEGAN) % s == 0))
_minutes = st.sampled_from([1, 5, 20, 30]).map(
    lambda m: ({"cron": f"*/{m} * * * *", "time_zone": "Europe/Zurich"}, lambda at: at % (m * 60) == 0)
)
_seconds = st.sampled_from([10, 30]).map(lambda s: ({"cron": f"*/{s} * * * * *"}, lambda at: at % s == 0))
_step = st.one_of(
    st.tuples(st.just("wait"), st.integers(0, 20_000)),
    st.tuples(st.just("jump back"), st.integers(0, 20_000)),
    st.tuples(st.just("end runs"), st.integers(1, 10)),
    st.tuples(st.just("look"), st.booleans()),  # False: the transaction is lost in a crash
)


class _Service:
    """What is committed: the schedule and its runs."""

    def __init__(self, schedule: RecurringRun) -> None:
        self.schedule = schedule
        self.made: list[int] = []
        self.running = 0

    def look(self, now: int, is_committed: bool) -> int:
        found = due(self.schedule, now * _SECOND, self.running, "UTC")
        if is_committed and found.ticks:
            self.made += [tick // _SECOND for tick in found.ticks]
            self.running += len(found.ticks)
            self.schedule = msgspec.structs.replace(self.schedule, last_at=found.ticks[-1], next_at=found.next_at)
        return len(found.ticks)


@given(
    trigger=st.one_of(_interval, _minutes, _seconds),
    no_catchup=st.booleans(),
    concurrency=st.integers(1, 10),
    length_s=st.one_of(st.just(0), st.integers(1, 40_000)),
    steps=st.lists(_step, max_size=30),
)
def test_no_time_is_made_twice_and_none_is_lost(trigger, no_catchup, concurrency, length_s, steps) -> None:
    fields, is_time = trigger
    service = _Service(
        RecurringRun(
            id="s", namespace="n", experiment_id="e", display_name="s", created_at=_BEGAN * _SECOND,
            updated_at=_BEGAN * _SECOND, max_concurrency=concurrency, no_catchup=no_catchup,
            end_at=(_BEGAN + length_s) * _SECOND if length_s else 0, **fields,
        )
    )  # fmt: skip
    now = furthest = _BEGAN
    for what, value in steps:
        if what == "wait":
            now += value
        elif what == "jump back":
            now -= value
        elif what == "end runs":
            service.running = max(0, service.running - value)
        else:
            service.look(now, value)
            furthest = max(furthest, now)
        assert service.running <= concurrency
    now = furthest = max(now, furthest)
    service.running = 0
    while service.look(now, is_committed=True):
        service.running = 0
    end = min(furthest, _BEGAN + length_s) if length_s else furthest
    wanted = [at for at in range(_BEGAN + 1, end + 1) if is_time(at)]
    assert service.made == sorted(set(service.made))
    assert set(service.made) <= set(wanted)
    if no_catchup:
        assert service.made[-1:] == wanted[-1:]
    else:
        assert service.made == wanted
    assert len({run_id(service.schedule, tick * _SECOND) for tick in service.made}) == len(service.made)


def test_the_furthest_past_is_soon_caught_up_with_at_one_run_a_look() -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    service = _Service(
        RecurringRun(
            id="s", namespace="n", experiment_id="e", display_name="s", interval_s=3600, max_concurrency=1,
            created_at=int(began.timestamp()) * _SECOND, updated_at=0,
        )
    )  # fmt: skip
    now = int((began + timedelta(days=10)).timestamp())
    while service.look(now, is_committed=True):
        service.running = 0
    assert len(service.made) == 240
