"""What a query is: conditions, an order, and a place in a list. Plain values; ``conditions`` turns them into SQL."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from beamhall.history.records import AnyRecord

Operation = Literal["=", "!=", ">", ">=", "<", "<=", "in", "contains"]

Scalar = str | int | bool | float
Value = Scalar | Sequence[str] | Sequence[int]

R = TypeVar("R", bound=AnyRecord)


@dataclass(frozen=True, slots=True)
class Where:
    """A condition on one field.

    Attributes:
        field: A field of the record, or ``tags.<key>`` where it has tags; a tag that is not there counts as ``""``.
        operation: ``contains`` and ``=`` as usual; ``contains`` ignores the case of ASCII letters; texts are compared
            by code points; moments by whole seconds, as KFP's filters do.
        value: Of the field's type; several for ``in``.
    """

    field: str
    operation: Operation
    value: Value


@dataclass(frozen=True, slots=True)
class Order:
    """What a list is sorted by; equal ones are sorted by ``id`` in the same direction.

    Attributes:
        field: A field of the record; of runs also ``metric:<name>``.
        is_descending: Whether the largest comes first.
    """

    field: str = "created_at"
    is_descending: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """The last row of a page: its value of the sorted field, and its id."""

    value: Scalar
    id: str | int


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Part of a sorted list.

    Attributes:
        rows: Those on this page.
        total: How many there are on all pages.
        end: After which the next page begins; None: this is the last.
    """

    rows: Sequence[R]
    total: int
    end: Position | None
