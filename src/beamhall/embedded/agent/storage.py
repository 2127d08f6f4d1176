"""How much a Pod holds on the disk, against its emptyDirs' ``sizeLimit`` and its limits of ``ephemeral-storage``.

Source: Kubernetes ``pkg/kubelet/eviction`` (``localStorageEviction``), whose words are used. Blocks.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from beamhall.embedded.agent.directory import PodDirectory
from beamhall.embedded.agent.facts import containers
from beamhall.embedded.agent.projections import volumes_of
from beamhall.embedded.agent.volumes import Roots, volume_path
from beamhall.kernel.objects import ReadOnlyObject
from beamhall.kernel.quantities import parse_quantity

_BLOCK_BYTES = 512
_RESOURCE = "ephemeral-storage"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a Pod may hold on the disk, as its spec states the amounts.

    Attributes:
        volumes: emptyDirs that have a limit, by name.
        containers: Containers that have one, for their logs and their scratch, by name.
        pod: Bytes for all of it, where every container has a limit; None: there is none.
    """

    volumes: Mapping[str, str] = field(default_factory=dict)
    containers: Mapping[str, str] = field(default_factory=dict)
    pod: int | None = None

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.volumes or self.containers)


def size_limits(pod: ReadOnlyObject) -> Limits:
    """Give what a Pod may hold on the disk; most Pods may hold what they like."""
    stated = {str(v.get("name")): (v.get("emptyDir") or {}).get("sizeLimit") for v in volumes_of(pod)}
    volumes = {name: str(limit) for name, limit in stated.items() if limit is not None and _bytes(limit) > 0}
    amounts = {str(c["name"]): ((c.get("resources") or {}).get("limits") or {}).get(_RESOURCE) for c in containers(pod)}
    limited = {name: str(limit) for name, limit in amounts.items() if limit is not None}
    is_complete = bool(limited) and len(limited) == len(amounts)
    return Limits(volumes, limited, sum(map(_bytes, limited.values())) if is_complete else None)


def overgrown(pod: ReadOnlyObject, own: PodDirectory, roots: Roots, limits: Limits) -> str:
    """Say what holds more than it may; empty: nothing."""
    for volume in volumes_of(pod):
        limit = limits.volumes.get(str(volume.get("name")))
        if limit is not None and usage_bytes(volume_path(pod, volume, own, roots)) > _bytes(limit):
            return f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{limit}". '
    if limits.pod is not None and usage_bytes(own.path) > limits.pod:
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {limits.pod}. "
    for name, limit in limits.containers.items():
        if sum(usage_bytes(path) for path in own.of_container(name)) > _bytes(limit):
            return f'Container {name} exceeded its local ephemeral storage limit "{limit}". '
    return ""


def _bytes(amount: object) -> int:
    try:
        return int(parse_quantity(str(amount)))
    except ValueError:  # the API lets none through
        return 0


def usage_bytes(directory: Path) -> int:
    """Give how much the files below a directory take on the disk, as ``du`` does: links are not followed."""
    total = 0
    seen: set[int] = set()
    for parent, _, names in os.walk(directory):
        for name in names:
            try:
                found = Path(parent, name).lstat()
            except OSError:  # gone meanwhile
                continue
            if found.st_nlink > 1:
                if found.st_ino in seen:
                    continue
                seen.add(found.st_ino)
            total += found.st_blocks * _BLOCK_BYTES
    return total
