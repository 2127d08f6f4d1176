"""Lists written object by object, off the loop: every Table, and JSON where there are many objects.

The list around them is written here as bytes too. Next: ``reading.list_as``, which reads and writes the objects.
"""

from dataclasses import dataclass
from datetime import datetime

import msgspec

from beamhall.embedded.api.reading import Write, Written
from beamhall.embedded.api.resources import Resource
from beamhall.embedded.api.tables import check_include, partial, row, table
from beamhall.kernel.objects import Object, ReadOnlyObject

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class ListForm:
    """How a list is written.

    Attributes:
        head: What it says beside its metadata and items.
        field: Which field has the items.
        write: Writes one item; None: the object as JSON.
    """

    head: Object
    field: str
    write: Write | None = None

    def body(self, page: Written) -> bytes:
        """Write a list."""
        metadata: Object = {"resourceVersion": page.revision}
        if page.continue_:
            metadata["continue"] = page.continue_
        if page.remaining is not None:
            metadata["remainingItemCount"] = page.remaining
        head = _encode(self.head | {"metadata": metadata})
        return b'%b,"%b":[%b]}' % (head[:-1], self.field.encode(), b",".join(page.items))


def plain_form(resource: Resource) -> ListForm:
    """Give the form of a list of whole objects."""
    return ListForm({"kind": resource.list_kind, "apiVersion": resource.kind.api_version}, "items")


def metadata_form() -> ListForm:
    """Give the form of a list of metadata."""
    head = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
    return ListForm(head, "items", lambda obj: _encode(partial(obj)))


def table_form(resource: Resource, now: datetime, include: str) -> ListForm:
    """Give the form of a table. Raises ``BadRequest`` where ``include`` is none of its values."""
    check_include(include)

    def write(obj: ReadOnlyObject) -> bytes:
        return _encode(row(resource, obj, now, include))

    head = table(resource, (), now, include=include)
    del head["rows"]
    return ListForm(head, "rows", write)
