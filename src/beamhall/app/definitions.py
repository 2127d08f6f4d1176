"""Installing our CustomResourceDefinitions: at each start on the embedded cluster, where missing on another."""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator

from beamhall.client.protocol import Client, Selection
from beamhall.kernel.conditions import is_true
from beamhall.kernel.errors import AlreadyExists, Expired, NotFound
from beamhall.kernel.kinds import CLUSTER_ROLE, CUSTOM_RESOURCE_DEFINITION
from beamhall.kernel.objects import Object, name_of

_ESTABLISHED_TIMEOUT_S = 30.0
_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"
PIPELINES_GROUP = "pipelines.kubeflow.org"
READING = ("get", "list", "readArtifact")
"""What those may do with pipelines and runs who may only look."""
_READ = ("get", "list", "watch")
_WRITE = ("create", "update", "patch", "delete", "deletecollection")


async def install_definitions(client: Client, definitions: Iterable[Object], *, update: bool) -> None:
    """Make the definitions that are missing, and wait until all are served.

    Args:
        client: The cluster.
        definitions: CustomResourceDefinition objects.
        update: Whether definitions that are there become ours. Leave a laboratory's cluster as its operators made it.

    Raises:
        TimeoutError: The cluster does not serve one of them.
    """
    for definition in definitions:
        name = name_of(definition)
        # Asked for first: a create is looked at whole, its rules in CEL too, before it is found to be there.
        try:
            await client.get(CUSTOM_RESOURCE_DEFINITION, name)
        except NotFound:
            with contextlib.suppress(AlreadyExists):
                await client.create(CUSTOM_RESOURCE_DEFINITION, definition)
        else:
            if update:
                await client.patch(CUSTOM_RESOURCE_DEFINITION, name, "", {"spec": definition["spec"]})
        async with asyncio.timeout(_ESTABLISHED_TIMEOUT_S):
            await _wait_established(client, name)


async def install_roles(client: Client, definitions: Iterable[Object]) -> None:
    """Let those who may view or edit a namespace do so with our kinds and pipelines too: by roles that are aggregated.

    Args:
        client: The cluster.
        definitions: CustomResourceDefinition objects.
    """
    for role in (*definition_roles(definitions), *pipeline_roles()):
        try:
            await client.create(CLUSTER_ROLE, role)
        except AlreadyExists:
            await client.patch(CLUSTER_ROLE, name_of(role), "", role)


def definition_roles(definitions: Iterable[Object]) -> Iterator[Object]:
    """Give a role for viewing and one for editing, for each API group of the definitions."""
    resources: dict[str, list[str]] = {}
    for definition in definitions:
        resources.setdefault(definition["spec"]["group"], []).append(definition["spec"]["names"]["plural"])
    for group, plurals in resources.items():
        for what, verbs, parts in (("view", _READ, ("", "/status", "/scale")), ("edit", _WRITE, ("", "/scale"))):
            names = [plural + part for plural in sorted(plurals) for part in parts]
            yield {
                "metadata": {"name": f"{group}:{what}", "labels": {f"{_AGGREGATE}{what}": "true"}},
                "rules": [{"verbs": list(verbs), "apiGroups": [group], "resources": names}],
            }


def pipeline_roles() -> Iterator[Object]:
    """Give the roles for pipelines and runs, which are no objects: their verbs are those of Kubeflow Pipelines."""
    for what, verbs in (("view", READING), ("edit", ("*",))):
        yield {
            "metadata": {"name": f"{PIPELINES_GROUP}:{what}", "labels": {f"{_AGGREGATE}{what}": "true"}},
            "rules": [{"verbs": list(verbs), "apiGroups": [PIPELINES_GROUP], "resources": ["*"]}],
        }


async def _wait_established(client: Client, name: str) -> None:
    selection = Selection(fields=f"metadata.name={name}")
    while True:
        page = await client.list(CUSTOM_RESOURCE_DEFINITION, selection)
        if any(is_true(definition, "Established") for definition in page.items):
            return
        with contextlib.suppress(Expired):
            async with client.watch(CUSTOM_RESOURCE_DEFINITION, selection, revision=page.revision) as changes:
                async for change in changes:
                    if is_true(change.object, "Established"):
                        return
