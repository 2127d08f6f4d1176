"""How much a Pod's emptyDirs hold, against their ``sizeLimit``.

Source: Kubernetes ``pkg/kubelet/eviction`` (``emptyDirLimitEviction``), whose words are used. Blocks.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from beamhall.embedded.agent.directory import PodDirectory
from beamhall.embedded.agent.projections import volumes_of
from beamhall.embedded.agent.volumes import Roots, volume_path
from beamhall.kernel.objects import ReadOnlyObject
from beamhall.kernel.quantities import parse_quantity

_BLOCK_BYTES = 512


def size_limits(pod: ReadOnlyObject) -> Mapping[str, int]:
    """Give the limits in bytes of the Pod's emptyDirs that have one, by name."""
    stated = {str(v.get("name")): (v.get("emptyDir") or {}).get("sizeLimit") for v in volumes_of(pod)}
    limits = {name: int(parse_quantity(str(limit))) for name, limit in stated.items() if limit is not None}
    return {name: limit for name, limit in limits.items() if limit > 0}


def overgrown(pod: ReadOnlyObject, own: PodDirectory, roots: Roots, limits: Mapping[str, int]) -> str:
    """Say which volume holds more than it may; empty: none."""
    for volume in volumes_of(pod):
        name = str(volume.get("name"))
        if name in limits and usage_bytes(volume_path(pod, volume, own, roots)) > limits[name]:
            return f'Usage of EmptyDir volume "{name}" exceeds the limit "{volume["emptyDir"]["sizeLimit"]}". '
    return ""


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
