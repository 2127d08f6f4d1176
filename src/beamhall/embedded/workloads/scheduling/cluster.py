"""The nodes in one pass: what is free on each, which Pods are there, and which changed since somebody looked.

Only the pass changes this: Pods are placed, taken back when a group does not fit, and taken off for a trial when a
more urgent Pod needs their room. ``log`` tells the others which nodes to look at again. Next: ``fits``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from beamhall.embedded.workloads.resources import Amounts, allocatable_of
from beamhall.embedded.workloads.scheduling.shapes import Port, Shape, shape_of
from beamhall.kernel.amounts import add
from beamhall.kernel.objects import ReadOnlyObject, is_being_deleted, labels_of, name_of

_ENDED = ("Succeeded", "Failed")


@dataclass(slots=True, eq=False)
class Resident:
    """A Pod on a node. ``is_ending``: its room is coming free; ``is_new``: it was placed in this pass."""

    pod: ReadOnlyObject
    shape: Shape
    node: "Node"
    is_ending: bool = False
    is_new: bool = False


@dataclass(slots=True, eq=False)
class Node:
    """One node in a pass: ``total`` never changes, ``free`` does; ``ending`` will be free when Pods have ended."""

    index: int
    object: ReadOnlyObject
    name: str
    labels: Mapping[str, str]
    total: dict[str, int]
    free: dict[str, int]
    ending: dict[str, int] = field(default_factory=dict)
    ports: list[Port] = field(default_factory=list)
    residents: dict[int, Resident] = field(default_factory=dict)  # by the id of the Pod's object

    def has_room(self, shape: Shape) -> bool:
        """Tell whether what is free is enough, now."""
        free = self.free
        return all(free.get(name, 0) >= value for name, value in shape.needs) and not (
            shape.ports and self._port_in_use(shape, but_of_ending=False)
        )

    def will_have_room(self, shape: Shape) -> bool:
        """Tell whether it is enough once the Pods that are ending have ended."""
        free, ending = self.free, self.ending
        return all(free.get(name, 0) + ending.get(name, 0) >= value for name, value in shape.needs) and not (
            shape.ports and self._port_in_use(shape, but_of_ending=True)
        )

    def could_come_free(self) -> Amounts:
        """Give what is free once all Pods that end by themselves, or are ending, have ended."""
        ending = [one for one in self.residents.values() if one.is_ending or _ends_by_itself(one.pod)]
        return add((self.free, *(one.shape.amounts for one in ending)))

    def could_have_room(self, asked: Amounts) -> bool:
        """Tell whether it would be enough if no Pod were here."""
        return all(self.total.get(name, 0) >= value for name, value in asked.items() if value)

    def port_in_use(self, shape: Shape) -> Port | None:
        """Give a host port that a shape asks for and that is taken here, None if there is none."""
        return self._port_in_use(shape, but_of_ending=False)

    def _port_in_use(self, shape: Shape, *, but_of_ending: bool) -> Port | None:
        ending = [port for one in self.residents.values() if one.is_ending for port in one.shape.ports]
        used = list(self.ports)
        for port in ending if but_of_ending else ():
            used.remove(port)
        return next((port for port in shape.ports if any(_collide(port, other) for other in used)), None)


class Cluster:
    """The nodes, and the Pods on them.

    Attributes:
        nodes: All nodes, in order of their names.
        log: Indexes of nodes that changed, in order; whoever remembers a position knows which those were.
    """

    def __init__(self, nodes: Iterable[ReadOnlyObject], pods: Iterable[ReadOnlyObject]) -> None:
        self.nodes: Sequence[Node] = [
            Node(index, node, name_of(node), labels_of(node), allocatable_of(node), allocatable_of(node))
            for index, node in enumerate(nodes)
        ]
        self.log: list[int] = []
        by_name = {node.name: node for node in self.nodes}
        for pod in pods:
            spec: Mapping[str, Any] = pod.get("spec") or {}
            node = by_name.get(spec.get("nodeName") or "")
            if node is not None and (pod.get("status") or {}).get("phase") not in _ENDED:
                self._count(Resident(pod, shape_of(pod), node, is_being_deleted(pod)))

    def residents(self) -> Iterable[Resident]:
        """Give every Pod that is on a node."""
        return (resident for node in self.nodes for resident in node.residents.values())

    def place(self, pod: ReadOnlyObject, shape: Shape, node: Node) -> Resident:
        """Count a Pod that comes; where there is no room yet, what is free becomes negative: nobody else gets it."""
        resident = Resident(pod, shape, node, is_new=True)
        self._count(resident)
        self.log.append(node.index)
        return resident

    def remove(self, resident: Resident) -> None:
        """Take a Pod off: it does not come after all, or this is a trial."""
        node = resident.node
        del node.residents[id(resident.pod)]
        _add(node.free, resident.shape, 1)
        if resident.is_ending:
            _add(node.ending, resident.shape, -1)
        for port in resident.shape.ports:
            node.ports.remove(port)
        self.log.append(node.index)

    def put_back(self, resident: Resident, *, is_ending: bool) -> None:
        """Put a Pod back that a trial took off, perhaps to end."""
        resident.is_ending = is_ending
        self._count(resident)
        self.log.append(resident.node.index)

    def _count(self, resident: Resident) -> None:
        node = resident.node
        node.residents[id(resident.pod)] = resident
        _add(node.free, resident.shape, -1)
        if resident.is_ending:
            _add(node.ending, resident.shape, 1)
        node.ports += resident.shape.ports


def _add(amounts: dict[str, int], shape: Shape, sign: int) -> None:
    for name, value in shape.needs:
        amounts[name] = amounts.get(name, 0) + sign * value


def _ends_by_itself(pod: ReadOnlyObject) -> bool:
    return (pod.get("spec") or {}).get("restartPolicy") in ("Never", "OnFailure")


def _collide(one: Port, other: Port) -> bool:
    return one[1:] == other[1:] and (one[0] == other[0] or not one[0] or not other[0])
