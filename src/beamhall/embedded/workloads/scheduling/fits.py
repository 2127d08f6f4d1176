"""Where Pods of one shape fit now, and which node is best: points for each node, kept up to date from a log.

A node that nobody touched keeps its points, so that placing one more Pod of a known shape looks at the one node that
the last Pod went to, not at all of them.

Points: what the Pod prefers by labels first; then Pods that ask for GPUs go where GPUs are in use already, so that
whole nodes stay free for those that ask for many, and other Pods go where most is free.
"""

from collections.abc import Callable, Collection, Sequence

from beamhall.embedded.workloads.resources import CPU, PODS
from beamhall.embedded.workloads.scheduling.cluster import Cluster, Node
from beamhall.embedded.workloads.scheduling.eligibility import obstacle, preference
from beamhall.embedded.workloads.scheduling.shapes import Shape

NOWHERE = -1e9
_SPREAD_OVER = (CPU, "memory", PODS)
_PACKED = "/gpu"


class Fit:
    """The nodes as Pods of one shape see them.

    Attributes:
        obstacles: By index of the node: what keeps them off whatever is free; empty: nothing.
    """

    def __init__(self, cluster: Cluster, shape: Shape) -> None:
        self.obstacles: Sequence[str] = [obstacle(node.object, shape) for node in cluster.nodes]
        self.eligible: Sequence[Node] = [node for node in cluster.nodes if not self.obstacles[node.index]]
        self._cluster = cluster
        self._shape = shape
        self._static = [preference(node.object, shape) for node in cluster.nodes]
        self._packs = next((name for name, _ in shape.needs if name.endswith(_PACKED)), "")
        self._position = len(cluster.log)
        self._points = [self._rate(node) for node in cluster.nodes]

    def best(self, barred: Collection[int] = ()) -> Node | None:
        """Give the best node that has room now, None if none has. Those whose index is barred do not count."""
        points = self._fresh()
        if barred:
            points = [NOWHERE if index in barred else value for index, value in enumerate(points)]
        most = max(points, default=NOWHERE)
        return None if most <= NOWHERE else self._cluster.nodes[points.index(most)]

    def best_by(self, further: Callable[[Node], float | None], barred: Collection[int] = ()) -> Node | None:
        """Give the best node that has room, by points and further points; None there means that it does not count."""
        best, most = None, NOWHERE
        for index, value in enumerate(self._fresh()):
            if value > NOWHERE and index not in barred:
                node = self._cluster.nodes[index]
                more = further(node)
                if more is not None and value + more > most:
                    best, most = node, value + more
        return best

    def _fresh(self) -> list[float]:
        log = self._cluster.log
        if self._position < len(log):
            for index in set(log[self._position :]):
                self._points[index] = self._rate(self._cluster.nodes[index])
            self._position = len(log)
        return self._points

    def _rate(self, node: Node) -> float:
        if self.obstacles[node.index] or not node.has_room(self._shape):
            return NOWHERE
        free, total, asked = node.free, node.total, self._shape.amounts
        if self._packs:
            has = total[self._packs]
            return self._static[node.index] + 100.0 * (has - free[self._packs] + asked[self._packs]) / has
        left = [(free[name] - asked.get(name, 0)) / total[name] for name in _SPREAD_OVER if total.get(name)]
        return self._static[node.index] + 100.0 * sum(left) / max(1, len(left))
