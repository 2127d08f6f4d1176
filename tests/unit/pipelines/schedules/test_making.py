"""Runs that schedules make, in the history."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from beamhall.history.history import History, sqlite_url
from beamhall.history.protocol import Writing
from beamhall.history.queries import Order, Where
from beamhall.history.records import Experiment, Pipeline, PipelineVersion, RecurringRun, Run, Specification
from beamhall.kernel.errors import UserError
from beamhall.pipelines.schedules import loop
from beamhall.pipelines.schedules.loop import Schedules
from beamhall.pipelines.schedules.making import make_runs
from beamhall.pipelines.schedules.triggers import moment_of
from beamhall.pipelines.signals import Signals
from tests.postgresql import BOTH
from tests.unit.pipelines.specs import spec

both = pytest.mark.parametrize("history", BOTH, indirect=True)
BEGAN = datetime(2026, 1, 1, 10, tzinfo=UTC)


class _Clock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.time = BEGAN

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return (self.time - BEGAN).total_seconds()


def _later(**span: float) -> int:
    return moment_of(BEGAN + timedelta(**span))


def _add_version(tx: Writing, name: str, document: Any) -> None:
    tx.add(Specification(id=f"of {name}", namespace="", body=json.dumps(document)))
    tx.add(
        PipelineVersion(
            id=name, namespace="default", pipeline_id="p", name=name, display_name=name,
            created_at=int(name[1:]), spec_digest=f"of {name}",
        )
    )  # fmt: skip


async def _fill(history: History, **fields: Any) -> None:
    """Put a schedule of every hour there that takes the newest version of a pipeline."""

    def fill(tx: Writing) -> None:
        tx.add(Experiment(id="e", namespace="default", display_name="lab", created_at=1))
        tx.add(Pipeline(id="p", namespace="default", name="p", display_name="P", created_at=1))
        _add_version(tx, "v1", spec())
        tx.add(
            RecurringRun(
                **{
                    "id": "s", "namespace": "default", "experiment_id": "e", "display_name": "hourly",
                    "created_at": moment_of(BEGAN), "updated_at": 1, "interval_s": 3600, "next_at": _later(hours=1),
                    "pipeline_id": "p", "spec_digest": "of v1", **fields,
                }
            )
        )  # fmt: skip

    await history.write(fill)


async def _make(history: History, **span: float) -> tuple[list[str], int]:
    made = await history.write(lambda tx: make_runs(tx, _later(**span), "UTC"))
    return list(made.run_ids), made.next_at


async def _runs(history: History) -> list[Run]:
    return list(await history.read(lambda tx: tx.find(Run, order=Order("scheduled_at"))))


async def _schedule(history: History) -> RecurringRun:
    found = await history.read(lambda tx: tx.get(RecurringRun, "s"))
    assert found is not None
    return found


async def _finish(history: History) -> None:
    await history.write(lambda tx: tx.change(Run, Where("id", "!=", ""), state="SUCCEEDED"))


@both
async def test_a_run_is_made_at_its_time_with_its_macros_filled_in(history: History) -> None:
    parameters = {"text": "[[ScheduledTime.15:04]] [[Index]] [[RunUUID]]"}
    await _fill(history, parameters=parameters, pipeline_root="/r", service_account="sa", description="d")
    assert await _make(history, minutes=59) == ([], _later(hours=1))
    made, next_at = await _make(history, hours=1, seconds=2)
    (run,) = await _runs(history)
    assert (made, next_at) == ([run.id], _later(hours=2))
    now = _later(hours=1, seconds=2)
    assert run == Run(
        id=run.id, namespace="default", experiment_id="e", display_name="hourly-1-20260101110000", created_at=now,
        scheduled_at=_later(hours=1), recurring_run_id="s", pipeline_name="p", pipeline_id="p",
        pipeline_version_id="v1", spec_digest="of v1", service_account="sa", pipeline_root="/r", description="d",
        parameters={"text": f"11:00 1 {run.id}"}, state_history=[{"update_time": now, "state": "PENDING"}],
    )  # fmt: skip
    schedule = await _schedule(history)
    assert (schedule.last_at, schedule.next_at, schedule.count) == (_later(hours=1), _later(hours=2), 1)
    experiment = await history.read(lambda tx: tx.get(Experiment, "e"))
    assert experiment is not None
    assert experiment.last_run_created_at == now


@both
async def test_nothing_is_made_twice(history: History) -> None:
    await _fill(history, max_concurrency=2)
    await _make(history, hours=1)
    for hours in (1, 0.5, 1):  # the clock was set back
        assert await _make(history, hours=hours) == ([], _later(hours=2))
    # As if the run had been made and the schedule's new state lost.
    lost = {"last_at": 0, "next_at": _later(hours=1), "count": 0}
    await history.write(lambda tx: tx.change(RecurringRun, Where("id", "=", "s"), **lost))
    assert await _make(history, hours=1) == ([], _later(hours=2))
    assert len(await _runs(history)) == 1


@both
async def test_what_was_missed_is_made_up_for_as_there_is_room(history: History) -> None:
    await _fill(history, max_concurrency=2)
    names = []
    for _ in range(3):
        assert len((await _make(history, hours=5))[0]) <= 2
        assert await _make(history, hours=5) == ([], (await _schedule(history)).next_at)  # no room
        names = [run.display_name for run in await _runs(history)]
        await _finish(history)
    assert names == [f"hourly-{n}-20260101{10 + n}0000" for n in range(1, 6)]


async def test_the_newest_version_is_the_one_at_the_time(history: History) -> None:
    await _fill(history, parameters={"lr": 0.2})
    await _make(history, hours=1)
    await _finish(history)
    await history.write(lambda tx: _add_version(tx, "v2", spec()))
    await _make(history, hours=2)
    await _finish(history)
    other = spec()
    del other["root"]["inputDefinitions"]["parameters"]["lr"]
    await history.write(lambda tx: _add_version(tx, "v3", other))
    assert await _make(history, hours=3) == ([], _later(hours=4))
    schedule = await _schedule(history)
    assert schedule.error.startswith("the run of 2026-01-01T13:00:00Z could not be made: parameter(s) provided are not")
    assert (schedule.status, schedule.last_at, schedule.count) == ("ENABLED", _later(hours=3), 2)
    # The next time it is tried again, and what was wrong is not told any more.
    await history.write(lambda tx: tx.change(RecurringRun, Where("id", "=", "s"), parameters={}))
    assert len((await _make(history, hours=4))[0]) == 1
    assert (await _schedule(history)).error == ""
    assert [run.pipeline_version_id for run in await _runs(history)] == ["v1", "v2", "v3"]
    assert (await _runs(history))[-1].display_name == "hourly-3-20260101140000"


def _archive(tx: Writing) -> None:
    tx.change(Experiment, Where("id", "=", "e"), storage_state="ARCHIVED")


def _remove_experiment(tx: Writing) -> None:
    tx.remove(Experiment, Where("id", "=", "e"))


def _remove_versions(tx: Writing) -> None:
    tx.remove(PipelineVersion, Where("pipeline_id", "=", "p"))


def _remove_pipeline(tx: Writing) -> None:
    _remove_versions(tx)
    tx.remove(Pipeline, Where("id", "=", "p"))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (_archive, 'experiment "lab" is archived'),
        (_remove_experiment, "Experiment e not found"),
        (_remove_versions, "pipeline 'p' has no version"),
        (_remove_pipeline, "Pipeline 'p' not found"),
    ],
)
async def test_what_it_needs_is_gone_and_it_says_so(history: History, change: Any, part: str) -> None:
    await _fill(history)
    await history.write(change)
    assert await _make(history, hours=1) == ([], _later(hours=2))
    assert part in (await _schedule(history)).error


async def test_one_that_cannot_be_understood_does_not_stop_the_others(history: History) -> None:
    await _fill(history)
    broken = RecurringRun(
        id="broken", namespace="default", experiment_id="e", display_name="b", created_at=1, updated_at=1,
        cron="0 3 * * *", time_zone="Mars/Olympus", next_at=_later(minutes=1),
    )  # fmt: skip
    await history.write(lambda tx: tx.add(broken))
    assert len((await _make(history, hours=1))[0]) == 1
    found = await history.read(lambda tx: tx.get(RecurringRun, "broken"))
    assert found is not None
    assert (found.next_at, found.error) == (0, "its cron: unknown time zone Mars/Olympus")


async def test_what_is_disabled_or_over_makes_nothing(history: History) -> None:
    await _fill(history, status="DISABLED")
    assert await _make(history, hours=5) == ([], 0)
    await history.write(
        lambda tx: tx.change(RecurringRun, Where("id", "=", "s"), status="ENABLED", end_at=_later(minutes=90))
    )
    assert len((await _make(history, hours=5))[0]) == 1
    assert await _make(history, hours=9) == ([], 0)


async def test_the_loop_makes_runs_when_they_are_due_and_when_schedules_change(history: History) -> None:
    clock, signals = _Clock(), Signals()
    assert not history.may_have_records()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(Schedules(history, clock, signals).run())
        await asyncio.sleep(0)
        assert not history.may_have_records()  # nothing was opened
        await _fill(history)
        signals.reschedule()
        while (await _schedule(history)).count == 0:
            clock.time += timedelta(minutes=10)
            signals.reschedule()
        (run,) = await _runs(history)
        assert await signals.woken() == {run.id}
        # Nobody rings: it wakes by itself, here since the second run is due before it has slept.
        await _finish(history)
        clock.time = BEGAN + timedelta(hours=1, minutes=59, seconds=59.9)
        signals.reschedule()
        async with asyncio.timeout(60):
            while len(await _runs(history)) < 2:
                clock.time += timedelta(seconds=0.01)
                await asyncio.sleep(0.01)
        running.cancel()


async def test_the_loop_outlives_a_database_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "RETRY_S", 0.01)
    (tmp_path / "h.db").mkdir()  # no file
    history, clock, signals = History(sqlite_url(tmp_path / "h.db")), _Clock(), Signals()
    schedules = Schedules(history, clock, signals)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(schedules.run())
        with pytest.raises(UserError):
            await history.open()
        (tmp_path / "h.db").rmdir()
        await _fill(history, next_at=_later(hours=0.5))
        clock.time += timedelta(hours=1)
        async with asyncio.timeout(60):
            while not await _runs(history):
                clock.time += timedelta(seconds=1)
                signals.reschedule()  # it may have looked when nothing was there yet
                await asyncio.sleep(0.01)
        running.cancel()
    await history.close()
