"""Making room for what is more urgent: which Pods of lower priority have to go, as few and as unimportant as can be.

Nothing is written here: the trial leaves the cluster of the pass as if the victims were ending, or as it was. Pods
that are ending anyway count as room that comes free, so nobody is stopped twice for one Pod.

Source: Kubernetes "Pod Priority and Preemption"; the order of choice is that of the scheduler's DefaultPreemption.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from beamhall.embedded.workloads.scheduling.cluster import Cluster, Node, Resident
from beamhall.embedded.workloads.scheduling.neighbours import Neighbours
from beamhall.embedded.workloads.scheduling.shapes import Shape
from beamhall.embedded.workloads.scheduling.units import group_of, priority_of
from beamhall.kernel.objects import ReadOnlyObject, metadata_of, name_of


@dataclass(slots=True)
class Room:
    """A node that will have room for a Pod, and the Pods that have to go for it; none: room comes free anyway."""

    pod: ReadOnlyObject
    node: Node
    victims: list[Resident] = field(default_factory=list)

    @property
    def cost(self) -> tuple[int, int, int, int]:
        """How bad it is, to be compared: the most important victim first, then all, then their number."""
        priorities = [priority_of(victim.pod) for victim in self.victims]
        return (max(priorities, default=-(2**31)), sum(priorities), len(priorities), self.node.index)


class Trial:
    """Tries who could go, on one pass's cluster.

    Args:
        cluster: The nodes and Pods.
        neighbours: Who is where.
    """

    def __init__(self, cluster: Cluster, neighbours: Neighbours) -> None:
        self._cluster = cluster
        self._neighbours = neighbours
        self._of_group: dict[tuple[str, str], int] = {}
        for one in cluster.residents():
            if (group := group_of(one.pod)) is not None:
                self._of_group[group] = max(priority_of(one.pod), self._of_group.get(group, -(2**31)))
        self._lowest = min((priority_of(one.pod) for one in cluster.residents()), default=None)
        self._is_any_ending = any(one.is_ending for one in cluster.residents())

    def can_help(self, priority: int) -> bool:
        """Tell whether any Pod is ending, or could be stopped for one of this priority."""
        return self._is_any_ending or (self._lowest is not None and self._lowest < priority)

    def find_room(
        self, pod: ReadOnlyObject, shape: Shape, eligible: Sequence[Node], priority: int, nominated: str
    ) -> Room | None:
        """Find where a Pod could go once others have ended; None: nowhere. Changes nothing.

        Args:
            pod: The Pod.
            shape: Its shape.
            eligible: The nodes that are ones for it.
            priority: Only Pods of lower priority may have to go.
            nominated: The node that was promised to it before: it stays that one where it can.
        """
        soon = [node for node in eligible if node.will_have_room(shape) and self._is_welcome(pod, shape, node)]
        if soon:
            return Room(pod, next((node for node in soon if node.name == nominated), soon[0]))
        rooms = [room for node in eligible if (room := self._make_room(pod, shape, node, priority)) is not None]
        return min(rooms, key=lambda room: room.cost, default=None)

    def end(self, victims: Sequence[Resident]) -> None:
        """Count Pods as ending from now on."""
        self._is_any_ending |= bool(victims)
        for victim in victims:
            self._remove(victim)
            self._put_back(victim, is_ending=True)

    def revive(self, victims: Sequence[Resident]) -> None:
        """Take ``end`` back."""
        for victim in victims:
            self._remove(victim)
            self._put_back(victim, is_ending=False)

    def _make_room(self, pod: ReadOnlyObject, shape: Shape, node: Node, priority: int) -> Room | None:
        """Take Pods off in order of importance until it fits, then put back those that need not go."""
        lower = [one for one in node.residents.values() if self._may_go(one, pod, priority)]
        gained = {name: sum(one.shape.amounts.get(name, 0) for one in lower) for name, _ in shape.needs}
        if any(node.free.get(n, 0) + node.ending.get(n, 0) + gained[n] < value for n, value in shape.needs):
            return None
        lower.sort(key=self._importance)
        removed: list[Resident] = []
        fits = False
        for one in lower:
            self._remove(one)
            removed.append(one)
            if fits := self._fits(pod, shape, node):
                break
        victims = []
        for one in reversed(removed):
            self._put_back(one, is_ending=False)
            if fits and not self._fits(pod, shape, node):
                self._remove(one)
                victims.append(one)
        for one in victims:
            self._put_back(one, is_ending=False)
        return Room(pod, node, victims) if fits else None

    def _fits(self, pod: ReadOnlyObject, shape: Shape, node: Node) -> bool:
        return node.will_have_room(shape) and self._is_welcome(pod, shape, node)

    def _is_welcome(self, pod: ReadOnlyObject, shape: Shape, node: Node) -> bool:
        if not shape.is_social and not self._neighbours.is_anybody_apart:
            return True
        return not self._neighbours.wishes(pod, shape, soon=True).obstacle(node)

    def _priority(self, pod: ReadOnlyObject) -> int:
        """Give what a Pod counts as: one of a group as the most important of it: they are of use together."""
        group = group_of(pod)
        return priority_of(pod) if group is None else self._of_group.get(group, priority_of(pod))

    def _may_go(self, resident: Resident, pod: ReadOnlyObject, priority: int) -> bool:
        """Tell whether a Pod may be stopped for another: none of its own group, none that this pass placed."""
        if resident.is_ending or resident.is_new or self._priority(resident.pod) >= priority:
            return False
        group = group_of(pod)
        return group is None or group != group_of(resident.pod)

    def _importance(self, resident: Resident) -> tuple[int, float, str]:
        """Order by importance: lower priority first, then what started last."""
        pod = resident.pod
        started = str((pod.get("status") or {}).get("startTime") or metadata_of(pod).get("creationTimestamp") or "")
        digits = "".join(character for character in started if character.isdigit())
        return (self._priority(pod), -float(digits or 0), name_of(pod))

    def _remove(self, resident: Resident) -> None:
        self._cluster.remove(resident)
        self._neighbours.note(resident, -1)

    def _put_back(self, resident: Resident, *, is_ending: bool) -> None:
        self._cluster.put_back(resident, is_ending=is_ending)
        self._neighbours.note(resident, 1)
