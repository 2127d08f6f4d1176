"""Carrying out a plan, so that doing it twice changes nothing more than doing it once.

Actions are done in order, but neighbours of one sort on different objects go out together: on one machine they share a
commit, over HTTP they share the way. The first error ends it, and the worker plans again later. A write that the view
says would change nothing is not sent. Each write leaves a ``Sighting``: the worker waits for them before it plans
that key again.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from beamhall.client.protocol import Client
from beamhall.kernel.errors import AlreadyExists, ApiError, Conflict, Forbidden, Invalid, NotFound
from beamhall.kernel.kinds import POD, Kind
from beamhall.kernel.objects import (
    Key,
    Object,
    ReadOnlyObject,
    controller_of,
    is_being_deleted,
    key_of,
    metadata_of,
    uid_of,
)
from beamhall.kernel.plan import Action, Bind, Create, Delete, Emit, Patch, Plan, Require
from beamhall.runtime.events import EventRecorder
from beamhall.runtime.views import Sighting, Views

Write = Create | Patch | Delete | Bind | Require

AT_ONCE = 64
"""Writes of one plan that are under way together."""


class NameTaken(Conflict):
    """An object that a plan wants to make has a name that something else has."""


class NotAllowed(Forbidden):
    """An object that a plan wants to make may not be made: a quota is used up, or it is invalid."""


@dataclass(slots=True)
class Report:
    """What came of a plan.

    Attributes:
        done: The actions that were done, in order: which object, and what, in words.
        sightings: What the views will come to show; each must be ended with ``end``.
        error: What ended it early; None: all was done.
    """

    done: list[tuple[Key, str]] = field(default_factory=list)
    sightings: list[tuple[Key, Sighting]] = field(default_factory=list)
    error: ApiError | None = None


class Hand:
    """Carries plans of one controller out.

    Args:
        client: Where writes go.
        views: What is known already.
        recorder: Where events go.
        source: The controller's name.
    """

    def __init__(self, client: Client, views: Views, recorder: EventRecorder, source: str) -> None:
        self._client = client
        self._views = views
        self._recorder = recorder
        self._source = source

    async def carry_out(self, plan: Plan) -> Report:
        """Do what a plan says, and record its events after its writes."""
        report = Report()
        try:
            for step in _steps(plan.actions):
                await self._do_all(step, report)
        except ApiError as err:
            report.error = err
        # What was decided once may have been written before the error, and no later plan says it again. But a plan of
        # which nothing was done will be made again, with its events.
        if report.error is None or report.done:
            for action in plan.actions:
                if isinstance(action, Emit):
                    self._recorder.record(action, self._source)
                    report.done.append((key_of(action.kind, action.about), f"event {action.reason}: {action.message}"))
        return report

    def end(self, report: Report) -> None:
        """End the sightings of a report."""
        for key, sighting in report.sightings:
            self._views.caches[key.kind].end_sighting(key.namespace, key.name, sighting)
        report.sightings.clear()

    async def _do_all(self, step: Sequence[Write], report: Report) -> None:
        if len(step) == 1:
            await self._do(step[0], report)
            return
        reports = [Report() for _ in step]
        waiting = iter(list(zip(step, reports, strict=True)))

        async def work() -> None:
            for action, own in waiting:
                try:
                    await self._do(action, own)
                except ApiError as err:
                    own.error = err

        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(step))):
                group.create_task(work())
        for own in reports:
            report.done += own.done
            report.sightings += own.sightings
        for own in reports:
            if own.error is not None:
                raise own.error

    async def _do(self, action: Write, report: Report) -> None:
        match action:
            case Create():
                await self._create(action, report)
            case Patch():
                await self._patch(action, report)
            case Delete():
                await self._delete(action, report)
            case Bind():
                await self._bind(action, report)
            case Require():
                await self._require(action)

    async def _create(self, action: Create, report: Report) -> None:
        key = key_of(action.kind, action.object)
        known = self._known(key)
        if known is not None and _controller_uid(known) == _controller_uid(action.object):
            return
        body = {"apiVersion": action.kind.api_version, "kind": action.kind.kind, **action.object}
        sighting = self._begin(key, report)
        try:
            made = await self._client.create(action.kind, body)
            report.done.append((key, f"created {key}"))
        except AlreadyExists:
            made = await self._existing(key, action.object)
        except (Forbidden, Invalid) as error:
            raise NotAllowed(f"Error creating: {error.message}") from error
        if sighting is not None:
            sighting.expect_created(made)

    async def _existing(self, key: Key, wanted: ReadOnlyObject) -> Object:
        """Give the object that has the name already, if it is what is wanted: made on behalf of the same owner."""
        existing = await self._client.get(key.kind, key.name, key.namespace)
        if _controller_uid(existing) == _controller_uid(wanted):
            return existing
        owner, other = controller_of(wanted), controller_of(existing)
        if is_being_deleted(existing) or _is_predecessor(owner, other):
            raise Conflict(f"{key} of an earlier owner is still being removed; it is made when that is gone")
        holder = f"belongs to {other.get('kind')} {other.get('name')}" if other else "was made by someone else"
        raise NameTaken(f"{key} cannot be made: the name is taken by one that {holder}; delete or rename it")

    async def _patch(self, action: Patch, report: Report) -> None:
        key = action.key
        known = self._known(key)
        if known is not None and (_is_another(known, action.uid) or changes_nothing(known, action.patch)):
            return
        sighting = self._begin(key, report)
        preconditions = {"uid": action.uid, "resourceVersion": action.revision}
        metadata = {**(action.patch.get("metadata") or {}), **{k: v for k, v in preconditions.items() if v}}
        body = {**action.patch, **({"metadata": metadata} if metadata else {})}
        try:
            result = await self._client.patch(key.kind, key.name, key.namespace, body, subresource=action.subresource)
        except NotFound:
            if sighting is not None:
                sighting.expect_deleted(action.uid)
            return
        report.done.append((key, f"patched {key} {_fields(action)}"))
        if sighting is not None:
            sighting.expect_revision(result)

    async def _delete(self, action: Delete, report: Report) -> None:
        key = action.key
        known = self._known(key)
        if known is not None and (_is_another(known, action.uid) or _is_asked_for(known, action.grace_period_s)):
            return
        uid = action.uid or uid_of(known or {})  # what was decided on is what the view showed, and nothing newer
        sighting = self._begin(key, report)
        try:
            await self._client.delete(
                key.kind,
                key.name,
                key.namespace,
                uid=uid,
                grace_period_s=action.grace_period_s,
                propagation=action.propagation,
            )
            report.done.append((key, f"deleted {key}"))
        except NotFound:
            pass
        except Conflict:  # another uid: the one that was meant is gone
            if not uid:
                raise
        if sighting is not None:
            sighting.expect_deleted(uid)

    async def _bind(self, action: Bind, report: Report) -> None:
        key = action.key
        known = self._known(key)
        if known is not None and (_is_another(known, action.uid) or _is_bound(known)):
            return
        sighting = self._begin(key, report)
        try:
            await self._client.bind(key.name, key.namespace, action.node, uid=action.uid)
        except NotFound:
            if sighting is not None:
                sighting.expect_deleted(action.uid)
            return
        report.done.append((key, f"bound {key} to node {action.node}"))
        if sighting is not None:
            sighting.expect_state(_is_bound)

    async def _require(self, action: Require) -> None:
        key = action.key
        current = await self._client.get(key.kind, key.name, key.namespace)
        if uid_of(current) != action.uid or is_being_deleted(current):
            raise Conflict(f"{key} is being removed, or is another one by now")
        if action.revision not in ("", metadata_of(current).get("resourceVersion")):
            raise Conflict(f"{key} has changed meanwhile")

    def _known(self, key: Key) -> ReadOnlyObject | None:
        cache = self._views.caches.get(key.kind)
        return cache.get(key.namespace, key.name) if cache else None

    def _begin(self, key: Key, report: Report) -> Sighting | None:
        cache = self._views.caches.get(key.kind)
        if cache is None:
            return None
        sighting = cache.begin_sighting(key.namespace, key.name)
        report.sightings.append((key, sighting))
        return sighting


def _steps(actions: Sequence[Action]) -> Iterator[Sequence[Write]]:
    """Give the writes in order, those that go out together as one step."""
    step: list[Write] = []
    keys: set[Key] = set()
    sort: object = None
    for action in actions:
        if isinstance(action, Emit):
            continue
        key = key_of(action.kind, action.object) if isinstance(action, Create) else action.key
        own_sort = _sort_of(action, key.kind)
        if step and (own_sort != sort or key in keys):
            yield step
            step, keys = [], set()
        step.append(action)
        keys.add(key)
        sort = own_sort
    if step:
        yield step


def _sort_of(action: Write, kind: Kind) -> tuple[object, ...]:
    """Give what neighbours have in common that go out together; Pods come when all is there that they may want."""
    if isinstance(action, Create):
        return (Create, kind == POD)
    return (type(action), kind, action.subresource if isinstance(action, Patch) else "")


def changes_nothing(obj: ReadOnlyObject, patch: Mapping[str, Any]) -> bool:
    """Tell whether a merge patch leaves an object as it is. Source: RFC 7386, section 2."""
    for name, value in patch.items():
        if value is None:
            if name in obj:
                return False
        elif isinstance(value, Mapping):
            inner = {} if obj.get(name) is None else obj[name]  # removing fields of nothing is no change
            if not isinstance(inner, Mapping) or not changes_nothing(inner, value):
                return False
        elif name not in obj or not _is_equal(obj[name], value):
            return False
    return True


def _is_equal(one: Any, other: Any) -> bool:
    """Compare JSON values: 1 is not true, and a tuple is written as a list is."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_is_equal(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_is_equal, one, other))
    return bool(one == other)


