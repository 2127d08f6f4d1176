"""Compiling and running expressions: the only module that knows the CEL library, with ``library``.

An evaluation ends by itself: the library counts the steps of loops and gives up after ten thousand.
"""

from functools import cache
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext.ext_bindings import ExtBindings
from cel_expr_python.ext.ext_optional import ExtOptional
from cel_expr_python.ext.ext_strings import ExtStrings

from beamhall.embedded.api.expressions.library import functions

_TYPES = {
    "int": cel.Type.INT,
    "double": cel.Type.DOUBLE,
    "string": cel.Type.STRING,
    "bool": cel.Type.BOOL,
    "bytes": cel.Type.BYTES,
    "timestamp": cel.Type.TIMESTAMP,
    "duration": cel.Type.DURATION,
    "list": cel.Type.List(cel.Type.DYN),
    "map": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    "dyn": cel.Type.DYN,
}
_HELD = "oldSelfHeld"


class ExpressionError(ValueError):
    """An expression cannot be compiled, or its evaluation failed; the message says why."""


class Expression:
    """A compiled expression about ``self``, and perhaps ``oldSelf``.

    Attributes:
        uses_old: Whether it speaks of ``oldSelf``.
        type: Name of its result's type in CEL, such as ``BOOL``.

    Args:
        text: The expression.
        kind: The type of ``self``, as ``values.type_name`` gives it.
        is_old_optional: Whether ``oldSelf`` is an optional value, there or not.

    Raises:
        ExpressionError: It cannot be compiled.
    """

    def __init__(self, text: str, kind: str, *, is_old_optional: bool = False) -> None:
        self._is_old_optional = is_old_optional
        self.uses_old = False
        try:
            self._program = _environment(kind, has_old=False).compile(text)
        except RuntimeError as error:
            self._program = self._with_old(text, kind, error)
            self.uses_old = True
        self.type = str(self._program.return_type().name())

    def _with_old(self, text: str, kind: str, error: RuntimeError) -> Any:
        if "oldSelf" not in text:
            raise ExpressionError(_reason(error)) from error
        if self._is_old_optional:  # values from outside are never optional: an empty list stands for nothing
            old = f"{_HELD}.size() == 0 ? optional.none() : optional.of({_HELD}[0])"
            text = f"cel.bind(oldSelf, {old}, {text})"
        try:
            return _environment(kind, has_old=True).compile(text)
        except RuntimeError as second:
            raise ExpressionError(_reason(second)) from second

    def run(self, value: Any, *old: Any) -> Any:
        """Evaluate it, for a value and (if there is one) the value before.

        Raises:
            ExpressionError: It has no result: a key is missing, types do not match, it takes too long.
        """
        data: dict[str, Any] = {"self": value}
        if self.uses_old:
            if not old and not self._is_old_optional:
                raise ExpressionError("there is no oldSelf")
            data |= {_HELD: list(old)} if self._is_old_optional else {"oldSelf": old[0]}
        try:
            result = self._program.eval(data=data)
        except (RuntimeError, ValueError, TypeError, ArithmeticError, LookupError) as error:
            raise ExpressionError(_reason(error)) from error
        if result.type() == cel.Type.ERROR:
            raise ExpressionError(str(result.plain_value()))
        return result.plain_value()


@cache
def _environment(kind: str, *, has_old: bool) -> Any:
    variables = {"self": _TYPES[kind]}
    if has_old:
        variables |= {"oldSelf": _TYPES[kind], _HELD: cel.Type.List(_TYPES[kind])}
    return cel.NewEnv(
        variables=variables, extensions=[ExtStrings(), ExtOptional(), ExtBindings()], functions=functions()
    )


def _reason(error: Exception) -> str:
    """Say what is wrong in one line: the library draws the place of an error below it."""
    lines = str(error).removeprefix("INVALID_ARGUMENT: ").splitlines()
    found = [line.partition(" [")[0].strip() for line in lines if line.strip() and not line.lstrip().startswith("|")]
    return " ".join(found)[:500] or type(error).__name__
