"""What becomes of values: numbers, texts, defaults, outputs, and the parameters that users give."""

import math
from typing import Any

import pytest

from beamhall.pipelines.spec.ir import Definitions, ParameterSpec, ParameterType
from beamhall.pipelines.spec.types import (
    MissingInput,
    TypeMismatch,
    component_inputs,
    conform,
    items_of,
    json_text,
    normal,
    output,
    parsed,
    run_parameter_problems,
    run_parameters,
    text_of,
)

INTEGER, DOUBLE, STRING = ParameterType.NUMBER_INTEGER, ParameterType.NUMBER_DOUBLE, ParameterType.STRING
BOOLEAN, LIST, STRUCT = ParameterType.BOOLEAN, ParameterType.LIST, ParameterType.STRUCT


def same(one: Any, other: Any) -> bool:
    """Tell whether values are equal and of the same types."""
    return repr(one) == repr(other)


def test_integral_numbers_are_integers_at_any_depth() -> None:
    value = {"a": 3.0, "b": [1.0, 2.5, {"c": -0.0}], "d": True, "e": 1e300}
    assert same(normal(value), {"a": 3, "b": [1, 2.5, {"c": 0}], "d": True, "e": 1e300})
    assert same(value["b"], [1.0, 2.5, {"c": -0.0}]), "the value itself was changed"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a 'b'", "a 'b'"), (3.0, "3"), (2**60, str(2**60)), (0.1, "0.1"), (1e-7, "0.0000001"), (1e22, "1" + "0" * 22),
        (True, "true"), (None, ""), ([1.0, "é"], '[1,"é"]'), ({"a": {"b": None}}, '{"a":{"b":null}}'),
    ],
)  # fmt: skip
def test_how_values_are_rendered(value: Any, text: str) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize("value", [math.nan, [math.inf]])
def test_what_json_does_not_have_is_not_written(value: Any) -> None:
    with pytest.raises(TypeMismatch, match="JSON"):
        json_text(value)


@pytest.mark.parametrize(
    ("value", "kind", "result"),
    [
        (3.0, INTEGER, 3), (3.0, DOUBLE, 3), (3.5, DOUBLE, 3.5), (3.0, STRING, "3"), (True, STRING, "true"),
        ([1.0], STRING, "[1]"), ([1.0], LIST, [1]), ({"a": 1.0}, STRUCT, {"a": 1}), (False, BOOLEAN, False),
        (None, INTEGER, None), (3.5, INTEGER, 3.5), ("x", ParameterType.UNSPECIFIED, "x"),
        ({"state": "FAILED"}, ParameterType.TASK_FINAL_STATUS, {"state": "FAILED"}),
        ({}, ParameterType.TASK_CONFIG, {}),
    ],
)  # fmt: skip
def test_a_value_conforms_to_a_type(value: Any, kind: ParameterType, result: Any) -> None:
    assert same(conform(value, kind), result)


@pytest.mark.parametrize(
    ("value", "kind", "words"),
    [
        ("3", INTEGER, "must be a whole number (NUMBER_INTEGER), is the text '3'"),
        (math.inf, INTEGER, "is the number inf"), (True, INTEGER, "is true"), (True, DOUBLE, "is true"),
        (math.inf, DOUBLE, "is the number inf"), (1, BOOLEAN, "must be true or false"), ("[]", LIST, "must be a list"),
        ([], STRUCT, "must be an object (STRUCT), is a list"), ({}, LIST, "is an object"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(value: Any, kind: ParameterType, words: str) -> None:
    with pytest.raises(TypeMismatch) as caught:
        conform(value, kind)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "kind", "result"),
    [
        (" raw\n", STRING, " raw\n"), ("7\n", INTEGER, 7), ("7.0", INTEGER, 7), ("1e3", DOUBLE, 1000),
        ("0.5", DOUBLE, 0.5),
        ("True\n", BOOLEAN, True), ("false", BOOLEAN, False), ("[1.0, 2.5]", LIST, [1, 2.5]),
        ('{"a": 1.0}', STRUCT, {"a": 1}),
        ("x", ParameterType.UNSPECIFIED, "x"), (str(2**70), INTEGER, 2**70), ("1" + "0" * 22, DOUBLE, 1e22),
    ],
)  # fmt: skip
def test_an_output_file_is_read_by_its_type(text: str, kind: ParameterType, result: Any) -> None:
    assert same(parsed(text, kind), result)
    assert same(output(text, kind), result)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("x", INTEGER), ("1.5", INTEGER), ("", DOUBLE), ("nan", DOUBLE), ("1" * 500, INTEGER), ("1" * 399, DOUBLE),
        ("1", BOOLEAN),
        ("{}", LIST), ("[", LIST), ("[" * 100_000, LIST), ("[]", STRUCT), ("null", STRUCT),
    ],
)  # fmt: skip
def test_an_output_file_of_another_type_is_refused(text: str, kind: ParameterType) -> None:
    with pytest.raises(TypeMismatch):
        parsed(text, kind)


