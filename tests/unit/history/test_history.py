import asyncio
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from beamhall.history.history import History, sqlite_url
from beamhall.history.protocol import Reading, Writing
from beamhall.history.queries import Operation, Order, Page, Position, Where
from beamhall.history.records import (
    AnyRecord,
    Artifact,
    ArtifactTask,
    Experiment,
    Pipeline,
    PipelineVersion,
    RecurringRun,
    Run,
    RunEvent,
    Specification,
    Task,
    task_id,
)
from beamhall.kernel.errors import AlreadyExists, BadRequest, NotFound, ServiceUnavailable

SECOND = 1_000_000


def run(number: int = 0, **fields: Any) -> Run:
    return msgspec.structs.replace(
        Run(id=f"r{number:05}", namespace="a", experiment_id="e", display_name=f"run {number}", created_at=number),
        **fields,
    )


def task(number: int, run_id: str = "r00000", **fields: Any) -> Task:
    path = f"/t{number}"
    base = Task(id=task_id(run_id, path), namespace="a", run_id=run_id, path=path, name=f"t{number}", created_at=number)
    return msgspec.structs.replace(base, **fields)


EXPERIMENT = Experiment(id="e", namespace="a", display_name="Default", created_at=1)
WHOLE: list[AnyRecord] = [
    EXPERIMENT,
    Pipeline(id="p", namespace="a", name="p", display_name="P", created_at=2, description="d", tags={"team": "vision"}),
    Specification(id="sha", namespace="a", body='{"root": {}}'),
    PipelineVersion(
        id="v", namespace="a", pipeline_id="p", name="v", display_name="V", created_at=3, spec_digest="sha", tags={}
    ),
    RecurringRun(
        id="rr", namespace="a", experiment_id="e", display_name="nightly", created_at=4, updated_at=5,
        cron="0 0 * * *", no_catchup=True, parameters={"x": [1, 2.5, None, {"y": "é\0"}]},
    ),
    run(tasks={"SUCCEEDED": 3}, state_history=[{"update_time": 7, "state": "PENDING"}], parameters={"lr": 0.1}),
    task(1, inputs={"parameters": {"a": 1}}, cached=True),
    Artifact(id="x", namespace="a", name="accuracy", type="Metric", created_at=9, number_value=0.97, metadata={"k": 1}),
    Artifact(id="y", namespace="a", name="model", type="Model", created_at=9, uri="/data/é"),
    ArtifactTask(
        id="l", namespace="a", artifact_id="x", task_id=task(1).id, run_id="r00000", type="OUTPUT", key="accuracy"
    ),
]  # fmt: skip


def _get(kind: type[Any], key: str, tx: Reading) -> Any:
    return tx.get(kind, key)


def _count(where: Where, tx: Reading) -> int:
    return tx.count(Run, where)


def _page(order: Order, begin: Position | None, tx: Reading) -> Page[Run]:
    return tx.page(Run, (), order, 1, begin)


async def add(history: History, *records: AnyRecord) -> None:
    await history.write(lambda tx: tx.add(*records))


async def test_each_kind_comes_back_as_it_was_put_in(history: History) -> None:
    await add(history, *WHOLE)
    for record in WHOLE:
        kind, key = type(record), getattr(record, "id")  # noqa: B009
        found = await history.read(partial(_get, kind, key))
        assert found == record


async def test_what_is_not_there_is_none(history: History) -> None:
    assert await history.read(lambda tx: tx.get(Run, "r")) is None


async def test_records_are_there_after_the_database_was_closed(url: str) -> None:
    for expected in ([], [EXPERIMENT]):
        history = History(url)
        assert list(await history.read(lambda tx: tx.find(Experiment))) == expected
        if not expected:
            await add(history, EXPERIMENT)
        await history.close()


async def test_a_name_is_taken_once_in_a_namespace(history: History) -> None:
    await add(history, EXPERIMENT)
    with pytest.raises(AlreadyExists):
        await add(history, msgspec.structs.replace(EXPERIMENT, id="other"))
    await add(history, msgspec.structs.replace(EXPERIMENT, id="other", namespace="b"))
    assert await history.read(lambda tx: tx.count(Experiment)) == 2


async def test_a_change_is_done_whole_or_not_at_all(history: History) -> None:
    def change(tx: Writing) -> None:
        tx.add(EXPERIMENT)
        raise NotFound("no such thing")

    with pytest.raises(NotFound):
        await history.write(change)
    assert await history.read(lambda tx: tx.count(Experiment)) == 0


