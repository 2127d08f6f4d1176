"""GPUs: which there are, and which container was given which.

GPUs are found by NVML, simulated by number, or absent. What was given out stands in the Pods' directories, so that a
restart of the service gives nothing out twice. ``allot`` is pure. This module must not know the API.
"""

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from beamhall.kernel.quantities import whole

GPU = "nvidia.com/gpu"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU.

    Attributes:
        id: What ``CUDA_VISIBLE_DEVICES`` names it by: its UUID, or its number where it is simulated.
        product: Its model's name.
        memory_bytes: Its memory, 0 where that is not known.
    """

    id: str
    product: str
    memory_bytes: int = 0


def find_gpus(simulated: int | None) -> Sequence[Gpu]:
    """Find this machine's GPUs. Blocks for the time NVML takes to start.

    Args:
        simulated: Pretend that there are so many; None: ask NVML. A machine without its library has none.
    """
    if simulated is not None:
        return [Gpu(str(index), "Simulated-GPU") for index in range(simulated)]
    try:
        import pynvml  # noqa: PLC0415  loaded only where GPUs are looked for
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [_describe(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def gpus_wanted(container: Mapping[str, Any]) -> int:
    """Give how many GPUs a container asks for."""
    resources = container.get("resources") or {}
    amount = (resources.get("limits") or {}).get(GPU) or (resources.get("requests") or {}).get(GPU) or 0
    return whole(str(amount))


def allot(gpus: Sequence[Gpu], shared_by: int, in_use: Counter[str], wanted: int) -> Sequence[str] | None:
    """Choose GPUs for a container, the least used first.

    Args:
        gpus: All there are.
        shared_by: How many containers may have the same one.
        in_use: How many containers have each.
        wanted: How many are to be chosen, all different.

    Returns:
        Their ids; None if there are not enough.
    """
    free = sorted((in_use[gpu.id], index) for index, gpu in enumerate(gpus) if in_use[gpu.id] < shared_by)
    if wanted > len(free):
        return None
    return [gpus[index].id for _, index in sorted(free[:wanted], key=lambda entry: entry[1])]


@dataclass(slots=True)
class Devices:
    """Keeps which GPUs are given to which container of which Pod.

    Attributes:
        gpus: All there are.
        shared_by: How many containers may have the same one.
    """

    gpus: Sequence[Gpu]
    shared_by: int = 1
    _given: dict[str, dict[str, Sequence[str]]] = field(default_factory=dict)

    @property
    def capacity(self) -> int:
        """How many GPUs Pods may ask for in all."""
        return len(self.gpus) * self.shared_by

    def restore(self, uid: str, given: Mapping[str, Sequence[str]]) -> None:
        """Take in what a Pod was given before the service started."""
        if given:
            self._given[uid] = dict(given)

    def give(self, uid: str, container: Mapping[str, Any]) -> Sequence[str] | None:
        """Give a container its GPUs, the same ones each time; None: there are not enough, wait."""
        wanted = gpus_wanted(container)
        if not wanted:
            return ()
        mine = self._given.setdefault(uid, {})
        name = str(container["name"])
        if name not in mine:
            in_use = Counter(gpu for pod in self._given.values() for ids in pod.values() for gpu in ids)
            chosen = allot(self.gpus, self.shared_by, in_use, wanted)
            if chosen is None:
                return None
            mine[name] = chosen
        return mine[name]

    def given(self, uid: str) -> Mapping[str, Sequence[str]]:
        """Give what a Pod has, by container."""
        return self._given.get(uid) or {}

    def release(self, uid: str) -> None:
        """Take back what a Pod has: none of its processes is left."""
        self._given.pop(uid, None)


def _describe(pynvml: Any, index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    uuid, name = (_text(read(handle)) for read in (pynvml.nvmlDeviceGetUUID, pynvml.nvmlDeviceGetName))
    return Gpu(uuid, name, int(pynvml.nvmlDeviceGetMemoryInfo(handle).total))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