def _controller_uid(obj: ReadOnlyObject) -> str:
    return str((controller_of(obj) or {}).get("uid") or "")


def _is_another(known: ReadOnlyObject, uid: str) -> bool:
    return bool(uid) and uid_of(known) != uid


def _is_bound(pod: ReadOnlyObject) -> bool:
    return bool((pod.get("spec") or {}).get("nodeName"))


def _is_asked_for(known: ReadOnlyObject, grace_period_s: int | None) -> bool:
    """Tell whether deletion is under way already, and no later than is wanted now."""
    if not is_being_deleted(known):
        return False
    given_s = metadata_of(known).get("deletionGracePeriodSeconds")
    return grace_period_s is None or (given_s is not None and given_s <= grace_period_s)


def _is_predecessor(owner: ReadOnlyObject | None, other: ReadOnlyObject | None) -> bool:
    """Tell whether an object's owner had the name of ours: it was deleted and made anew, and garbage is still there."""
    return bool(owner and other) and all((owner or {}).get(n) == (other or {}).get(n) for n in ("kind", "name"))


def _fields(action: Patch) -> str:
    names = [
        f"{name}.{inner}"
        for name, value in action.patch.items()
        for inner in (value if isinstance(value, Mapping) else ("",))
    ]
    shown = ", ".join(name.rstrip(".") for name in names[:6])
    return f"({shown}{', …' if len(names) > 6 else ''})"
