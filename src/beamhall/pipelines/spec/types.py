"""What the values of parameters may be: types, defaults, what becomes of a value that meets another type, texts.

Values are JSON. Numbers travelled as float64, so an integral float is the integer that it was: ``normal`` restores it,
also inside lists and structs, since ``range(3.0)`` fails in a user's step. Text is never guessed to be a number, unless
it comes from a file that a step wrote.

Source: reference "KFP", sections 1.6 (validation at create) and 2.3; ``kubeflow/pipelines/backend``, ``pbValueToText``
and ``validatePipelineJobInputs`` for the wording.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from beamhall.kernel.errors import Cause
from beamhall.pipelines.spec.fields import shown
from beamhall.pipelines.spec.ir import Definitions, ParameterSpec, ParameterType
from beamhall.pipelines.spec.sources import Json

MAX_DIGITS = 400
"""Digits that a number in a step's output file may have: more is an attack on the reader."""

_MAX_INTEGRAL = 1e21
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBERS = (ParameterType.NUMBER_DOUBLE, ParameterType.NUMBER_INTEGER)
_STRUCTS = (ParameterType.STRUCT, ParameterType.TASK_FINAL_STATUS, ParameterType.TASK_CONFIG)
_WORDS = {
    ParameterType.NUMBER_DOUBLE: "a number",
    ParameterType.NUMBER_INTEGER: "a whole number",
    ParameterType.BOOLEAN: "true or false",
    ParameterType.LIST: "a list",
    **dict.fromkeys(_STRUCTS, "an object"),
}


class TypeMismatch(ValueError):
    """A value is not of the type that is needed; the message says what is needed and what there is."""


class MissingInput(ValueError):
    """A required input has no value; the message names it."""


def normal(value: Json) -> Json:
    """Give a value with each integral number as an integer, at any depth. Never changes the value itself."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _MAX_INTEGRAL else value
    if isinstance(value, Mapping):
        return {key: normal(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [normal(item) for item in value]
    return value


def json_text(value: Json) -> str:
    """Write a value as compact JSON. Raises ``TypeMismatch`` for numbers that JSON does not have."""
    try:
        return json.dumps(normal(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise TypeMismatch(f"cannot be written as JSON: {error}") from error


def text_of(value: Json) -> str:
    """Render a value into text: a string as it is, a number in decimal, null as nothing, all else as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, float) and math.isfinite(value):
        value = normal(value)
        return format(Decimal(repr(value)), "f")
    return json_text(value)


def conform(value: Json, kind: ParameterType) -> Json:
    """Give a value as an input of a type takes it.

    Anything becomes its text where a STRING is wanted; text becomes nothing else. Null and unspecified types pass, and
    any number where a whole one is wanted: upstream does not tell them apart, and the SDK takes ``[1, 0.5]`` for whole.

    Raises:
        TypeMismatch: It is of another type.
    """
    value = normal(value)
    if value is None or kind is ParameterType.UNSPECIFIED:
        return value
    if kind is ParameterType.STRING:
        return text_of(value)
    is_number = kind is ParameterType.NUMBER_INTEGER and _is_of(value, ParameterType.NUMBER_DOUBLE)
    if not _is_of(value, kind) and not is_number:
        raise TypeMismatch(f"must be {_WORDS[kind]} ({kind}), is {shown(value)}")
    return value


def _is_of(value: Json, kind: ParameterType) -> bool:
    """Tell whether a normal value is of a type. A number that is not whole is no integer."""
    if kind is ParameterType.STRING:
        return isinstance(value, str)
    if kind is ParameterType.BOOLEAN:
        return isinstance(value, bool)
    if kind is ParameterType.LIST:
        return isinstance(value, list)
    if kind in _STRUCTS:
        return isinstance(value, Mapping)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or (kind is ParameterType.NUMBER_DOUBLE and math.isfinite(value))


def parsed(text: str, kind: ParameterType) -> Json:
    """Read a parameter from a file that a step wrote.

    Args:
        text: The file's content. White space around anything but a STRING is passed over.
        kind: The declared type; an unspecified one is text.

    Raises:
        TypeMismatch: It is no such value.
    """
    if kind in (ParameterType.STRING, ParameterType.UNSPECIFIED):
        return text
    bare = text.strip()
    if kind in _NUMBERS:
        value = normal(_number(bare, kind))
    else:
        value = _BOOLEANS.get(bare.lower()) if kind is ParameterType.BOOLEAN else normal(_json(bare))
    if not _is_of(value, kind):
        raise TypeMismatch(f"must be {_WORDS[kind]} ({kind}), is {shown(text)}")
    return value


_BOOLEANS: Mapping[str, Json] = {"true": True, "false": False}


def _number(text: str, kind: ParameterType) -> int | float | None:
    try:
        is_whole = kind is ParameterType.NUMBER_INTEGER and _WHOLE.fullmatch(text)
        return None if len(text) > MAX_DIGITS else int(text) if is_whole else float(text)
    except ValueError:
        return None


