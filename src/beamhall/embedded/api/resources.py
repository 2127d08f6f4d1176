"""What is served of a kind: its names, its subresources, and the rules that it adds to the common path of writes.

A ``Resource`` is one version of one kind as this server serves it. ``Rules`` is the seam between the verbs, which treat
all kinds alike, and what differs by kind: ``builtin_rules`` for the built-in ones, ``crds`` for custom ones. This
module must not know the store or HTTP. Next: ``registry``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from beamhall.kernel.errors import Cause
from beamhall.kernel.kinds import Kind
from beamhall.kernel.objects import Object, ReadOnlyObject

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
"""What can be done with every resource."""


@dataclass(frozen=True, slots=True)
class Check:
    """What is wrong with the form of an object.

    Attributes:
        unknown: Paths of fields that the schema does not know, such as ``spec.contaners``.
        causes: Fields whose value is of a wrong type.
    """

    unknown: Sequence[str] = ()
    causes: Sequence[Cause] = ()


class Rules(Protocol):
    """What a kind adds to the common path of writes. All methods are pure but for changing ``obj`` in place."""

    def check(self, obj: Object) -> Check:
        """Find unknown fields and wrong types; unknown fields are dropped where the kind says so."""
        ...

    def default(self, obj: Object) -> None:
        """Fill in defaults, idempotently."""
        ...

    def prepare_create(self, obj: Object) -> None:
        """Fill in what the server decides when an object is made; its metadata is complete."""
        ...

    def prepare_update(self, obj: Object, old: ReadOnlyObject) -> None:
        """Carry over what a writer may leave out."""
        ...

    def validate_create(self, obj: ReadOnlyObject) -> Sequence[Cause]:
        """Find what is wrong with a new object."""
        ...

    def validate_update(self, obj: ReadOnlyObject, old: ReadOnlyObject) -> Sequence[Cause]:
        """Find what is wrong with a changed object, immutable fields included."""
        ...

    def validate_status(self, obj: ReadOnlyObject, old: ReadOnlyObject) -> Sequence[Cause]:
        """Find what is wrong with a changed status."""
        ...

    def schema(self) -> Mapping[str, Any]:
        """Give the structural schema (the form of ``openAPIV3Schema``); it is shared, never change it."""
        ...

    def columns(self) -> Sequence[Mapping[str, Any]]:
        """Give the column definitions of the table form."""
        ...

    def cells(self, obj: ReadOnlyObject, now: datetime) -> list[Any]:
        """Give an object's row, in the order of ``columns``."""
        ...


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where a kind keeps what its ``scale`` subresource shows: dotted JSON paths such as ``.spec.replicas``."""

    spec_replicas: str
    status_replicas: str
    label_selector: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """One version of one kind, as it is served.

    Attributes:
        kind: Group, version, kind and plural.
        rules: What the kind adds to the common path.
        singular: Lower-case singular name.
        list_kind: Kind of its lists.
        short_names: Abbreviations for ``kubectl``.
        categories: Groups such as ``all`` that ``kubectl get`` expands.
        has_status: Whether ``status`` is a subresource, so that main writes leave it alone and the reverse.
        status_at_create: Whether a create may set the status although it is a subresource (Node, as kubelets do).
        bumps_generation: Whether a change of anything but metadata and status raises ``metadata.generation``.
        subresources: Further subresources, with the verbs of each.
        scale: Paths of the ``scale`` subresource, if there is one.
        selectable: Fields for field selectors, beside ``metadata.name`` and ``metadata.namespace``.
        field_places: Of those that lie elsewhere than they are called, the path, and what they are where it is absent.
        stored_version: The version in which objects are stored.
        returns_deleted: Whether a DELETE that is done at once answers with the object instead of a Status.
        warning: What each request is told about a deprecated version; empty: nothing.
        is_custom: Whether a CustomResourceDefinition defines it.
        is_terminating: Whether its definition is being deleted, so that nothing new may be made.
    """

    kind: Kind
    rules: Rules
    singular: str
    list_kind: str
    short_names: Sequence[str] = ()
    categories: Sequence[str] = ()
    has_status: bool = False
    status_at_create: bool = False
    bumps_generation: bool = False
    subresources: Mapping[str, Sequence[str]] = field(default_factory=dict)
    scale: ScalePaths | None = None
    selectable: frozenset[str] = frozenset()
    field_places: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    stored_version: str = ""
    returns_deleted: bool = False
    warning: str = ""
    is_custom: bool = False
    is_terminating: bool = False

    @property
    def name(self) -> str:
        """The version-less name, under which objects are stored: ``pods``, ``tfjobs.kubeflow.org``."""
        return self.kind.resource

    @property
    def stored_api_version(self) -> str:
        """The ``apiVersion`` that stored objects carry."""
        version = self.stored_version or self.kind.version
        return f"{self.kind.group}/{version}" if self.kind.group else version

    def details(self, name: str = "") -> dict[str, str]:
        """Give the ``details`` of a Status about an object of this resource."""
        details = (
            {"group": self.kind.group, "kind": self.kind.plural} if self.kind.group else {"kind": self.kind.plural}
        )
        return details | {"name": name} if name else details

    def describe(self, name: str) -> str:
        """Name an object as messages do: ``pods "a"``, ``tfjobs.kubeflow.org "b"``."""
        return f'{self.name} "{name}"'
