"""The fields of the built-in kinds: their types, protobuf numbers, and how lists and maps merge.

They are read, on first need, from ``definitions.json`` beside this file, one definition a line, which
``scripts/builtin_definitions.py`` writes from published sources (never edit it by hand). A field's text is

    type number [!] [patch=KEY] [retain-keys] [list=set|atomic|map:KEY,...] [map=atomic]

with a type ``string int32 int64 bool double bytes quantity int-or-string time micro-time any`` or the name of a
definition, behind ``[]`` for a list or ``{}`` for a map with string keys. The number is protobuf's: ``2.4`` is field 4
of the message that is field 2, where Kubernetes embeds one; ``0`` is unknown. ``!`` means required, ``patch=`` that a
strategic merge patch merges the list by that key (or, empty, as a set).

Why a table and not the models of ``lightkube``: importing those five modules costs 16 MB and 250 to 500 ms, this 0.3 MB
and 1 ms; and they know neither protobuf's numbers nor how lists merge.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

OBJECT_META = "meta_v1.ObjectMeta"
SCALARS = frozenset(
    {"string", "int32", "int64", "bool", "double", "bytes", "quantity", "int-or-string", "time", "micro-time", "any"}
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a definition.

    Attributes:
        type: A scalar of ``SCALARS``, or the name of a definition; of each item, for lists and maps.
        shape: Whether it is one value, a list, or a map with string keys.
        numbers: Protobuf field number, with those of the embedding messages before it; empty: unknown.
        required: Whether the published schema requires it.
        patch_key: Strategic merge patches merge the list by this field of the items; "": as a set; None: not at all.
        retain_keys: Whether clients say which keys stay, because one member of a union replaces another.
        list_type: ``set``, ``map`` or ``atomic`` for server-side apply; empty: not said, which means atomic.
        map_keys: Fields that tell the items of a ``map`` list apart.
        is_atomic: Whether a map or an object is replaced as a whole by server-side apply.
    """

    type: str
    shape: Literal["", "[]", "{}"] = ""
    numbers: tuple[int, ...] = ()
    required: bool = False
    patch_key: str | None = None
    retain_keys: bool = False
    list_type: str = ""
    map_keys: tuple[str, ...] = ()
    is_atomic: bool = False

    @property
    def is_definition(self) -> bool:
        """Whether the type names a definition."""
        return self.type not in SCALARS


@cache
def fields_of(definition: str) -> Mapping[str, Field]:
    """Give the fields of a definition by name. Raises ``KeyError`` if there is no such definition."""
    return {name: _field(text) for name, text in _texts()[definition].items()}


@cache
def _texts() -> Mapping[str, Mapping[str, str]]:
    raw = Path(__file__).with_name("definitions.json").read_bytes()
    return msgspec.json.decode(raw, type=dict[str, dict[str, str]])


def _field(text: str) -> Field:
    kind, number, *marks = text.split()
    shape: Literal["", "[]", "{}"] = "[]" if kind.startswith("[]") else "{}" if kind.startswith("{}") else ""
    said = dict(mark.partition("=")[::2] for mark in marks)
    list_type, _, keys = said.get("list", "").partition(":")
    return Field(
        type=kind.removeprefix(shape),
        shape=shape,
        numbers=() if number == "0" else tuple(int(n) for n in number.split(".")),
        required="!" in said,
        patch_key=said.get("patch"),
        retain_keys="retain-keys" in said,
        list_type=list_type,
        map_keys=tuple(filter(None, keys.split(","))),
        is_atomic=said.get("map") == "atomic",
    )