async def test_a_refused_change_undoes_nothing_of_those_beside_it(history: History) -> None:
    await history.open()

    async def put(number: int) -> str:
        # Every third has the id of another, and one in the middle has a defect.
        try:
            await history.write(lambda tx: tx.add(run(number - number % 3)) if number != 31 else 1 / 0)
        except (AlreadyExists, ZeroDivisionError) as err:
            return type(err).__name__
        return "added"

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(put(number)) for number in range(60)]
    outcomes = [each.result() for each in tasks]
    assert outcomes.count("added") == 20
    assert outcomes.count("ZeroDivisionError") == 1
    found = await history.read(lambda tx: tx.find(Run))
    assert [each.created_at for each in found] == list(range(0, 60, 3))


async def test_a_change_sees_what_those_before_it_did(history: History) -> None:
    await add(history, run(tasks={"n": 0}))

    def count(tx: Writing) -> None:
        found = tx.get(Run, "r00000")
        assert found is not None
        tx.change(Run, Where("id", "=", "r00000"), tasks={"n": found.tasks["n"] + 1})

    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(history.write(count))
    found = await history.read(lambda tx: tx.get(Run, "r00000"))
    assert found is not None
    assert found.tasks == {"n": 50}


async def test_a_read_is_of_one_moment(history: History) -> None:
    await add(history, run(0))
    loop = asyncio.get_running_loop()

    def look_twice(tx: Reading) -> tuple[int, int]:
        before = tx.count(Run)
        asyncio.run_coroutine_threadsafe(add(history, run(1)), loop).result(30)
        return before, tx.count(Run)

    assert await history.read(look_twice) == (1, 1)
    assert await history.read(lambda tx: tx.count(Run)) == 2


async def test_putting_twice_is_putting_once(history: History) -> None:
    tasks = [task(number) for number in range(2500)]
    await add(history, run())
    await history.write(lambda tx: tx.put(*tasks))
    done = [msgspec.structs.replace(each, state="SUCCEEDED", outputs={"parameters": {"x": 1}}) for each in tasks]
    for _ in range(2):
        await history.write(lambda tx: tx.put(*done))
    assert list(await history.read(lambda tx: tx.find(Task, Where("run_id", "=", "r00000")))) == done


async def test_only_what_meets_the_conditions_is_changed(history: History) -> None:
    await add(history, *(run(number, state="RUNNING" if number % 2 else "PENDING") for number in range(10)))
    changed = await history.write(lambda tx: tx.change(Run, Where("state", "in", ["PENDING"]), asked="TERMINATE"))
    assert changed == 5
    assert await history.read(lambda tx: tx.count(Run, Where("asked", "=", "TERMINATE"))) == 5


async def test_a_run_goes_with_its_tasks_events_and_lineage_but_not_with_artifacts(history: History) -> None:
    await add(history, *WHOLE, RunEvent(namespace="a", run_id="r00000", kind="state", created_at=1))
    assert await history.write(lambda tx: tx.remove(Run, Where("id", "=", "r00000"))) == 1
    left = await history.read(lambda tx: [tx.count(kind) for kind in (Task, ArtifactTask, RunEvent)])
    assert left == [0, 0, 0]
    assert await history.read(lambda tx: tx.count(Artifact)) == 2


async def test_events_are_numbered_in_the_order_in_which_they_were_added(history: History) -> None:
    await add(history, run())
    for number in range(5):
        await add(
            history,
            *(RunEvent(namespace="a", run_id="r00000", kind=f"{number}.{each}", created_at=9) for each in range(3)),
        )
    events = await history.read(lambda tx: tx.find(RunEvent, order=Order("id")))
    assert [event.kind for event in events] == [f"{number}.{each}" for number in range(5) for each in range(3)]
    later = await history.read(lambda tx: tx.find(RunEvent, Where("id", ">", events[7].id), order=Order("id"), limit=4))
    assert later == events[8:12]


@pytest.mark.parametrize(
    ("where", "part"),
    [
        (Where("nothing", "=", "x"), "no field 'nothing'"),
        (Where("parameters", "=", "x"), "no field 'parameters'"),
        (Where("state", "=", 3), "it is a text"),
        (Where("created_at", "=", "x"), "a whole number or a time"),
        (Where("created_at", "contains", 3), "is a time"),
        (Where("error_code", "contains", 3), "is no text"),
        (Where("error_code", "=", True), "a whole number"),
        (Where("error_code", "=", 2**63), "64 bits"),
        (Where("state", "=", "a\0b"), "NUL"),
        (Where("state", "in", "PENDING"), "several values"),
        (Where("state", "in", ["x"] * 1001), "more than 1000 values"),
        (Where("state", "contains", "x" * 4097), "more than 4096 characters"),
        (Where("tags.team", "=", "x"), "no tags"),
    ],
)
async def test_what_cannot_be_asked_is_refused_by_name(history: History, where: Where, part: str) -> None:
    with pytest.raises(BadRequest, match=part):
        await history.read(lambda tx: tx.find(Run, where))


