"""Pods that look at other Pods: affinity and anti-affinity, and spreading over places.

What is counted is kept for a pass and follows what the pass places. A Pod that keeps others away does so whoever comes
later (symmetry of required anti-affinity).

Source: Kubernetes "Inter-pod affinity and anti-affinity", "Pod Topology Spread Constraints".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from beamhall.embedded.workloads.scheduling.cluster import Cluster, Node, Resident
from beamhall.embedded.workloads.scheduling.eligibility import label_obstacle, taint_obstacle
from beamhall.embedded.workloads.scheduling.shapes import Shape, Spread, Term
from beamhall.kernel.objects import ReadOnlyObject, labels_of, namespace_of

NamespaceLabels = Callable[[str], Mapping[str, str]]
"""Gives the labels of a namespace."""

Places = dict[str, int]
"""How many Pods there are at each place: value of the topology key."""


@dataclass(slots=True)
class Wishes:
    """What the other Pods mean for one Pod, by the labels of nodes: so that each node takes a few look-ups.

    Attributes:
        shut: (topology key, places that are shut, why).
        wanted: (topology key, places one of which it must be; None: any that has the key, why).
        liked: (topology key, points of each place).
    """

    shut: list[tuple[str, frozenset[str], str]] = field(default_factory=list)
    wanted: list[tuple[str, frozenset[str] | None, str]] = field(default_factory=list)
    liked: list[tuple[str, Mapping[str, float]]] = field(default_factory=list)

    def obstacle(self, node: Node) -> str:
        """Say which other Pods keep it off a node, empty if none do."""
        labels = node.labels
        for key, places, why in self.wanted:
            place = labels.get(key)
            if place is None:
                return f"has no label {key}, by which {why}"
            if places is not None and place not in places:
                return why
        return next((why for key, places, why in self.shut if labels.get(key) in places), "")

    def points(self, node: Node) -> float:
        """Give how much it is liked to be on a node."""
        return sum(points.get(node.labels.get(key, ""), 0.0) for key, points in self.liked)


class Neighbours:
    """Who is where, as far as somebody asks.

    Args:
        cluster: The nodes and the Pods on them.
        namespace_labels: For terms that select namespaces.
    """

    def __init__(self, cluster: Cluster, namespace_labels: NamespaceLabels) -> None:
        self._cluster = cluster
        self._namespace_labels = namespace_labels
        self._counts: dict[tuple[Term, bool], Places] = {}
        self._holders: tuple[dict[Term, Places], dict[Term, Places]] = ({}, {})  # all; without those that are ending
        for resident in cluster.residents():
            self._hold(resident, 1)

    @property
    def is_anybody_apart(self) -> bool:
        """Whether Pods on nodes keep others away, so that every Pod has to look at them."""
        return bool(self._holders[0])

    def note(self, resident: Resident, sign: int) -> None:
        """Take that a Pod came (1) or went (-1)."""
        self._hold(resident, sign)
        for (term, without_ending), places in self._counts.items():
            if (place := resident.node.labels.get(term.topology_key)) is None:
                continue
            if self._matches(term, resident.pod) and not (without_ending and resident.is_ending):
                places[place] = places.get(place, 0) + sign

    def wishes(self, pod: ReadOnlyObject, shape: Shape, *, soon: bool = False) -> Wishes:
        """Find what the other Pods mean for this one: now, or soon, when those that are ending have ended."""
        wishes = Wishes()
        for term in shape.near:
            places = frozenset(place for place, n in self._count(term, soon).items() if n > 0)
            if not places and self._matches(term, pod):
                wishes.wanted.append((term.topology_key, None, "the Pod's affinity tells places apart"))
            else:
                why = f"has no Pod near that the Pod's affinity asks for ({say_selector(term)})"
                wishes.wanted.append((term.topology_key, places, why))
        for term in shape.apart:
            places = frozenset(place for place, n in self._count(term, soon).items() if n > 0)
            why = f"has a Pod that this Pod's anti-affinity keeps away from ({say_selector(term)})"
            wishes.shut.append((term.topology_key, places, why))
        for term, held in self._holders[soon].items():
            places = frozenset(place for place, n in held.items() if n > 0)
            if places and self._matches(term, pod):
                wishes.shut.append((term.topology_key, places, "has a Pod whose anti-affinity keeps this Pod away"))
        for weight, term in shape.preferences:
            wishes.liked.append(
                (term.topology_key, {p: weight * 2.0 for p, n in self._count(term, soon).items() if n > 0})
            )
        for spread in shape.spreads:
            self._add_spread(wishes, pod, shape, spread)
        return wishes

    def _add_spread(self, wishes: Wishes, pod: ReadOnlyObject, shape: Shape, spread: Spread) -> None:
        key = spread.term.topology_key
        counted = self._count(spread.term, True)
        domains = {n.labels[key]: 0 for n in self._cluster.nodes if key in n.labels and _counts_for(n, shape, spread)}
        for place in domains:
            domains[place] = counted.get(place, 0)
        if not spread.is_required:
            most = max(domains.values(), default=0) + 1
            wishes.liked.append((key, {place: 200.0 * (most - n) / most for place, n in domains.items()}))
            return
        least = min(domains.values(), default=0) if len(domains) >= spread.min_domains else 0
        itself = int(self._matches(spread.term, pod))
        full = frozenset(place for place, n in domains.items() if n + itself - least > spread.max_skew)
        rule = f"maxSkew {spread.max_skew} by {key}"
        wishes.wanted.append((key, None, "the Pod's topologySpreadConstraints tell places apart"))
        why = f"has more such Pods than the Pod's topologySpreadConstraints allow ({rule})"
        wishes.shut.append((key, full, why))

    def _count(self, term: Term, without_ending: bool) -> Places:  # noqa: FBT001
        """Count the Pods that a term means, by place; spreading never counts those that are ending."""
        if (term, without_ending) not in self._counts:
            places: Places = {}
            for resident in self._cluster.residents():
                place = resident.node.labels.get(term.topology_key)
                if place is None or (without_ending and resident.is_ending):
                    continue
                if self._matches(term, resident.pod):
                    places[place] = places.get(place, 0) + 1
            self._counts[term, without_ending] = places
        return self._counts[term, without_ending]

    def _hold(self, resident: Resident, sign: int) -> None:
        for term in resident.shape.apart:
            if (place := resident.node.labels.get(term.topology_key)) is not None:
                for holders in self._holders[: 1 if resident.is_ending else 2]:
                    places = holders.setdefault(term, {})
                    places[place] = places.get(place, 0) + sign

    def _matches(self, term: Term, pod: ReadOnlyObject) -> bool:
        if term.selector is None or not term.selector.matches(labels_of(pod)):
            return False
        namespace = namespace_of(pod)
        if namespace in term.namespaces:
            return True
        by_label = term.namespace_selector
        return by_label is not None and by_label.matches(self._namespace_labels(namespace))


def say_selector(term: Term) -> str:
    """Write which Pods a term means: ``app=db by kubernetes.io/hostname``."""
    return f"{_say_requirements(term)} by {term.topology_key}"


def _say_requirements(term: Term) -> str:
    parts: list[str] = []
    for one in term.selector.requirements if term.selector is not None else ():
        values: Sequence[str] = sorted(one.values)
        match one.operator:
            case "In" if len(values) == 1:
                parts.append(f"{one.key}={values[0]}")
            case "In" | "NotIn":
                parts.append(f"{one.key} {'in' if one.operator == 'In' else 'not in'} ({', '.join(values)})")
            case "Exists":
                parts.append(one.key)
            case "DoesNotExist":
                parts.append(f"no {one.key}")
    return ", ".join(parts) or "any Pod"


def _counts_for(node: Node, shape: Shape, spread: Spread) -> bool:
    if not spread.ignores_selectors and label_obstacle(node.object, shape):
        return False
    return not (spread.respects_taints and taint_obstacle(node.object, shape))
