"""Loops over everything that there is, and what is collected from them."""

from typing import Any, Dict, List

from kfp import dsl

from tests.pipelines.branches import count, say
from tests.pipelines.cases import Ended, checks, component
from tests.pipelines.runner import natural


@component
def numbers_to(number: int) -> List[int]:
    return list(range(number))


@component
def rows() -> List[Dict[str, str]]:
    return [{"label": "a", "size": "1"}, {"label": "b", "size": "2"}]


@component
def tell(value: str) -> str:
    return repr(value)


@component
def twice(number: int) -> int:
    return number * 2


@component
def keep(items: list) -> list:
    return items


def _values(run: Ended, end: str) -> list[Any]:
    return [run.output(path) for path in sorted(run.tasks, key=natural) if path.endswith(end)]


@dsl.pipeline(name="items")
def items(given: List[int], words: List[str] = ["x", "y"]):
    with dsl.ParallelFor(["a", "2", "true", ""]) as item:
        tell(value=item)
    with dsl.ParallelFor(given) as number:
        twice(number=number)
    with dsl.ParallelFor(words) as word:
        say(text=f"{word}!")
    with dsl.ParallelFor(numbers_to(number=3).output) as number:
        count(number=number)
    with dsl.ParallelFor([{"a": 1, "b": 30}, {"a": 2, "b": 40}]) as each:
        count(number=each.a)
        count(number=each.b)
    with dsl.ParallelFor(rows().output) as row:
        say(text=row.label)
    with dsl.ParallelFor([{"parts": [{"n": 1}, {"n": 2}]}, {"parts": []}]) as row:
        with dsl.ParallelFor(row.parts) as part:
            twice(number=part.n)


@checks(items, given=[5, 6])
def _(run: Ended) -> None:
    loops = {path.split("[")[0] for path in run.tasks if path.count("/") == 1 and "for-loop" in path}
    assert len(loops) == 7
    ended = {
        path: run.output(path)
        for path in run.tasks
        if path.split("/")[-1].startswith(("tell", "say", "twice", "count"))
    }
    assert sorted(ended.values(), key=str) == sorted(
        ["'a'", "'2'", "'true'", "''", 10, 12, "x!", "y!", 0, 1, 2, 1, 2, 30, 40, "a", "b", 2, 4],
        key=str,
    )


@checks(items, "SUCCEEDED", "items-none", given=[], words=[])
def _(run: Ended) -> None:
    empty = [
        task
        for task in run.tasks.values()
        if task["type"] == "LOOP" and task.get("type_attributes") == {"iteration_count": "0"}
    ]
    assert [task["state"] for task in empty] == ["SUCCEEDED"] * 3


@component
def multiply(one: int, two: int) -> int:
    return one * two


@component
def total(numbers: List[List[int]]) -> str:
    return repr(numbers)


@dsl.pipeline(name="collected")
def collected(outer: List[int] = [1, 2], within: List[int] = [10, 20, 30]) -> list:
    with dsl.ParallelFor(outer) as one, dsl.ParallelFor(within) as two:
        product = multiply(one=one, two=two)
    total(numbers=dsl.Collected(product.output))
    return keep(items=dsl.Collected(product.output)).output


@checks(collected)
def _(run: Ended) -> None:
    assert run.output() == [[10, 20, 30], [20, 40, 60]]
    assert run.output("/total") == "[[10, 20, 30], [20, 40, 60]]"


@checks(collected, "SUCCEEDED", "collected-nothing", outer=[1, 2], within=[])
def _(run: Ended) -> None:
    assert run.output() == [[], []]


@component
def slow_twice(number: int) -> int:
    import time

    time.sleep(0.2 * (number < 3))
    return number * 2


@dsl.pipeline(name="collected-order")
def collected_order(numbers: List[int]) -> list:
    with dsl.ParallelFor(numbers) as number:
        doubled = slow_twice(number=number)
    return keep(items=dsl.Collected(doubled.output)).output


@checks(collected_order, numbers=list(range(12)))
def _(run: Ended) -> None:
    assert run.output() == [2 * number for number in range(12)]


@component
def is_even(number: int) -> bool:
    return number % 2 == 0


@dsl.pipeline(name="collected-if")
def collected_if(numbers: List[int] = [1, 2, 3, 4]) -> list:
    with dsl.ParallelFor(numbers) as number, dsl.If(is_even(number=number).output == True):  # noqa: E712
        doubled = twice(number=number)
    return keep(items=dsl.Collected(doubled.output)).output


@checks(collected_if)
def _(run: Ended) -> None:
    assert run.output() == [4, 8]


@checks(collected_if, "SUCCEEDED", "collected-if-none", numbers=[1, 3])
def _(run: Ended) -> None:
    assert run.output() == []


@component
def write_number(number: int, into: dsl.Output[dsl.Dataset]):
    into.metadata["number"] = number
    with open(into.path, "w") as file:
        file.write(str(number))


@component
def read_all(of: dsl.Input[List[dsl.Dataset]]) -> list:
    return [[int(open(each.path).read()), each.metadata["number"]] for each in of]


