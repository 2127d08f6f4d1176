"""What the KFP API's lists are asked: filters in every spelling, tokens through every page, and any text at all."""

import asyncio
import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beamhall.history.history import History, sqlite_url
from beamhall.history.records import Pipeline
from beamhall.kernel.errors import BadRequest
from beamhall.pipelines.api.lists import Listable, list_page

NAMES = ("EQUALS", "NOT_EQUALS", "GREATER_THAN", "", "GREATER_THAN_EQUALS", "LESS_THAN", "LESS_THAN_EQUALS", "IN")
PIPELINES = Listable(Pipeline, {"id": "id", "name": "name", "what": "description"}, has_tags=True)
# What a token must carry unharmed: nothing, quotes, what JSON and base64 have escapes for, letters beyond ASCII.
TEXTS = ("", "a", "A", '"', "\\", "a/b+c=", "é", "\u2028", "\U0001f600", "[1]")
texts = st.sampled_from(TEXTS)


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Give the pipelines of a history, and a function that gives the page of a query; Hypothesis knows no loops."""
    history = History(sqlite_url(tmp_path_factory.mktemp("history") / "history.db"))
    rows = [
        Pipeline(
            id=f"{number:02}", namespace="a", name=f"n{number}", display_name="", created_at=number, description=text,
            tags={"k": text},
        )
        for number, text in enumerate(TEXTS * 2)
    ]  # fmt: skip
    with asyncio.Runner() as runner:
        runner.run(history.write(lambda tx: tx.add(*rows)))
        yield rows, lambda query: runner.run(list_page(history, PIPELINES, query, ()))
        runner.run(history.close())


@st.composite
def predicates(draw: st.DrawFn) -> tuple[dict[str, Any], Any]:
    """Give a predicate in one of its spellings, and what it says of a text."""
    number = draw(st.integers(1, 8).filter(lambda each: each != 4))
    value = draw(st.lists(texts, max_size=3) if number == 8 else texts)
    says = {
        1: lambda text: text == value, 2: lambda text: text != value, 3: lambda text: text > value,
        5: lambda text: text >= value, 6: lambda text: text < value, 7: lambda text: text <= value,
        8: lambda text: text in value,
    }[number]  # fmt: skip
    spelled = draw(st.sampled_from(("string_value", "stringValue")))
    named = {f"{spelled}s": {"values": value}} if number == 8 else {spelled: value}
    operation = draw(st.sampled_from((number, NAMES[number - 1])))
    return {"operation": operation, "key": draw(st.sampled_from(("what", "tags.k"))), **named}, says


def _written(given: Sequence[tuple[dict[str, Any], Any]], escaping: bool) -> str:
    return json.dumps({"predicates": [predicate for predicate, _ in given]}, ensure_ascii=escaping)


@settings(deadline=None, max_examples=80)
@given(
    given_=st.lists(predicates(), max_size=3),
    escaping=st.booleans(),
    sort_by=st.sampled_from(("", "what", "what desc")),
    size=st.integers(1, 7),
)  # fmt: skip
def test_pages_that_tokens_lead_to_are_the_whole_list(
    listed: Any,
    given_: Sequence[tuple[dict[str, Any], Any]],
    escaping: bool,
    sort_by: str,
    size: int,
) -> None:
    rows, page_of = listed
    query = {"filter": _written(given_, escaping), "sort_by": sort_by, "page_size": str(size)}
    expected = [row for row in rows if all(says(row.description) for _, says in given_)]
    if sort_by:
        expected.sort(key=lambda row: (row.description, row.id), reverse=sort_by.endswith("desc"))
    found, token = page_of(query)
    pages = [found.rows]
    while token:
        found, token = page_of({"page_token": token, "page_size": str(size)})
        pages.append(found.rows)
    assert [row.id for page in pages for row in page] == [row.id for row in expected]
    assert found.total == len(expected)
    assert len(pages) == max(1, -(-len(expected) // size))


@settings(deadline=None, max_examples=150)
@given(name=st.sampled_from(("filter", "sort_by", "page_size", "page_token")), value=st.text(max_size=40))
def test_no_text_is_more_than_refused(listed: Any, name: str, value: str) -> None:
    with contextlib.suppress(BadRequest):
        listed[1]({name: value})
