"""Values of pipelines: coercions round-trip, quick forms mean what CEL does, structs are read as by a naive reader."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamhall.pipelines.spec import expressions, forms
from beamhall.pipelines.spec.expressions import BadExpression, holds, select
from beamhall.pipelines.spec.ir import ParameterType
from beamhall.pipelines.spec.placeholders import Context, fill_arguments
from beamhall.pipelines.spec.types import TypeMismatch, conform, normal, parsed, text_of

numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(codec="utf-8"), max_size=8)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
kinds = st.sampled_from(list(ParameterType)[1:])


@given(values, kinds)
def test_a_value_survives_a_file(value: Any, kind: ParameterType) -> None:
    try:
        conformed = conform(value, kind)
    except TypeMismatch:
        return
    if conformed is not None:
        assert parsed(text_of(conformed), kind) == conformed


@given(values)
def test_what_is_normal_stays_so_and_equals_what_it_was(value: Any) -> None:
    assert normal(value) == value
    assert repr(normal(normal(value))) == repr(normal(value))
    assert repr(conform(normal(value), ParameterType.STRING)) == repr(conform(value, ParameterType.STRING))


near = st.sampled_from(["a", "b", "", "1", "-7", "2.5", "true", "x y", "é", "0x1", "1e3", "007", " 1"])
parameters = near | st.integers(-9, 9) | st.sampled_from([0.5, 2.5, -7.9, 1e18, 2.0**53]) | st.booleans() | st.none()
literals = (
    st.integers(-9, 9).map(str)
    | st.sampled_from(["0.5", "2.5", "-7.0", "true", "false"])
    | near.map(lambda text: f"'{text}'")
)
references = st.sampled_from(["inputs.parameter_values['x']", "inputs.parameter_values['y']"])
operands = st.builds(
    lambda casts, what: "".join(f"{cast}(" for cast in casts) + what + ")" * len(casts),
    st.lists(st.sampled_from(["int", "double"]), max_size=2),
    literals | references,
)
comparisons = st.builds(
    lambda left, operator, right, negated: f"!({left} {operator} {right})" if negated else f"{left} {operator} {right}",
    operands, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), operands, st.booleans(),
)  # fmt: skip
conditions = st.lists(comparisons, min_size=1, max_size=3).map(" && ".join)


@given(conditions, parameters, parameters)
def test_a_quick_form_means_what_cel_does(condition: str, x: Any, y: Any) -> None:
    given_values = {"x": x, "y": y}
    try:
        quick = forms.holds(condition, given_values)
    except forms.Unusual:
        return
    inputs = {"parameter_values": expressions._doubles(given_values)}
    assert expressions._evaluated(condition, {"inputs": inputs}) is quick


keys = st.sampled_from(["a", "b", "é", "a b"])
steps = keys.map(lambda key: f'["{key}"]') | keys.map(lambda key: f"['{key}']") | st.integers(0, 2).map("[{}]".format)
plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e15, 1e15) | texts
documents = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))


@given(st.lists(steps, max_size=3).map("".join), documents)
def test_a_quick_selector_means_what_cel_does(path: str, value: Any) -> None:
    selector = f"parseJson(string_value){path}"
    text = text_of(value)
    try:
        quick = normal(forms.selected(selector, text))
    except forms.Unusual:
        return
    slow = normal(expressions._evaluated(selector, {"string_value": text}))
    assert json.dumps(slow, sort_keys=True) == json.dumps(quick, sort_keys=True)
    assert repr(select(selector, value)) == repr(quick)


def test_integers_beyond_64_bits_pass_through_cel() -> None:
    assert expressions._evaluated("parseJson(string_value)", {"string_value": str(2**64)}) == 2**64


@given(texts)
def test_a_text_in_a_condition_needs_no_escape(text: str) -> None:
    """The SDK writes literals as they are; a backslash stays CEL's where CEL can read it, ``' && `` ends a literal."""
    if "\\" in text or "\0" in text or re.search(r"'\)*( && |$)", text):
        return
    try:
        assert holds(f"inputs.parameter_values['x'] == '{text}'", {"x": text})
    except BadExpression as error:  # what cannot be mended says so
        pytest.fail(str(error))


names = st.sampled_from(["n", "s", "absent"])
leaves = texts.filter(lambda text: "{" not in text) | names.map(lambda name: f"{{{{$.inputs.parameters['{name}']}}}}")
structs = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3).map(lambda items: {"Concat": items})
    | st.builds(
        lambda name, then, other: {"IfPresent": {"InputName": name, "Then": then, "Else": other}},
        names, inner | st.lists(inner, max_size=3), inner | st.lists(inner, max_size=3),
    ),
)  # fmt: skip
GIVEN: dict[str, Any] = {"n": 3.0, "s": "{{$.inputs.parameters['n']}}"}


def naive(struct: Any) -> list[str]:
    """Make an argv in the plainest way."""
    if isinstance(struct, list):
        return [made for item in struct for made in naive(item)]
    if isinstance(struct, str):
        found = re.fullmatch(r"\{\{\$\.inputs\.parameters\['(.)'\]\}\}", struct)
        if "absent" in struct and struct.startswith("{{"):
            return [""]
        return ["3" if found[1] == "n" else GIVEN["s"]] if found else [struct]
    if "Concat" in struct:
        return ["".join(naive(struct["Concat"]))]
    condition = struct["IfPresent"]
    return naive(condition["Then"] if condition["InputName"] in GIVEN else condition["Else"])


@given(st.lists(structs, max_size=3))
def test_structs_are_evaluated_as_by_a_naive_reader(arguments: list[Any]) -> None:
    written = [argument if isinstance(argument, str) else json.dumps(argument) for argument in arguments]
    assert fill_arguments(written, Context({"inputs": {"parameterValues": GIVEN}})) == naive(arguments)