@component
def read_number(of: dsl.Input[dsl.Dataset]) -> int:
    return int(open(of.path).read()) * 100


@dsl.pipeline(name="make-many")
def make_many(numbers: List[int], more: List[int]) -> List[dsl.Dataset]:
    with dsl.ParallelFor(numbers) as number, dsl.ParallelFor(more) as other:
        made = write_number(number=multiply(one=number, two=other).output)
    return dsl.Collected(made.outputs["into"])


@dsl.pipeline(name="artifacts-of-loops")
def artifacts_of_loops(numbers: List[int] = [1, 2], more: List[int] = [3, 5]) -> list:
    made = make_many(numbers=numbers, more=more)
    with dsl.ParallelFor(made.output) as each:
        found = read_number(of=each)
    read_all(of=made.output)
    return keep(items=dsl.Collected(found.output)).output


@checks(artifacts_of_loops)
def _(run: Ended) -> None:
    """Lists of artifacts are flat, and each iteration of a loop over them gets one."""
    assert run.output("/read-all") == [[3, 3], [5, 5], [6, 6], [10, 10]]
    assert run.output() == [300, 500, 600, 1000]
    assert len(run.artifacts("/make-many", "Output")) == 4


@component
def take_turn(number: int, place: str) -> int:
    """Count how many are in the room at the same time."""
    import os
    import time

    open(f"{place}/{number}", "w").close()
    until = time.monotonic() + 2
    while len(os.listdir(place)) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.1)
    found = len(os.listdir(place))
    os.unlink(f"{place}/{number}")
    return found


@dsl.pipeline(name="two-at-once")
def two_at_once(place: str) -> list:
    with dsl.ParallelFor(list(range(6)), parallelism=2) as number:
        turn = take_turn(number=number, place=place)
    return keep(items=dsl.Collected(turn.output)).output


@checks(two_at_once, place="{shared}")
def _(run: Ended) -> None:
    assert max(run.output()) == 2
    assert len(run.output()) == 6


@dsl.pipeline(name="inner-loop")
def inner_loop(numbers: List[int], limit: int) -> List[int]:
    with dsl.ParallelFor(numbers) as number, dsl.If(number < limit):
        doubled = twice(number=number)
    return dsl.Collected(doubled.output)


@dsl.pipeline(name="loops-of-pipelines")
def loops_of_pipelines(limits: List[int] = [1, 3]) -> list:
    with dsl.ParallelFor(limits) as limit:
        inside = inner_loop(numbers=[0, 1, 2, 3], limit=limit)
    return keep(items=dsl.Collected(inside.output)).output


@checks(loops_of_pipelines)
def _(run: Ended) -> None:
    assert run.output() == [[0], [0, 2, 4]]


@component
def fails_at(number: int, at: int) -> int:
    assert number != at, f"{number} is not liked"
    return number


@dsl.pipeline(name="one-of-many-fails")
def one_of_many_fails(at: int):
    with dsl.ParallelFor([0, 1, 2, 3]) as number:
        tried = fails_at(number=number, at=at)
    keep(items=dsl.Collected(tried.output))


@checks(one_of_many_fails, "FAILED", at=2)
def _(run: Ended) -> None:
    """The others end, what comes after is left out, and the error says which."""
    states = [run.state(f"/for-loop-2[{n}]/fails-at") for n in range(4)]
    assert states == ["SUCCEEDED", "SUCCEEDED", "FAILED", "SUCCEEDED"]
    assert run.states("/for-loop-2", "/keep") == ["FAILED", "SKIPPED"]
    assert "/for-loop-2[2]/fails-at" in run.error
    assert "2 is not liked" in run.error


@dsl.pipeline(name="grid-in-words")
def grid_in_words(rates: List[float] = [1, 0.5], sizes: List[int] = [8, 16]) -> List[List[str]]:
    with dsl.ParallelFor(rates) as rate:
        with dsl.ParallelFor(sizes) as size:
            told = tell(value=f"{rate}/{size}")
    return dsl.Collected(told.output)


@checks(grid_in_words)
def _(run: Ended) -> None:
    """Which the SDK compiles wrong; see ``spec.mending``."""
    assert run.output() == [["'1/8'", "'1/16'"], ["'0.5/8'", "'0.5/16'"]]


@dsl.pipeline(name="rows-in-a-handler")
def rows_in_a_handler():
    with dsl.ExitHandler(say(text="bye")):
        with dsl.ParallelFor([{"label": "a", "size": "1"}, {"label": "b", "size": "2"}]) as row:
            tell(value=row.label)
        with dsl.ParallelFor([1, 0.5, "auto"]) as rate:
            tell(value=f"{rate}")


@checks(rows_in_a_handler)
def _(run: Ended) -> None:
    """Likewise; and items of several types, all of which the SDK declares as what the first is."""
    assert run.all("/tell") == ["'a'", "'b'"]
    assert run.all("/tell-2") == ["'1'", "'0.5'", "'auto'"]
