"""Filters, orders and pages of the history, in both databases, against lists that Python filters and sorts."""

import asyncio
import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamhall.history.history import History, sqlite_url
from beamhall.history.protocol import Reading
from beamhall.history.queries import Operation, Order, Page, Position, Where
from beamhall.history.records import Pipeline, Run
from tests.postgresql import BOTH, Server

SECOND = 1_000_000
# Few values, so that they meet; letters whose order or case depends on who looks; what LIKE gives a meaning.
TEXTS = ("", "a", "A", "b", "Z", "ab", "aB_", "a%b", "a/b", "é", "É", "zé", "ſ", "\U0001f600", "ｚ", "a'b", 'a"b', " a")
MOMENTS = (0, 1, SECOND - 1, SECOND, SECOND + 1, 2 * SECOND, 90 * SECOND + 5)
CONTAINS: Operation = "contains"
texts = st.sampled_from(TEXTS)
moments = st.sampled_from(MOMENTS)
numbers = st.integers(-2, 2)
TEXT_FIELDS = ("display_name", "state", "description", "namespace", "id")
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
}  # fmt: skip


@st.composite
def runs(draw: st.DrawFn) -> Sequence[Run]:
    ids = draw(st.lists(st.uuids().map(str), unique=True, max_size=12))
    return [
        Run(
            id=key, namespace=draw(texts), experiment_id="e", display_name=draw(texts), created_at=draw(moments),
            finished_at=draw(moments), state=draw(texts), description=draw(texts), error_code=draw(numbers),
        )
        for key in ids
    ]  # fmt: skip


@st.composite
def conditions(draw: st.DrawFn, fields: Sequence[str] = TEXT_FIELDS) -> Where:
    field = draw(st.sampled_from((*fields, "created_at", "finished_at", "error_code")))
    values: st.SearchStrategy[Any] = texts
    operations: list[Operation] = ["=", "!=", ">", ">=", "<", "<=", "in", "contains"]
    if field not in fields:
        values = numbers if field == "error_code" else moments
        operations.remove("contains")
    operation = draw(st.sampled_from(operations))
    return Where(field, operation, draw(st.lists(values, max_size=3) if operation == "in" else values))


orders = st.builds(
    Order,
    st.sampled_from((*TEXT_FIELDS, "created_at", "finished_at", "error_code")),
    st.booleans(),
)


def _lower(text: str) -> str:
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)


def meets(record: Any, where: Where) -> bool:
    if where.field.startswith("tags."):
        have = record.tags.get(where.field.removeprefix("tags."), "")
    else:
        have = getattr(record, where.field)
    wanted: Any = where.value
    if where.operation == "contains":
        return _lower(wanted) in _lower(have)
    if where.field.endswith("_at"):
        have = have // SECOND
        wanted = [each // SECOND for each in wanted] if where.operation == "in" else wanted // SECOND
    return have in wanted if where.operation == "in" else COMPARE[where.operation](have, wanted)


@pytest.fixture(scope="module", params=BOTH)
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Give a history and a function that waits for what is asked of it; Hypothesis does not know of loops."""
    if request.param == "sqlite":
        directory: Path = tmp_path_factory.mktemp("history")
        url = sqlite_url(directory / "history.db")
    else:
        server: Server = request.getfixturevalue("postgresql")
        url = server.database()
    history = History(url)
    with asyncio.Runner() as runner:
        yield history, runner.run
        runner.run(history.close())


async def _fill(history: History, kind: type[Any], records: Sequence[Any]) -> None:
    def fill(tx: Any) -> None:
        tx.remove(kind)
        tx.add(*records)

    await history.write(fill)


async def _pages(history: History, where: Sequence[Where], order: Order, size: int) -> Sequence[Page[Run]]:
    found: list[Page[Run]] = []
    begin: Position | None = None
    while not found or begin is not None:

        def page(tx: Reading, begin: Position | None = begin) -> Page[Run]:
            return tx.page(Run, where, order, size, begin)

        found.append(await history.read(page))
        begin = found[-1].end
    return found


@settings(deadline=None, max_examples=120)
@given(rows=runs(), where=st.lists(conditions(), max_size=3), order=orders, size=st.integers(1, 5))
def test_pages_are_the_filtered_and_sorted_list(
    database: Any, rows: Sequence[Run], where: Sequence[Where], order: Order, size: int
) -> None:
    history, wait = database
    wait(_fill(history, Run, rows))
    expected = sorted(
        (row for row in rows if all(meets(row, each) for each in where)),
        key=lambda row: (getattr(row, order.field), row.id),
        reverse=order.is_descending,
    )
    pages = wait(_pages(history, where, order, size))
    assert [row for page in pages for row in page.rows] == expected
    assert {page.total for page in pages} == {len(expected)}
    assert [len(page.rows) for page in pages[:-1]] == [size] * (len(pages) - 1)


def _all_conditions() -> Iterator[Where]:
    compared: Sequence[Operation] = ("=", "!=", ">", ">=", "<", "<=")
    for operation in (*compared, CONTAINS):
        for text in TEXTS:
            yield Where("display_name", operation, text)
            yield Where("tags.k", operation, text)
    for operation in compared:
        for moment in MOMENTS:
            yield Where("created_at", operation, moment)


def test_every_operation_compares_every_value_as_python_does(database: Any) -> None:
    history, wait = database
    rows = [
        Pipeline(
            id=f"{number:03}", namespace="a", name=str(number), display_name=text, created_at=moment, tags={"k": text}
        )
        for number, (text, moment) in enumerate(itertools.product(TEXTS, MOMENTS))
    ]
    wait(_fill(history, Pipeline, rows))
    wheres = list(_all_conditions())
    by_id = Order("id")
    found = wait(history.read(lambda tx: [tx.find(Pipeline, where, order=by_id) for where in wheres]))
    for where, each in zip(wheres, found, strict=True):
        assert [row.id for row in each] == [row.id for row in rows if meets(row, where)], where


@settings(deadline=None, max_examples=60)
@given(
    tags=st.lists(st.dictionaries(st.sampled_from(("k", "K", "a b", "k'", "é")), texts), max_size=6),
    where=conditions(("tags.k", "tags.a b", "tags.k'", "tags.é", "tags.none")).filter(lambda w: w.field[:4] == "tags"),
)
def test_tags_are_found_as_they_are(database: Any, tags: Sequence[dict[str, str]], where: Where) -> None:
    history, wait = database
    rows = [
        Pipeline(id=str(number), namespace="a", name=str(number), display_name="", created_at=1, tags=each)
        for number, each in enumerate(tags)
    ]
    wait(_fill(history, Pipeline, rows))
    found = wait(history.read(lambda tx: tx.find(Pipeline, where)))
    assert list(found) == [row for row in rows if meets(row, where)]
