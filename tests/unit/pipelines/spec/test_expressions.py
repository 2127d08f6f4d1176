"""Conditions and selectors: what the SDK writes, what else CEL has, and what is wrong."""

import subprocess
import sys
from typing import Any

import pytest

from beamhall.pipelines.spec import forms
from beamhall.pipelines.spec.expressions import (
    BadExpression,
    condition_problem,
    holds,
    select,
    selector_problem,
)

X = "inputs.parameter_values['x']"


@pytest.mark.parametrize(
    ("condition", "x", "result"),
    [
        (f"{X} == 'heads'", "heads", True), (f"{X} != 'heads'", "heads", False), (f"!({X} == 'heads')", "tails", True),
        (f"!({X} == 'a') && {X} == 'b'", "b", True), (f"!({X} == 'a') && !({X} == 'b')", "b", False),
        (f"{X} == true", True, True), (f"{X} == 'true'", True, False), (f"{X} == 1", True, False),
        (f"int({X}) > 5", 7, True), (f"int({X}) > 5", "7", True), (f"int({X}) >= int({X})", "7", True),
        (f"{X} > 5", 7.5, True), (f"{X} == 5", 5.0, True), (f"double({X}) < 0.5", 0.25, True),
        (f"double(int({X})) > 6.5", "7", True), (f"'a' < {X}", "b", True), (f"{X} == ''", "", True),
        (f"int({X}) <= -3", -3.9, True),
    ],
)  # fmt: skip
def test_what_the_sdk_writes_needs_no_library(condition: str, x: Any, result: bool) -> None:
    assert forms.holds(condition, {"x": x}) is result
    assert holds(condition, {"x": x}) is result
    assert condition_problem(condition) == ""


@pytest.mark.parametrize(
    ("condition", "x", "result"),
    [
        (f"{X} == 1 || {X} == 2", 2, True), (f"size({X}) == 2", [1, 2], True), (f"{X}['a'] == 1", {"a": 1}, True),
        (f"parseJson({X})['a'][1] == 'q'", '{"a": [0, "q"]}', True), (f"{X} == null", None, True),
        (f"{X}.startsWith('a')", "abc", True), (f"{X} == 'true'", None, False), (f"string({X}) == '7'", 7, True),
        (f"{X} == 'it's'", "it's", True), (f"{X} == 'it's' && {X} != 'a'b'", "it's", True),
        (f"!({X} == 'it's')", "it's", False), (f"{X} == 'a\\d'", "a\\d", True), (f"{X} == 'a\nb'", "a\nb", True),
        (f"{X} == 'x' && {X} > 5", "y", False), (f"{X} == {2**60}", 2**60, True), (f"{X} > 5", 10**400, True),
    ],
)  # fmt: skip
def test_the_rest_of_cel(condition: str, x: Any, result: bool) -> None:
    assert holds(condition, {"x": x}) is result
    assert condition_problem(condition) == ""


def test_artifacts_can_be_asked_for() -> None:
    artifacts = {"m": {"artifacts": [{"metadata": {"accuracy": 1}}]}}
    assert holds("inputs.artifacts['m'].artifacts[0].metadata['accuracy'] > 0.9", {}, artifacts)


@pytest.mark.parametrize(
    ("condition", "x", "words"),
    [
        ("inputs.parameter_values['y'] == 1", 1, "Key not found"), (f"{X} > 5", "a", "cannot be evaluated"),
        (f"{X} ==", 1, "cannot be read"), (X, 1, "not true or false"), (f"int({X}) > 5", "a", "cannot be evaluated"),
        ("nonsense == 1", 1, "cannot be read"),
    ],
)  # fmt: skip
def test_what_has_no_answer_says_why(condition: str, x: Any, words: str) -> None:
    with pytest.raises(BadExpression) as caught:
        holds(condition, {"x": x})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("selector", "value", "result"),
    [
        ("", [1.0], [1.0]),
        ('parseJson(string_value)["a"]', {"a": 1.0}, 1), ("parseJson(string_value)['a']", '{"a": "x"}', "x"),
        ('parseJson(string_value)["a"][1]["b"]', {"a": [0, {"b": [1.0]}]}, [1]),
        ("parseJson(string_value)", "[1.0]", [1]),
        ("parseJson(string_value)[0]", [None], None), ("size(string_value)", "abc", 3), ("string_value", 5, "5"),
        ('parseJson(string_value)["a"].b', {"a": {"b": True}}, True), ('parseJson(string_value)["0"]', {"0": "z"}, "z"),
        ('parseJson(string_value)["a"]', {"a": {"c": 2.0}}, {"c": 2}),
    ],
)  # fmt: skip
def test_selectors(selector: str, value: Any, result: Any) -> None:
    assert repr(select(selector, value)) == repr(result)
    assert selector_problem(selector or "string_value") == ""


@pytest.mark.parametrize(
    ("selector", "value"),
    [
        ('parseJson(string_value)["a"]', "{}"), ('parseJson(string_value)["a"]', "not JSON"),
        ("parseJson(string_value)[3]", "[1]"), ("parseJson(string_value)[0]", "{}"), ("parseJson(", "x"),
    ],
)  # fmt: skip
def test_selectors_that_find_nothing_say_so(selector: str, value: str) -> None:
    with pytest.raises(BadExpression):
        select(selector, value)


@pytest.mark.parametrize("text", [f"{X} == ", "int(x > 1", "zz"])
def test_expressions_that_cannot_be_read_are_found_before(text: str) -> None:
    assert "cannot be read" in condition_problem(text)
    assert "cannot be read" in selector_problem(text)


def test_the_library_is_not_loaded_for_what_the_sdk_writes() -> None:
    program = (
        "import sys; from beamhall.pipelines.spec.expressions import holds, select\n"
        f'assert holds("{X} == 1", {{"x": 1}}) and select("parseJson(string_value)[0]", "[1]") == 1\n'
        "assert 'cel_expr_python' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