async def test_lists_cannot_be_sorted_by_what_has_no_order(history: History) -> None:
    for order in (Order("parameters"), Order("nothing")):
        with pytest.raises(BadRequest, match=order.field):
            await history.read(partial(_page, order, None))


async def test_a_position_of_another_order_is_refused(history: History) -> None:
    await add(history, run(0), run(1))

    end = (await history.read(partial(_page, Order(), None))).end
    assert end is not None
    for wrong in (replace(end, value="x"), replace(end, id=3), replace(end, value=True)):
        with pytest.raises(BadRequest, match="page token"):
            await history.read(partial(_page, Order(), wrong))


async def test_the_values_farthest_out_can_be_compared_with(history: History) -> None:
    operations: list[Operation] = ["=", "!=", "<", "<=", ">", ">="]
    await add(history, run(5 * SECOND))
    for value in (2**63 - 1, -(2**63) + 1):
        for operation in operations:
            await history.read(partial(_count, Where("created_at", operation, value)))
    assert await history.read(lambda tx: tx.count(Run, Where("created_at", "<", 2**63 - 1))) == 1


async def test_what_a_database_cannot_hold_is_refused(history: History, url: str) -> None:
    values: list[dict[str, Any]] = [{"error_code": 2**64}, {"error": "\ud800"}]
    for fields in values if url.startswith("sqlite") else [*values, {"error": "a\0b"}]:
        with pytest.raises(BadRequest, match="cannot hold"):
            await add(history, run(**fields))
    await add(history, run())


async def test_nothing_is_loaded_or_made_before_the_first_use(tmp_path: Path) -> None:
    history = History(sqlite_url(tmp_path / "history.db"))
    await history.close()
    assert list(tmp_path.iterdir()) == []
    program = (
        "import sys; import beamhall.history.history; print('sqlalchemy' in sys.modules, 'alembic' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout == "False False\n"


async def test_a_full_disk_loses_nothing_that_was_acknowledged_and_says_so(tmp_path: Path) -> None:
    history = History(sqlite_url(tmp_path / "history.db"))
    await add(history, run())

    def limit(tx: Writing) -> None:
        connection = tx._connection  # type: ignore[attr-defined]
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 3}")

    await history.write(limit)

    async def put(number: int) -> str:
        try:
            await add(history, run(number, parameters={"large": "x" * 4000}))
        except ServiceUnavailable as err:
            return err.message
        return "added"

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(put(number)) for number in range(1, 40)]
    outcomes = {number: each.result() for number, each in enumerate(tasks, 1)}
    assert any("full" in outcome for outcome in outcomes.values()), outcomes
    found = await history.read(lambda tx: tx.find(Run))
    assert [each.created_at for each in found[1:]] == [n for n, outcome in outcomes.items() if outcome == "added"]
    await history.close()


async def test_runs_are_sorted_by_a_metric_those_without_it_first(history: History) -> None:
    numbers: dict[int, list[float]] = {0: [0.5], 1: [], 2: [0.25, 0.75], 3: [-1], 4: [0.5], 5: []}

    def fill(tx: Writing) -> None:
        for number, values in numbers.items():
            key = run(number).id
            tx.add(run(number), task(1, key))
            for at, value in enumerate(values):
                for name, worth in (("accuracy", value), ("loss", 9 - value)):
                    made = Artifact(
                        id=f"{key}{name}{at}",
                        namespace="a",
                        name=name,
                        type="Metric",
                        created_at=at,
                        number_value=worth,
                    )
                    link = ArtifactTask(
                        id=made.id, namespace="a", artifact_id=made.id, task_id=task(1, key).id, run_id=key,
                        type="OUTPUT", key=name,
                    )  # fmt: skip
                    used = msgspec.structs.replace(link, id=f"{made.id}in", type="INPUT", run_id=run(1).id)
                    tx.add(made, link, *([used] if number > 1 else []))

    await history.write(fill)
    for order, expected in (
        (Order("metric:accuracy"), [1, 5, 3, 0, 4, 2]),
        (Order("metric:accuracy", is_descending=True), [2, 4, 0, 3, 5, 1]),
        (Order("metric:loss"), [1, 5, 2, 0, 4, 3]),
        (Order("metric:other"), [0, 1, 2, 3, 4, 5]),
    ):
        found: list[Run] = []
        begin: Position | None = None
        while not found or begin is not None:
            page = await history.read(partial(_two, order, begin))
            found, begin = [*found, *page.rows], page.end
        assert [each.created_at for each in found] == expected, order


def _two(order: Order, begin: Position | None, tx: Reading) -> Page[Run]:
    return tx.page(Run, (), order, 2, begin)
