"""Conditions of tasks and selectors of parameters, both in CEL.

What the SDK writes is a handful of forms: ``forms`` reads those without the CEL library, which costs a process 40 ms
and 25 MB when it is first needed. All else, and whatever looks unusual on the way, goes to the library; a property
test holds the two equal.

Numbers are doubles, as in KFP's backend: ``int(x) > 5`` and ``x == 5`` hold for 7.0 and 5.0.

Source: reference "KFP", section 2.4; CEL language definition; ``pipeline_spec.proto``,
``parameter_expression_selector``.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from beamhall.pipelines.spec import forms
from beamhall.pipelines.spec.sources import Json
from beamhall.pipelines.spec.types import normal, text_of

_KEPT = 1024
_LITERAL = re.compile(r"((?:==|!=|<=|>=|<|>) )'(.*?)'(?=\)*(?:$| && ))", re.DOTALL)
_ESCAPES = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r"})


class BadExpression(ValueError):
    """An expression cannot be read, or has no result; the message has both the expression and the reason."""


def holds(condition: str, parameters: Mapping[str, Json], artifacts: Mapping[str, Json] | None = None) -> bool:
    """Evaluate the condition of a task.

    Args:
        condition: A CEL expression over ``inputs.parameter_values[…]``.
        parameters: The task's input parameters; null and absent are not the same: what is absent is an error.
        artifacts: Its input artifacts, in JSON, as ``inputs.artifacts[…]``.

    Raises:
        BadExpression: It cannot be read, speaks of an input that has no value, or is not true or false.
    """
    try:
        return forms.holds(condition, parameters)
    except forms.Unusual:
        pass
    inputs = {"parameter_values": _doubles(parameters), "artifacts": _doubles(artifacts or {})}
    result = _evaluated(condition, {"inputs": inputs})
    if not isinstance(result, bool):
        raise BadExpression(f"condition {condition!r} gives {text_of(result)!r}, not true or false")
    return result


def select(selector: str, value: Json) -> Json:
    """Apply a selector, such as ``parseJson(string_value)["a"]``, to a value; an empty one gives the value itself.

    Raises:
        BadExpression: It cannot be read, or the value has no such part.
    """
    if not selector:
        return value
    text = text_of(value)
    try:
        return normal(forms.selected(selector, text))
    except forms.Unusual:
        return normal(_evaluated(selector, {"string_value": text}))


def condition_problem(condition: str) -> str:
    """Say why a condition cannot be read; empty if it can."""
    return "" if forms.is_condition(condition) else _problem(condition)


def selector_problem(selector: str) -> str:
    """Say why a selector cannot be read; empty if it can."""
    return "" if forms.is_selector(selector) else _problem(selector)


def _problem(text: str) -> str:
    try:
        _compiled(text)
    except BadExpression as error:
        return str(error)
    return ""


def _doubles(value: Json) -> Json:
    """Give a value as protocol buffers have it: every number is a double."""
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return float("inf")
    if isinstance(value, Mapping):
        return {key: _doubles(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_doubles(item) for item in value]
    return value


def _evaluated(text: str, data: dict[str, Any]) -> Json:
    program = _compiled(text)
    try:
        result = program.eval(data=data)
        plain = result.plain_value()
    except (RuntimeError, ValueError, TypeError, ArithmeticError, LookupError) as error:
        raise BadExpression(f"{text!r} cannot be evaluated: {_reason(error)}") from error
    if str(result.type().name()) == "ERROR":
        raise BadExpression(f"{text!r} cannot be evaluated: {_reason(plain)}")
    return plain


@lru_cache(maxsize=_KEPT)
def _compiled(text: str) -> Any:
    """Compile an expression; the SDK does not escape quotes in literals, so one that fails is read that way too."""
    environment = _environment()
    try:
        return environment.compile(text)
    except RuntimeError as error:
        mended = _LITERAL.sub(lambda found: f"{found[1]}'{found[2].translate(_ESCAPES)}'", text)
        try:
            if mended != text:
                return environment.compile(mended)
        except RuntimeError:
            pass
        raise BadExpression(f"{text!r} cannot be read: {_reason(error)}") from error


@lru_cache(maxsize=1)
def _environment() -> Any:
    from cel_expr_python import cel  # noqa: PLC0415 - 40 ms and 25 MB that most services never need
    from cel_expr_python.ext.ext_strings import ExtStrings  # noqa: PLC0415 - as above

    parse = cel.Overload("parse_json_string", cel.Type.DYN, [cel.Type.STRING], False, _parse_json)
    return cel.NewEnv(
        variables={"inputs": cel.Type.DYN, "string_value": cel.Type.STRING},
        extensions=[ExtStrings()],
        functions=[cel.FunctionDecl("parseJson", [parse])],
    )


def _parse_json(text: str) -> Any:
    try:
        return _within_64_bits(msgspec.json.decode(text))
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"not JSON: {text[:60]!r}") from error


def _within_64_bits(value: Json) -> Json:
    """Give a value that CEL can hold: larger integers are doubles."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return _doubles(value)
    if isinstance(value, dict):
        return {key: _within_64_bits(member) for key, member in value.items()}
    return [_within_64_bits(item) for item in value] if isinstance(value, list) else value


def _reason(error: object) -> str:
    """Say what is wrong in one line: the library draws the place below it."""
    lines = str(error).removeprefix("INVALID_ARGUMENT: ").splitlines()
    found = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("|")]
    return " ".join(found)[:500] or type(error).__name__