def _json(text: str) -> Json:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def output(value: Json, kind: ParameterType) -> Json:
    """Give an output that a step reported as JSON, as its declared type has it; text is read as a file would be.

    Raises:
        TypeMismatch: It is of another type.
    """
    if isinstance(value, str) and kind is not ParameterType.STRING:
        return parsed(value, kind)
    return conform(value, kind)


def items_of(value: Json) -> Sequence[Json]:
    """Give the items of a loop: of a list, or of the JSON text of one.

    Raises:
        TypeMismatch: It is neither.
    """
    found = _json(value) if isinstance(value, str) else value
    if not isinstance(found, list | tuple):
        raise TypeMismatch(f"the items of a loop must be a list, or the JSON text of one; is {shown(value)}")
    return [normal(item) for item in found]


def component_inputs(definitions: Definitions, given: Mapping[str, Json]) -> dict[str, Json]:
    """Give the input parameters that a component sees.

    Null counts as absent; what is absent gets its default; what is optional and has none stays out. Inputs that the
    component does not declare (``pipelinechannel--…``, for placeholders) pass. Text is read where another type is
    wanted: the SDK declares the items of an untyped list as STRING, whatever they are, and hands them on from there.

    Raises:
        MissingInput: A required one is absent or null.
        TypeMismatch: One is of another type; the message names it.
    """
    found = {name: normal(value) for name, value in given.items() if name not in definitions.parameters}
    for name, spec in definitions.parameters.items():
        value = given.get(name)
        if value is None:
            value = None if spec.default_value is msgspec.UNSET else spec.default_value
        if value is None:
            if spec.is_required:
                raise MissingInput(f"input parameter {name!r} is required and has no value")
            continue
        try:
            found[name] = output(value, spec.parameter_type)
        except TypeMismatch as error:
            raise TypeMismatch(f"input parameter {name!r} {error}") from error
    return found


def run_parameter_problems(definitions: Definitions, given: Mapping[str, Json]) -> Sequence[Cause]:
    """Say what is wrong with the parameters that a user gives a run; upstream's words, which clients look for.

    Args:
        definitions: The inputs of the root.
        given: The values by name; null is a value of no type, unless the parameter is optional.
    """
    found = []
    for name, spec in definitions.parameters.items():
        field = f"runtime_config.parameters[{name!r}]"
        if name not in given:
            if spec.is_required:
                message = f"parameter {name} is not optional, yet has neither default value nor user provided value"
                found.append(Cause("FieldValueRequired", message, field))
        elif (message := _problem_of(name, spec, normal(given[name]))) != "":
            found.append(Cause("FieldValueInvalid", message, field))
    unknown = [name for name in given if name not in definitions.parameters]
    if unknown:
        known = ", ".join(definitions.parameters) or "it takes none"
        message = f"parameter(s) provided are not required by pipeline: {', '.join(unknown)} (known: {known})"
        found.append(Cause("FieldValueNotSupported", message, f"runtime_config.parameters[{unknown[0]!r}]"))
    return found


_REQUIRED = {
    **dict.fromkeys(_NUMBERS, ("double or integer", "parameter value is not of number")),
    ParameterType.STRING: ("string", "input parameter is not of string"),
    ParameterType.BOOLEAN: ("bool", "input parameter is not of bool"),
    ParameterType.LIST: ("list", "input parameter is not of list"),
    **dict.fromkeys(_STRUCTS, ("struct", "input parameter is not of struct")),
}


def _problem_of(name: str, spec: ParameterSpec, value: Json) -> str:
    if value is None and spec.is_optional:
        return ""
    kind = spec.parameter_type
    if kind is ParameterType.UNSPECIFIED:
        return ""
    if not _is_of(value, kind):
        if kind is ParameterType.NUMBER_INTEGER and _is_of(value, ParameterType.NUMBER_DOUBLE):
            return f"input parameter {name} requires type integer, but the parameter value is {value}"
        wanted, is_not = _REQUIRED[kind]
        return f"input parameter {name} requires type {wanted}, but the {is_not} value type: it is {shown(value)}"
    return literal_problem(name, spec, value)


def literal_problem(name: str, spec: ParameterSpec, value: Json) -> str:
    """Say that a value is not one of those that a parameter may have; empty if it is."""
    allowed = [normal(one) for one in spec.literals]
    if not allowed or any(_are_equal(one, value) for one in allowed):
        return ""
    return f"input parameter {name} must be one of {', '.join(json_text(one) for one in allowed)}; is {shown(value)}"


def _are_equal(one: Any, other: Any) -> bool:
    """Compare as JSON does: true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def run_parameters(definitions: Definitions, given: Mapping[str, Json]) -> dict[str, Json]:
    """Give the parameters of a run: what a user gave, and defaults; ``run_parameter_problems`` finds nothing."""
    return component_inputs(definitions, given)
