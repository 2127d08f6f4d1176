"""The seam: what every part may ask of a resource API, whichever server stands behind it.

Laws, tested by ``tests/contracts`` on every transport:

- A write that returns is durable. One that raises ``Timeout`` or ``ServiceUnavailable`` may or may not have happened.
- Every error is an ``ApiError`` of ``kernel.errors``; connection loss is ``ServiceUnavailable``.
- Objects that are returned are the caller's own: changing one changes nothing else.
- ``managedFields`` may be incomplete in lists, in watches, and over the transport in the process: an updater without
  ``fieldsV1`` owns what no other entry names.
- ``watch`` gives every change after ``revision`` once and in order, and raises ``Expired`` where that cannot be done.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from beamhall.kernel.kinds import Kind
from beamhall.kernel.objects import Object, ReadOnlyObject

PatchType = Literal["merge", "json", "strategic"]
"""Merge patch (RFC 7386), JSON patch (RFC 6902), strategic merge patch."""


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply, as a type of patch: the patch is a configuration, of only the fields that its manager wants.

    Attributes:
        manager: The name under which those fields are owned from then on.
        force: Take fields that others own and that would change; else that is a ``Conflict``.
    """

    manager: str
    force: bool = False


Propagation = Literal["", "Background", "Foreground", "Orphan"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a kind a list or a watch means.

    Attributes:
        namespace: One namespace; empty: all.
        labels: A label selector in the wire's text form, such as ``app=a,tier in (b,c)``; empty: all.
        fields: A field selector, such as ``spec.nodeName=n1``; empty: all.
    """

    namespace: str = ""
    labels: str = ""
    fields: str = ""

    @property
    def only_name(self) -> str:
        """The one name that objects must have to be meant, where the field selector says so; else empty."""
        for part in self.fields.split(",") if self.fields else ():
            path, _, value = part.replace("==", "=").partition("=")
            if path.strip() == "metadata.name":
                return value.strip()
        return ""


ALL = Selection()


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list, all of it as it was at ``revision``.

    Attributes:
        items: The objects.
        revision: The resourceVersion to watch from.
        continue_: Ask for the next part with this; empty: this was the last.
        remaining: About how many objects follow; None: that is not known.
    """

    items: Sequence[Object]
    revision: str
    continue_: str = ""
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One change. For ``BOOKMARK`` the object has nothing but ``metadata.resourceVersion``.

    The object may be the very one that other watchers get: nobody changes it.
    """

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: ReadOnlyObject


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Which part of a container's log is wanted, as in the ``pods/log`` subresource.

    Attributes:
        container: Name of the container; empty: the only one.
        follow: Stay and give what is written later, until the container ends for good.
        previous: The log of the run before the last restart.
        timestamps: Put an RFC 3339 time before each line.
        tail_lines: Only so many of the last lines.
        since_s: Only lines younger than this.
        limit_bytes: Stop after so many bytes.
    """

    container: str = ""
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since_s: float | None = None
    limit_bytes: int | None = None


StreamName = Literal["stdout", "stderr"]


@dataclass(frozen=True, slots=True)
class ExecOptions:
    """What is to be run in a container, as in the ``pods/exec`` subresource.

    Attributes:
        command: The command line; no shell looks at it.
        container: Name of the container; empty: the only one.
        stdin: Whether the command gets a standard input. Without, it reads nothing.
        stdout: Whether its standard output is wanted.
        stderr: Whether its standard error is wanted.
        tty: Whether it runs in a terminal; then all of its output is ``stdout``.
    """

    command: Sequence[str]
    container: str = ""
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    tty: bool = False


class RemoteProcess(Protocol):
    """A command in a container, while its context is open. Closing the context kills it if it still runs.

    Its output must be read, or it blocks; so does ``write`` while the command does not read.
    """

    def output(self) -> AsyncIterator[tuple[StreamName, bytes]]:
        """Give its output as it comes, until it has ended. To be iterated once."""
        ...

    async def write(self, data: bytes) -> None:
        """Write to its standard input. What nobody reads any more is dropped."""
        ...

    async def close_stdin(self) -> None:
        """End its standard input."""
        ...

    async def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal the size of the window; nothing happens without a terminal."""
        ...

    async def wait(self) -> int:
        """Give its exit code, once its output has ended. 126 and 127: it could not be run, as a shell says it."""
        ...


class Client(Protocol):
    """Reads and writes objects of one cluster as one user."""

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Object:
        """Give an object. Raises ``NotFound``."""
        ...

    async def list(self, kind: Kind, selection: Selection = ALL, *, limit: int = 0, continue_: str = "") -> Page:
        """List objects; ``limit`` 0 gives all at once. Raises ``Expired`` for an old ``continue_``."""
        ...

    def watch(
        self, kind: Kind, selection: Selection = ALL, *, revision: str
    ) -> AbstractAsyncContextManager[AsyncIterator[WatchEvent]]:
        """Follow changes after ``revision``.

        The iterator ends when the server ends the watch; resume from the last event's resourceVersion. Raises
        ``Expired`` on entering or while iterating when the revision is no longer kept.
        """
        ...

    async def create(self, kind: Kind, obj: Mapping[str, Any]) -> Object:
        """Make an object. Raises ``AlreadyExists``, ``Invalid``, ``NotFound`` (no such namespace)."""
        ...

    async def create_subresource(
        self, kind: Kind, name: str, namespace: str, subresource: str, obj: Mapping[str, Any]
    ) -> Object:
        """Create what a subresource of an object stands for, and give the answer.

        Such are ``token`` of ServiceAccounts (a TokenRequest, answered with the token in its status), ``binding`` and
        ``eviction`` of Pods. Raises ``NotFound`` (no such object, or no such subresource), ``Invalid``, ``Conflict``.
        """
        ...

    async def replace(self, kind: Kind, obj: Mapping[str, Any], *, subresource: Literal["", "status"] = "") -> Object:
        """Replace an object. Raises ``Conflict`` if it carries a resourceVersion that is not current."""
        ...

    async def patch(
        self,
        kind: Kind,
        name: str,
        namespace: str,
        patch: Mapping[str, Any] | Sequence[Any],
        *,
        type: PatchType | Apply = "merge",  # noqa: A002
        subresource: Literal["", "status"] = "",
    ) -> Object:
        """Patch an object. ``metadata.uid`` and ``metadata.resourceVersion`` in the patch are preconditions.

        ``Apply`` makes the object if there is none, and raises ``Conflict`` where others own fields that would change.
        """
        ...

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        grace_period_s: int | None = None,
        propagation: Propagation = "",
    ) -> None:
        """Ask for deletion; it is complete when the object is gone. Raises ``NotFound``, ``Conflict`` (other uid)."""
        ...

    async def bind(self, name: str, namespace: str, node: str, *, uid: str = "") -> None:
        """Give a Pod its node, once and for good, and say in its status that it is scheduled; one write.

        Raises ``NotFound``, ``Conflict`` (it has a node, is being deleted, or has another uid).
        """
        ...

    def logs(self, name: str, namespace: str, options: LogOptions) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Read a Pod's log. Raises ``NotFound``, ``BadRequest`` (no such container, or it has not started)."""
        ...

    def exec(self, name: str, namespace: str, options: ExecOptions) -> AbstractAsyncContextManager[RemoteProcess]:
        """Run a command in a container of a Pod. Raises ``NotFound``, ``BadRequest`` (no such container)."""
        ...
