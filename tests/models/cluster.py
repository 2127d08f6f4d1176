"""A cluster in memory behind ``client.protocol.Client``, whose lists and watches can be held back, cut and expired."""

import asyncio
import copy
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

from beamhall.client.protocol import (
    ALL,
    Apply,
    ExecOptions,
    LogOptions,
    Page,
    PatchType,
    Propagation,
    Selection,
    WatchEvent,
)
from beamhall.kernel.errors import AlreadyExists, ApiError, Conflict, Expired, NotFound, ServiceUnavailable
from beamhall.kernel.kinds import POD, Kind
from beamhall.kernel.objects import Key, Object, controller_of, key_of, metadata_of, uid_of

_Entry = tuple[int, Literal["ADDED", "MODIFIED", "DELETED"], Kind, Object]


class ModelCluster:
    """Writes are exact at once; what lists and watches show ends at ``horizon`` (by kind), as far as that is set."""

    def __init__(self) -> None:
        self.revision = 10
        self.objects: dict[Key, Object] = {}
        self.log: list[_Entry] = []
        self.horizon: dict[Kind, int] = {}
        self.expired_before = 0
        self.is_repeating = False
        self.failures: list[tuple[Literal["before", "after"], ApiError]] = []
        self.creations: Counter[tuple[str, str, str]] = Counter()  # plural, name, uid of the controller
        self.requests: list[str] = []
        self.open_watches = 0
        self.written: dict[str, str] = {}  # logs of Pods, by name
        self._generation = 0
        self._changed = asyncio.Event()

    # What tests do to it

    def hold(self, kind: Kind) -> None:
        """Show nothing newer of this kind than now."""
        self.horizon.setdefault(kind, self.revision)

    def show(self, kind: Kind, number: int | None = None) -> None:
        """Show so many more revisions of a kind; None: all from now on."""
        if number is None:
            self.horizon.pop(kind, None)
        elif kind in self.horizon:
            self.horizon[kind] = min(self.revision, self.horizon[kind] + number)
        self._wake()

    def cut(self) -> None:
        """End every watch."""
        self._generation += 1
        self._wake()

    def expire(self) -> None:
        """Forget the log: watches that are behind have to list afresh."""
        self.expired_before = self.revision
        self.cut()

    def status(self, kind: Kind, name: str, namespace: str, status: Mapping[str, Any]) -> None:
        """Set an object's status, as a kubelet would."""
        old = self.objects.get(Key(kind, namespace, name))
        if old is not None:
            self._commit("MODIFIED", kind, {**copy.deepcopy(old), "status": dict(status)})

    def remove(self, key: Key) -> None:
        """Remove an object, whatever it is."""
        obj = self.objects.pop(key, None)
        if obj is not None:
            self._commit("DELETED", key.kind, copy.deepcopy(obj))

    def collect_garbage(self) -> None:
        """Remove objects whose controller is gone."""
        uids = {uid_of(obj) for obj in self.objects.values()}
        for key, obj in list(self.objects.items()):
            owner = controller_of(obj)
            if owner is not None and owner["uid"] not in uids:
                self.remove(key)

    def all(self, kind: Kind) -> list[Object]:
        """Give the objects of a kind, as they are."""
        return [obj for key, obj in sorted(self.objects.items(), key=lambda item: item[0][1:]) if key.kind == kind]

    # The protocol

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Object:
        await self._request("get")
        return copy.deepcopy(self._existing(kind, name, namespace))

    async def list(self, kind: Kind, selection: Selection = ALL, *, limit: int = 0, continue_: str = "") -> Page:
        await asyncio.sleep(0)
        until = max(self.horizon.get(kind, self.revision), self.expired_before)
        state: dict[Key, Object] = {}
        for revision, type_, entry_kind, obj in self.log:
            if entry_kind == kind and revision <= until:
                state[key_of(kind, obj)] = obj
                if type_ == "DELETED":
                    del state[key_of(kind, obj)]
        return Page([copy.deepcopy(state[key]) for key in sorted(state, key=lambda key: key[1:])], str(until))

    @asynccontextmanager
    async def watch(
        self, kind: Kind, selection: Selection = ALL, *, revision: str
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        await asyncio.sleep(0)
        self.open_watches += 1
        try:
            yield self._events(kind, int(revision))
        finally:
            self.open_watches -= 1

    async def _events(self, kind: Kind, since: int) -> AsyncIterator[WatchEvent]:
        if since < self.expired_before:
            raise Expired("too old")
        generation = self._generation
        while generation == self._generation:
            until = self.horizon.get(kind, self.revision)
            for revision, type_, entry_kind, obj in list(self.log):
                if entry_kind == kind and since < revision <= until:
                    since = revision
                    for _ in range(2 if self.is_repeating else 1):
                        yield WatchEvent(type_, copy.deepcopy(obj))
            changed = self._changed
            if generation == self._generation:
                await changed.wait()

    async def create_subresource(
        self, kind: Kind, name: str, namespace: str, subresource: str, obj: Mapping[str, Any]
    ) -> Object:
        raise NotFound(f"{kind.resource} have no subresource {subresource} here")

    async def create(self, kind: Kind, obj: Mapping[str, Any]) -> Object:
        fail = await self._request("create")
        key = key_of(kind, obj)
        if key in self.objects:
            raise AlreadyExists(f"{key} already exists")
        made = copy.deepcopy(dict(obj))
        made["metadata"] = {**made["metadata"], "uid": f"uid-{self.revision + 1}"}
        self.creations[kind.plural, key.name, str((controller_of(made) or {}).get("uid") or "")] += 1
        return self._answer(self._commit("ADDED", kind, made), fail)

    async def replace(self, kind: Kind, obj: Mapping[str, Any], *, subresource: Literal["", "status"] = "") -> Object:
        fail = await self._request("replace")
        key = key_of(kind, obj)
        old = self._existing(kind, key.name, key.namespace)
        self._check(old, metadata_of(obj))
        return self._answer(self._change(kind, old, copy.deepcopy(dict(obj))), fail)

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
        fail = await self._request("patch")
        assert isinstance(patch, Mapping)
        old = self._existing(kind, name, namespace)
        self._check(old, metadata_of(patch))
        of_status = ("status", "metadata")  # annotations may be written with a status
        allowed = {k: v for k, v in patch.items() if (k in of_status if subresource == "status" else k != "status")}
        return self._answer(self._change(kind, old, _merged(old, allowed)), fail)

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
        fail = await self._request("delete")
        old = self._existing(kind, name, namespace)
        self._check(old, {"uid": uid} if uid else {})
        if metadata_of(old).get("finalizers"):
            self._change(kind, old, _merged(old, {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}))
        else:
            self.remove(Key(kind, namespace, name))
        self._answer({}, fail)

    async def bind(self, name: str, namespace: str, node: str, *, uid: str = "") -> None:
        fail = await self._request("bind")
        old = self._existing(POD, name, namespace)
        self._check(old, {"uid": uid} if uid else {})
        if (old.get("spec") or {}).get("nodeName"):
            raise Conflict(f"pod {name} is already assigned to a node")
        self._answer(self._change(POD, old, _merged(old, {"spec": {"nodeName": node}})), fail)

    @asynccontextmanager
    async def logs(self, name: str, namespace: str, options: LogOptions) -> AsyncIterator[AsyncIterator[bytes]]:
        """Give what ``written`` has for a Pod; nothing is followed."""
        if failure := await self._request("logs"):
            raise failure
        if name not in self.written:
            raise NotFound(f'pod "{name}" has no log')
        lines = self.written[name].splitlines(keepends=True)

        async def pieces() -> AsyncIterator[bytes]:
            for line in lines[-options.tail_lines :] if options.tail_lines is not None else lines:
                yield line.encode()

        yield pieces()

    def exec(self, name: str, namespace: str, options: ExecOptions) -> Any:
        raise NotImplementedError

    # Inside

    async def _request(self, verb: str) -> ApiError | None:
        await asyncio.sleep(0)
        self.requests.append(verb)
        if not self.failures:
            return None
        when, error = self.failures.pop(0)
        if when == "before":
            raise error
        return error

    def _answer(self, obj: Object, fail: ApiError | None) -> Object:
        if fail is not None:
            raise fail
        return copy.deepcopy(obj)

    def _existing(self, kind: Kind, name: str, namespace: str) -> Object:
        try:
            return self.objects[Key(kind, namespace, name)]
        except KeyError:
            raise NotFound(f'{kind.resource} "{name}" not found') from None

    def _check(self, old: Object, wanted: Mapping[str, Any]) -> None:
        for name in ("uid", "resourceVersion"):
            if wanted.get(name) and wanted[name] != old["metadata"][name]:
                raise Conflict(f"{name} is another")

    def _change(self, kind: Kind, old: Object, new: Object) -> Object:
        new["metadata"] = {**new["metadata"], "resourceVersion": old["metadata"]["resourceVersion"]}
        return old if new == old else self._commit("MODIFIED", kind, new)

    def _commit(self, type_: Literal["ADDED", "MODIFIED", "DELETED"], kind: Kind, obj: Object) -> Object:
        self.revision += 1
        obj["metadata"] = {**obj["metadata"], "resourceVersion": str(self.revision)}
        if type_ != "DELETED":
            self.objects[key_of(kind, obj)] = obj
        self.log.append((self.revision, type_, kind, obj))
        self._wake()
        return obj

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def unavailable(when: Literal["before", "after"]) -> tuple[Literal["before", "after"], ApiError]:
    """Make a failure for ``ModelCluster.failures``: the request is lost, or its answer is."""
    return when, ServiceUnavailable("the connection was lost")


def _merged(old: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(copy.deepcopy(old)) if isinstance(old, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result
