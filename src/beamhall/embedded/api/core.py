"""What the verbs share: the store and what is handed in, who is told of writes, and the common shape of messages.

The verbs are split over ``reading``, ``watching``, ``writing`` and ``deletion``; ``verbs`` joins them. Must not know
HTTP.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal, Protocol

import msgspec

from beamhall.embedded.api.authorization import Authorizer
from beamhall.embedded.api.owners import Owners
from beamhall.embedded.api.registry import Registry
from beamhall.embedded.api.resources import Resource
from beamhall.embedded.store.store import Store
from beamhall.kernel.clock import Clock
from beamhall.kernel.errors import BadRequest, Cause, Conflict, NotFound
from beamhall.kernel.identity import User
from beamhall.kernel.kinds import Kind
from beamhall.kernel.objects import Object, ReadOnlyObject

FieldValidation = Literal["Ignore", "Warn", "Strict"]

OBJECT_LIMIT_BYTES = 1_572_864
"""The largest object that is stored, as in Kubernetes (etcd's limit of 1.5 MiB)."""

STATUS_LIMIT_BYTES = 262_144
"""The largest status: more belongs in the history (house rule)."""

CONFLICT_RETRIES = 10
"""How often a write without a resourceVersion is tried again after somebody else's."""

_json_encode = msgspec.json.Encoder().encode
_json_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How a write is to be done.

    Attributes:
        dry_run: Do everything but store it.
        field_validation: What unknown fields mean: dropped, told of, or refused.
        manager: Who owns the fields that it sets; empty: the user.
        through: The subresource by which an object is written in another form, for the record of who owns what.
        applies: The object has been applied: it comes with its ``managedFields``.
        force: An apply takes fields that others own.
        warnings: What the client is to be told; the write appends to it.
        duplicates: What the client's text says twice, which counts as unknown fields do.
    """

    dry_run: bool = False
    field_validation: FieldValidation = "Ignore"
    manager: str = ""
    through: str = ""
    applies: bool = False
    force: bool = False
    warnings: list[str] = field(default_factory=list)
    duplicates: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """A write on its way to the store, as admission sees it.

    Attributes:
        verb: What is done; a patch is an update.
        user: Who asks.
        resource: What it is done to.
        subresource: ``status``, or empty.
        object: The object as it would be stored; admission may change it in place. For a delete, what is deleted.
        old: What is stored now, of an update.
        dry_run: Nothing will be stored.
        settled: Called once the write has ended, whether it was done or not: what admission holds is let go.
    """

    verb: Literal["create", "update", "delete"]
    user: User
    resource: Resource
    subresource: str
    object: Object
    old: ReadOnlyObject | None = None
    dry_run: bool = False
    settled: list[Callable[[], None]] = field(default_factory=list)

    def settle(self) -> None:
        """Tell who waits for it that the write has ended."""
        for call in self.settled:
            call()


class Admission(Protocol):
    """Changes or refuses writes, after defaulting and before validation: quotas, priorities, limits."""

    async def admit(self, operation: Operation) -> None:
        """Let a write pass, perhaps changed. Raises ``ApiError`` to refuse it."""
        ...


Validator = Callable[[ReadOnlyObject, ReadOnlyObject | None], Sequence[Cause]]
"""From a new object and the one that it replaces (None: it is created) to what is wrong with it, as a webhook says."""


class Observer(Protocol):
    """Is told of every write once it is durable. Must return at once and never raise."""

    def written(self, resource: Resource, obj: ReadOnlyObject, *, is_gone: bool) -> None:
        """Learn that an object was made or changed, or that it is gone."""
        ...


@dataclass(slots=True)
class Core:
    """What the verbs share.

    Attributes:
        store: Where objects are kept.
        clock: The time.
        registry: Which kinds are served.
        authorizer: Who may do what.
        admissions: Asked in order before each write.
        validators: Asked by kind of each create and update whose fields are right by the schema.
        random: Source of name suffixes and uids.
        owners: Who owns which fields.
        observers: Told of each durable write.
    """

    store: Store
    clock: Clock
    registry: Registry
    authorizer: Authorizer
    admissions: Sequence[Admission]
    random: Random
    owners: Owners
    observers: list[Observer] = field(default_factory=list)
    validators: Mapping[Kind, Validator] = field(default_factory=dict)

    def tell(self, resource: Resource, obj: ReadOnlyObject, *, is_gone: bool = False) -> None:
        """Tell every observer of a durable write."""
        for observer in self.observers:
            observer.written(resource, obj, is_gone=is_gone)

    def stored(self, resource: Resource, namespace: str, name: str) -> Object:
        """Give an object as it is stored.

        Raises:
            NotFound: There is none.
        """
        obj = self.store.get(resource.name, namespace, name)
        if obj is None:
            raise not_found(resource, name)
        return obj


Change = Callable[[Object], Object]
"""Makes the new object from its own copy of the stored one."""


def not_found(resource: Resource, name: str) -> NotFound:
    """Make the error for an object that is not there."""
    return NotFound(f"{resource.describe(name)} not found", details=resource.details(name))


def conflict(resource: Resource, name: str, why: str = "") -> Conflict:
    """Make the error for a write on something that has changed."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    return Conflict(
        f"Operation cannot be fulfilled on {resource.describe(name)}: {why}", details=resource.details(name)
    )


def copied(obj: ReadOnlyObject) -> Object:
    """Copy an object. Through JSON: quicker than walking it in Python."""
    copy: Object = _json_decode(_json_encode(obj))
    return copy


def size_bytes(value: Any) -> int:
    """Give the size of a value as JSON."""
    return len(_json_encode(value))


def as_version(resource: Resource, obj: Object) -> Object:
    """Give an object in the version of this resource: versions differ in nothing but ``apiVersion`` (no conversion)."""
    obj["apiVersion"] = resource.kind.api_version
    return obj


def metadata_in(obj: Object) -> Object:
    """Give the object's metadata for changing, made if absent.

    Raises:
        BadRequest: It is no mapping.
    """
    metadata = obj.get("metadata")
    if metadata is None:
        metadata = obj["metadata"] = {}
    if not isinstance(metadata, dict):
        raise BadRequest(f"metadata must be an object, not {type(metadata).__name__}")
    return metadata
