"""The rules of a custom kind: its structural schema and its printer columns behind ``Rules``."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from beamhall.embedded.api.builtin.durations import age
from beamhall.embedded.api.builtin.metadata_validation import validate_metadata
from beamhall.embedded.api.jsonpath import JsonPath
from beamhall.embedded.api.resources import Check
from beamhall.embedded.api.schema_form import has_expressions
from beamhall.kernel.errors import Cause
from beamhall.kernel.kinds import Kind
from beamhall.kernel.objects import Object, ReadOnlyObject, name_of
from beamhall.kernel.schema import Schema

_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
_NAME_COLUMN = {
    "name": "Name",
    "type": "string",
    "format": "name",
    "description": "Name must be unique within a namespace.",
    "priority": 0,
}


class ExpressionRules(Protocol):
    """What a schema's expressions say of an object; ``expressions.rules`` has them."""

    def causes(self, obj: ReadOnlyObject, old: ReadOnlyObject | None) -> Sequence[Cause]:
        """Give what they say against an object that fits the schema."""
        ...


class CustomRules:
    """The rules of one version of a custom kind.

    Args:
        kind: The kind.
        schema: Its structural schema, the value of ``openAPIV3Schema``.
        columns: Its ``additionalPrinterColumns``.
        prunes: Whether fields that the schema does not know are dropped.
    """

    def __init__(
        self, kind: Kind, schema: Mapping[str, Any], columns: Sequence[Mapping[str, Any]], *, prunes: bool
    ) -> None:
        self._kind = kind
        self._document = schema
        self._schema = Schema(schema)
        self._prunes = prunes
        self._has_expressions = has_expressions(schema)
        self._expressions: ExpressionRules | None = None
        chosen = columns or (_AGE,)
        self._columns = [_NAME_COLUMN, *(_column(column) for column in chosen)]
        self._paths = [(JsonPath(str(column["jsonPath"])), column.get("type") == "date") for column in chosen]

    def check(self, obj: Object) -> Check:
        """Drop what the schema does not know, and tell its paths."""
        return Check(self._schema.prune(obj) if self._prunes else ())

    def default(self, obj: Object) -> None:
        """Fill in the schema's defaults."""
        self._schema.default(obj)

    def prepare_create(self, obj: Object) -> None:
        """Nothing: the server decides nothing for custom kinds."""

    def prepare_update(self, obj: Object, old: ReadOnlyObject) -> None:
        """Nothing: writers of custom kinds write all of them."""

    def validate_create(self, obj: ReadOnlyObject) -> Sequence[Cause]:
        """Find what is wrong with the metadata, and where an object does not fit the schema."""
        return [*validate_metadata(self._kind, obj), *self._validate(obj, None)]

    def validate_update(self, obj: ReadOnlyObject, old: ReadOnlyObject) -> Sequence[Cause]:
        """Find what is wrong with the metadata, and where a changed object does not fit the schema."""
        return [*validate_metadata(self._kind, obj), *self._validate(obj, old)]

    def validate_status(self, obj: ReadOnlyObject, old: ReadOnlyObject) -> Sequence[Cause]:
        """Find where an object with a changed status does not fit the schema."""
        return self._validate(obj, old)

    def _validate(self, obj: ReadOnlyObject, old: ReadOnlyObject | None) -> Sequence[Cause]:
        """Hold an object against the schema, and where it fits against the schema's expressions."""
        causes = self._schema.validate(obj)
        if causes or not self._has_expressions:
            return causes
        if self._expressions is None:
            from beamhall.embedded.api.expressions.rules import Rules  # noqa: PLC0415  CEL costs 10 MiB; few need it

            self._expressions = Rules(self._document)
        return self._expressions.causes(obj, old)

    def schema(self) -> Mapping[str, Any]:
        """Give the structural schema."""
        return self._document

    def columns(self) -> Sequence[Mapping[str, Any]]:
        """Give the column definitions."""
        return self._columns

    def cells(self, obj: ReadOnlyObject, now: datetime) -> list[Any]:
        """Give an object's row; a value that is not there is null."""
        return [name_of(obj), *(_cell(path, obj, now if is_date else None) for path, is_date in self._paths)]


def _column(column: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": column["name"],
        "type": column.get("type", "string"),
        "format": column.get("format", ""),
        "description": column.get("description", ""),
        "priority": column.get("priority", 0),
    }


def _cell(path: JsonPath, obj: ReadOnlyObject, now: datetime | None) -> Any:
    values = path.find(obj)
    if not values:
        return None
    if now is not None:
        return age(values[0], now)
    if len(values) > 1:
        return ",".join(str(value) for value in values)
    return values[0]
