"""What every cluster has from its start: the default roles and bindings, namespaces, the classes of a new cluster.

Must be done before anybody is served; it is done again at every start, and then changes nothing.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from beamhall.embedded.api.core import Core, WriteOptions, as_version, copied
from beamhall.embedded.api.priorities import SYSTEM_PRIORITIES
from beamhall.embedded.api.rbac.bootstrap import default_roles, mended
from beamhall.embedded.api.storage import FIRST_CLASS
from beamhall.embedded.api.writing import Writing
from beamhall.kernel.errors import AlreadyExists
from beamhall.kernel.identity import ADMIN_GROUP, User
from beamhall.kernel.kinds import NAMESPACE, PRIORITY_CLASS, STORAGE_CLASS, Kind
from beamhall.kernel.objects import Object, name_of

SYSTEM = User("system:apiserver", (ADMIN_GROUP,))
"""Who the server itself is."""

FIRST_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
"""Namespaces that always exist."""


FIRST_OBJECTS: Sequence[tuple[Kind, Object]] = (
    *((NAMESPACE, {"metadata": {"name": name}}) for name in FIRST_NAMESPACES),
    (STORAGE_CLASS, FIRST_CLASS),
    *((PRIORITY_CLASS, {"metadata": {"name": name}, "value": value}) for name, value in SYSTEM_PRIORITIES.items()),
)
"""What is made where it is missing, at each start."""


async def begin(core: Core, writing: Writing) -> None:
    """Make what is missing. Returns when all of it is durable."""
    async with asyncio.TaskGroup() as writes:  # together, so that they share a commit
        for kind, wanted in default_roles():
            writes.create_task(_ensure_role(core, writing, kind, wanted))
        for kind, obj in FIRST_OBJECTS:
            writes.create_task(_ensure(core, writing, kind, copied(obj)))


async def _ensure(core: Core, writing: Writing, kind: Kind, obj: Object) -> None:
    if core.store.get(kind.resource, "", name_of(obj)) is None:
        with suppress(AlreadyExists):
            await _create(core, writing, kind, obj)


async def _ensure_role(core: Core, writing: Writing, kind: Kind, wanted: Object) -> None:
    resource = core.registry.find(kind)
    found = core.store.get(resource.name, "", name_of(wanted))
    if found is None:
        await _create(core, writing, kind, wanted)
    elif (changed := mended(wanted, as_version(resource, found))) is not None:
        await writing.replace(SYSTEM, resource, changed, "", WriteOptions())


async def _create(core: Core, writing: Writing, kind: Kind, obj: Object) -> None:
    await writing.create(SYSTEM, core.registry.find(kind), obj, WriteOptions())