def test_an_output_that_was_reported_is_typed() -> None:
    assert same(output(3.0, INTEGER), 3)
    assert same(output("[1.0]", STRING), "[1.0]")
    assert same(output(5, STRING), "5")
    with pytest.raises(TypeMismatch):
        output([1], INTEGER)


@pytest.mark.parametrize(("value", "items"), [([1.0, "a"], [1, "a"]), ("[1.0, [2.0]]", [1, [2]]), ([], [])])
def test_the_items_of_a_loop(value: Any, items: Any) -> None:
    assert same(items_of(value), items)


@pytest.mark.parametrize("value", ["x", "{}", {}, 3, None])
def test_what_is_no_list_has_no_items(value: Any) -> None:
    with pytest.raises(TypeMismatch, match="the items of a loop"):
        items_of(value)


def definitions(**parameters: ParameterSpec) -> Definitions:
    return Definitions(parameters=parameters)


def test_the_inputs_of_a_component() -> None:
    inputs = definitions(
        n=ParameterSpec(parameter_type=INTEGER),
        d=ParameterSpec(parameter_type=LIST, default_value=[1.0]),
        nulled=ParameterSpec(parameter_type=STRING, default_value="x"),
        optional=ParameterSpec(parameter_type=STRING, is_optional=True),
        empty=ParameterSpec(parameter_type=STRING, default_value=None, is_optional=True),
        text=ParameterSpec(parameter_type=STRING),
    )
    given = {"n": 3.0, "nulled": None, "optional": None, "text": 1.0, "pipelinechannel--x": [2.0]}
    expected = {"n": 3, "d": [1], "nulled": "x", "text": "1", "pipelinechannel--x": [2]}
    assert same(dict(sorted(component_inputs(inputs, given).items())), dict(sorted(expected.items())))
    with pytest.raises(MissingInput, match="input parameter 'n' is required"):
        component_inputs(inputs, {"n": None, "text": ""})
    with pytest.raises(TypeMismatch, match="input parameter 'n' must be a whole number"):
        component_inputs(inputs, {"n": "3.5", "text": ""})


def test_text_is_read_where_another_type_is_wanted() -> None:
    """The items of an untyped list are declared as STRING by the SDK, and handed on to inputs of their real types."""
    inputs = definitions(n=ParameterSpec(parameter_type=INTEGER), d=ParameterSpec(parameter_type=LIST))
    assert component_inputs(inputs, {"n": "3", "d": "[1.0, true]"}) == {"n": 3, "d": [1, True]}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "parameter n is not optional, yet has neither default value nor user provided value"),
        ({"n": 1, "zz": 2, "yy": 3}, "parameter(s) provided are not required by pipeline: zz, yy"),
        ({"n": "1"}, "input parameter n requires type double or integer, but the parameter value is not of number"),
        ({"n": None}, "input parameter n requires type double or integer"),
        ({"n": 1.5}, "input parameter n requires type integer, but the parameter value is 1.5"),
        ({"n": 1, "s": 1}, "input parameter s requires type string, but the input parameter is not of string value"),
        ({"n": 1, "b": 1}, "input parameter b requires type bool, but the input parameter is not of bool value type"),
        ({"n": 1, "l": {}}, "input parameter l requires type list"),
        ({"n": 1, "m": []}, "input parameter m requires type struct"),
        ({"n": 1, "k": 3}, "input parameter k must be one of 1, 2; is the number 3"),
        ({"n": 1, "k": True}, "input parameter k requires type double or integer"),
    ],
)
def test_wrong_parameters_of_a_run_are_told_in_upstreams_words(given: dict[str, Any], words: str) -> None:
    found = run_parameter_problems(ROOT, given)
    assert len(found) == 1
    assert words in found[0].message


ROOT = definitions(
    n=ParameterSpec(parameter_type=INTEGER),
    s=ParameterSpec(parameter_type=STRING, is_optional=True),
    b=ParameterSpec(parameter_type=BOOLEAN, default_value=False),
    l=ParameterSpec(parameter_type=LIST, is_optional=True),
    m=ParameterSpec(parameter_type=STRUCT, is_optional=True),
    k=ParameterSpec(parameter_type=INTEGER, is_optional=True, literals=(1.0, 2.0)),
)


def test_right_parameters_of_a_run() -> None:
    given = {"n": 2.0, "s": None, "k": 2, "l": [1.0], "m": {"a": 1}}
    assert run_parameter_problems(ROOT, given) == []
    assert same(run_parameters(ROOT, given), {"n": 2, "b": False, "l": [1], "m": {"a": 1}, "k": 2})
