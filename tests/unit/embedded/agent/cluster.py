"""A resource API in memory, just true enough for the agent: revisions, watch, merge patch, graceful deletion."""

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from beamhall.client.protocol import ALL, Page, Selection, WatchEvent
from beamhall.kernel.clock import format_time
from beamhall.kernel.errors import AlreadyExists, Conflict, NotFound
from beamhall.kernel.kinds import EVENT, POD
from beamhall.kernel.selectors import field_matcher


def merge(target, patch):
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            target[key] = merge(dict(target.get(key) or {}), value)
        else:
            target[key] = value
    return target


class Cluster:
    """Implements ``Client`` but for logs and replace."""

    def __init__(self):
        self.revision = 0
        self.objects = {}
        self.log = []
        self.changed = asyncio.Condition()
        self.patches = []

    async def _commit(self, type_, kind, obj):
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        self.log.append((self.revision, kind, WatchEvent(type_, copy.deepcopy(obj))))
        async with self.changed:
            self.changed.notify_all()

    async def get(self, kind, name, namespace=""):
        try:
            return copy.deepcopy(self.objects[kind, namespace, name])
        except KeyError:
            raise NotFound(f'{kind.plural} "{name}" not found') from None

    async def list(self, kind, selection: Selection = ALL, *, limit=0, continue_=""):
        matches = field_matcher(selection.fields)
        found = [o for (k, ns, _), o in self.objects.items() if k == kind and selection.namespace in ("", ns)]
        return Page([copy.deepcopy(o) for o in found if matches(o)], str(self.revision))

    @asynccontextmanager
    async def watch(self, kind, selection=ALL, *, revision):
        yield self._events(kind, int(revision))

    async def _events(self, kind, revision) -> AsyncIterator[WatchEvent]:
        position = 0
        while True:
            while position < len(self.log):
                at, which, event = self.log[position]
                position += 1
                if at > revision and which == kind:
                    yield WatchEvent(event.type, copy.deepcopy(event.object))
            async with self.changed:
                while position >= len(self.log):
                    await self.changed.wait()

    async def create(self, kind, obj):
        obj = copy.deepcopy(dict(obj))
        meta = obj.setdefault("metadata", {})
        namespace = meta.setdefault("namespace", "default") if kind.namespaced else ""
        key = (kind, namespace, meta["name"])
        if key in self.objects:
            raise AlreadyExists(f"{meta['name']} exists")
        obj |= {"apiVersion": kind.api_version, "kind": kind.kind}
        meta.setdefault("uid", f"uid-{self.revision + 1}")
        meta["creationTimestamp"] = format_time(datetime.now(UTC))
        self.objects[key] = obj
        await self._commit("ADDED", kind, obj)
        return copy.deepcopy(obj)

    async def patch(self, kind, name, namespace, patch, *, type="merge", subresource=""):  # noqa: A002
        obj = self.objects.get((kind, namespace, name))
        if obj is None:
            raise NotFound(f'{kind.plural} "{name}" not found')
        patch = copy.deepcopy(dict(patch))
        self.patches.append((kind, name, patch))
        uid = (patch.get("metadata") or {}).get("uid")
        if uid and uid != obj["metadata"]["uid"]:
            raise Conflict("another uid")
        before = copy.deepcopy(obj)
        if subresource == "status":
            patch = {"status": patch.get("status") or {}}
        merge(obj, patch)
        if obj != before:
            await self._commit("MODIFIED", kind, obj)
        return copy.deepcopy(obj)

    async def delete(self, kind, name, namespace="", *, uid="", grace_period_s=None, propagation=""):
        obj = self.objects.get((kind, namespace, name))
        if obj is None:
            raise NotFound(f'{kind.plural} "{name}" not found')
        if uid and obj["metadata"]["uid"] != uid:
            raise Conflict("another uid")
        if kind == POD and grace_period_s != 0 and obj["spec"].get("nodeName"):
            grace = (
                grace_period_s if grace_period_s is not None else obj["spec"].get("terminationGracePeriodSeconds", 30)
            )
            obj["metadata"]["deletionTimestamp"] = format_time(datetime.now(UTC) + timedelta(seconds=grace))
            obj["metadata"]["deletionGracePeriodSeconds"] = grace
            await self._commit("MODIFIED", kind, obj)
            return
        del self.objects[kind, namespace, name]
        await self._commit("DELETED", kind, obj)

    # -- for tests

    async def until(self, holds, timeout_s=20.0):
        """Wait until ``holds()`` gives something true, and give that."""
        async with asyncio.timeout(timeout_s), self.changed:
            while not (found := holds()):
                await self.changed.wait()
            return found

    def pod(self, name, namespace="default"):
        return self.objects.get((POD, namespace, name))

    async def phase(self, name, *phases, timeout_s=20.0):
        def reached():
            pod = self.pod(name)
            return pod is not None and (pod.get("status") or {}).get("phase") in phases and pod

        return await self.until(reached, timeout_s)

    def events(self, name, reason=""):
        found = [o for (k, _, _), o in self.objects.items() if k == EVENT and o["involvedObject"]["name"] == name]
        return [e for e in found if not reason or e["reason"] == reason]
