"""Types, coercions, defaults and optional inputs."""

from ast import literal_eval
from typing import NamedTuple, Optional

from kfp import dsl

from tests.pipelines.cases import Ended, checks, component


@component
def tell(number: int, ratio: float, flag: bool, items: list, fields: dict, text: str) -> str:
    return repr([number, ratio, flag, items, fields, text])


@dsl.pipeline(name="types")
def types(
    number: int = 3,
    ratio: float = 2.5,
    flag: bool = True,
    items: list = [1, 2.5, "three", [4]],
    fields: dict = {"a": 1, "b": {"c": [2, 3.0]}},
    text: str = "hello",
) -> str:
    return tell(number=number, ratio=ratio, flag=flag, items=items, fields=fields, text=text).output


@checks(types)
def _(run: Ended) -> None:
    told = [3, 2.5, True, [1, 2.5, "three", [4]], {"a": 1, "b": {"c": [2, 3]}}, "hello"]
    assert literal_eval(run.output()) == told
    assert "2, 3]" in run.output()  # no 3.0: whole numbers are integers, as Go's protojson writes them


@checks(
    types, "SUCCEEDED", "types-given",
    number=-7, ratio=4, flag=False, items=[], fields={}, text="",
)  # fmt: skip
def _(run: Ended) -> None:
    assert run.output() == "[-7, 4, False, [], {}, '']"
    assert run.inputs("/tell") == {
        "number": -7, "ratio": 4, "flag": False, "items": [], "fields": {}, "text": "",
    }  # fmt: skip


@checks(types, "SUCCEEDED", "types-large", number=2**53, ratio=1e300, text="{{$.x}} ' \" \\ \n\t é 漢 \U0001f600")
def _(run: Ended) -> None:
    assert run.inputs("/tell")["number"] == 2**53
    assert run.inputs("/tell")["ratio"] == 1e300
    assert run.output().endswith(repr("{{$.x}} ' \" \\ \n\t é 漢 \U0001f600") + "]")


@component
def make() -> NamedTuple(
    "Made", [("number", int), ("ratio", float), ("flag", bool), ("items", list), ("fields", dict)]
):  # noqa: E501
    from collections import namedtuple

    return namedtuple("Made", "number ratio flag items fields")(2, 2.0, False, [1, [2]], {"n": 1})


@component
def tell_text(text: str) -> str:
    return repr(text)


@component
def length_of(items: list) -> int:
    return sum(range(items[0])) + len(items)


@dsl.pipeline(name="passed-on")
def passed_on() -> int:
    made = make()
    tell(
        number=made.outputs["number"], ratio=made.outputs["ratio"], flag=made.outputs["flag"],
        items=made.outputs["items"], fields=made.outputs["fields"], text="x",
    )  # fmt: skip
    tell_text(text=f"n={made.outputs['number']} r={made.outputs['ratio']} f={made.outputs['flag']}")
    tell_text(text=f"{made.outputs['items']} {made.outputs['fields']}")
    return length_of(items=made.outputs["items"]).output


@checks(passed_on)
def _(run: Ended) -> None:
    assert run.outputs("/make") == {"number": 2, "ratio": 2, "flag": False, "items": [1, [2]], "fields": {"n": 1}}
    assert run.output("/tell") == "[2, 2, False, [1, [2]], {'n': 1}, 'x']"
    assert run.output("/tell-text") == "'n=2 r=2 f=false'"
    assert run.output("/tell-text-2") == """'[1,[2]] {"n":1}'"""
    assert run.output() == 2


@component
def optional(
    number: Optional[int] = None,
    text: Optional[str] = None,
    items: Optional[list] = None,
    known: int = 5,
    unset: str = "",
) -> str:
    return repr([number, text, items, known, unset])


@dsl.pipeline(name="inner")
def inner(number: Optional[int] = None, text: Optional[str] = None, items: Optional[list] = None, known: int = 6):
    optional(number=number, text=text, items=items, known=known)


@dsl.pipeline(name="optional-inputs")
def optional_inputs(number: Optional[int] = None, text: Optional[str] = None, items: Optional[list] = None):
    inner(number=number, text=text, items=items)
    inner()
    optional()
    optional(number=number, known=9)


@checks(optional_inputs)
def _(run: Ended) -> None:
    assert run.output("/inner/optional") == "[None, None, None, 6, '']"
    assert run.output("/inner-2/optional") == "[None, None, None, 6, '']"
    assert run.output("/optional") == "[None, None, None, 5, '']"
    assert run.output("/optional-2") == "[None, None, None, 9, '']"


@checks(optional_inputs, "SUCCEEDED", "optional-inputs-given", number=0, text="", items=[])
def _(run: Ended) -> None:
    assert run.output("/inner/optional") == "[0, '', [], 6, '']"
    assert run.output("/optional-2") == "[0, None, None, 9, '']"


@checks(optional_inputs, "SUCCEEDED", "optional-inputs-null", number=None, text="set", items=None)
def _(run: Ended) -> None:
    assert run.output("/inner/optional") == "[None, 'set', None, 6, '']"


@component
def needs_number(number: int) -> int:
    return number


@dsl.pipeline(name="missing-inside")
def missing_inside(number: Optional[int] = None):
    needs_number(number=number)


@checks(missing_inside, "FAILED")
def _(run: Ended) -> None:
    assert run.state("/needs-number") == "FAILED"
    assert "number" in run.error, run.error


@component
def wrong_type() -> int:
    return "many"


@component
def ended_well() -> str:
    return "never asked"


@dsl.pipeline(name="wrong-output")
def wrong_output():
    ended_well().after(wrong_type())


@checks(wrong_output, "FAILED")
def _(run: Ended) -> None:
    assert run.states("/wrong-type", "/ended-well") == ["FAILED", "SKIPPED"]
    assert "/wrong-type" in run.error, run.error


@component
def no_output() -> NamedTuple("Made", [("given", int), ("missing", int)]):
    import json
    import sys

    executor_input = json.loads(sys.argv[sys.argv.index("--executor_input") + 1])
    import os

    file = executor_input["outputs"]["outputFile"]
    os.makedirs(os.path.dirname(file), exist_ok=True)
    with open(file, "w") as output:
        json.dump({"parameterValues": {"given": 1}}, output)
    os._exit(0)


@dsl.pipeline(name="missing-output")
def missing_output():
    no_output()


@checks(missing_output, "FAILED")
def _(run: Ended) -> None:
    assert "missing" in run.error, run.error


@component
def of_struct(name: str, number: int, deep: str) -> str:
    return f"{name!r} {number!r} {deep!r}"


@component
def keep(fields: dict) -> dict:
    return fields


@dsl.pipeline(name="nested-constants")
def nested_constants(word: str = "w", number: int = 4) -> dict:
    first = tell_text(text=word)
    told = tell(
        number=number, ratio=0.5, flag=True, items=[1, f"<{word}>", [f"{number}"]],
        fields={"deep": {"text": f"{first.output}!", "n": 1}, f"{word}": number}, text=f"{word}{number}",
    )  # fmt: skip
    return keep(fields={"told": told.output}).output


@checks(nested_constants, word="it's")
def _(run: Ended) -> None:
    told = run.output("/tell")
    assert "[1, \"<it's>\", ['4']]" in told, told
    assert run.output()["told"] == told
