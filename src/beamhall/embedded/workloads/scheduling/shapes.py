"""What a Pod asks of a node, read once for all Pods that ask for the same.

Ten thousand waiting Pods have a few shapes, so everything that is looked at node by node is done by shape. A shape
follows from its encoded key alone, so keeping shapes keeps planning pure. Pods that look at other Pods (affinity,
spreading) have shapes with their labels and namespace in them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from beamhall.embedded.workloads.resources import Amounts, requests_of
from beamhall.kernel.objects import ReadOnlyObject, labels_of, namespace_of
from beamhall.kernel.selectors import Selector, selector_from_object

Port = tuple[str, str, int]
"""Host address (empty: all), protocol, number."""

_encode = msgspec.json.Encoder(enc_hook=dict).encode
_decode = msgspec.json.Decoder().decode
_SOCIAL = ("podAffinity", "podAntiAffinity")


@dataclass(frozen=True, slots=True)
class Term:
    """Which other Pods a Pod looks at, and what counts as being at the same place.

    Attributes:
        namespaces: Their namespaces by name.
        namespace_selector: Their namespaces by label; None: only those named.
        selector: Their labels; None: no Pod.
        topology_key: The node label whose values are the places.
    """

    namespaces: frozenset[str]
    namespace_selector: Selector | None
    selector: Selector | None
    topology_key: str


@dataclass(frozen=True, slots=True)
class Spread:
    """One topologySpreadConstraint."""

    term: Term
    max_skew: int
    min_domains: int
    is_required: bool
    ignores_selectors: bool
    respects_taints: bool


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """What Pods of one shape ask for; there is one object for each shape, compared by identity.

    Attributes:
        amounts: Resources, with a place for the Pod itself.
        needs: The same, without zeros, to go through quickly.
        ports: Host ports.
        tolerations: Its tolerations.
        selector: Its nodeSelector.
        node_terms: Required node affinity, one of which must hold; None: none is asked for.
        node_preferences: (weight, term).
        near: Required Pod affinity.
        apart: Required Pod anti-affinity.
        preferences: (weight, term); negative weights are anti-affinity.
        spreads: Its topologySpreadConstraints.
        is_its_own_neighbour: By term, whether Pods of this shape match their own term.
    """

    amounts: Amounts
    needs: tuple[tuple[str, int], ...]
    ports: tuple[Port, ...]
    tolerations: Sequence[Mapping[str, Any]]
    selector: Mapping[str, str]
    node_terms: Sequence[Mapping[str, Any]] | None
    node_preferences: Sequence[tuple[int, Mapping[str, Any]]]
    near: Sequence[Term] = ()
    apart: Sequence[Term] = ()
    preferences: Sequence[tuple[int, Term]] = ()
    spreads: Sequence[Spread] = ()

    @property
    def is_social(self) -> bool:
        """Whether other Pods decide where one of this shape may or should go."""
        return bool(self.near or self.apart or self.preferences or self.spreads)


def shape_of(pod: ReadOnlyObject) -> Shape:
    """Give the shape of a Pod."""
    spec: Mapping[str, Any] = pod.get("spec") or {}
    affinity: Mapping[str, Any] = spec.get("affinity") or {}
    is_social = bool(spec.get("topologySpreadConstraints")) or any(affinity.get(name) for name in _SOCIAL)
    parts = {
        "containers": [_part(container) for container in spec.get("containers") or ()],
        "initContainers": [_part(container) for container in spec.get("initContainers") or ()],
        "overhead": spec.get("overhead"),
        "tolerations": spec.get("tolerations"),
        "nodeSelector": spec.get("nodeSelector"),
        "affinity": affinity,
        "topologySpreadConstraints": spec.get("topologySpreadConstraints"),
        "of": [namespace_of(pod), labels_of(pod)] if is_social else None,
    }
    return _shape(_encode(parts))


def _part(container: Mapping[str, Any]) -> Any:
    ports = [port for port in container.get("ports") or () if port.get("hostPort")]
    return {"resources": container.get("resources"), "restartPolicy": container.get("restartPolicy"), "ports": ports}


@lru_cache(maxsize=8192)
def _shape(key: bytes) -> Shape:
    spec: Mapping[str, Any] = _decode(key)
    affinity: Mapping[str, Any] = spec["affinity"]
    node: Mapping[str, Any] = affinity.get("nodeAffinity") or {}
    required = node.get("requiredDuringSchedulingIgnoredDuringExecution")
    amounts = requests_of({"spec": spec})
    return Shape(
        amounts=amounts,
        needs=tuple((name, value) for name, value in sorted(amounts.items()) if value),
        ports=tuple(_ports(spec)),
        tolerations=spec["tolerations"] or (),
        selector=spec["nodeSelector"] or {},
        node_terms=None if required is None else required.get("nodeSelectorTerms") or (),
        node_preferences=[
            (int(one.get("weight") or 0), one.get("preference") or {})
            for one in node.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        ],
        **(_social(spec, affinity) if spec["of"] else {}),
    )


def _ports(spec: Mapping[str, Any]) -> list[Port]:
    sidecars = [c for c in spec["initContainers"] if c["restartPolicy"] == "Always"]
    asked = [port for container in (*spec["containers"], *sidecars) for port in container["ports"]]
    return [(_host(port.get("hostIP")), port.get("protocol") or "TCP", port["hostPort"]) for port in asked]


def _host(address: str | None) -> str:
    return "" if address in (None, "0.0.0.0", "::") else str(address)  # noqa: S104  compared, not bound


def _social(spec: Mapping[str, Any], affinity: Mapping[str, Any]) -> dict[str, Any]:
    namespace, labels = spec["of"]
    found: dict[str, Any] = {"near": [], "apart": [], "preferences": []}
    for name, field, sign in (("podAffinity", "near", 1), ("podAntiAffinity", "apart", -1)):
        one: Mapping[str, Any] = affinity.get(name) or {}
        for term in one.get("requiredDuringSchedulingIgnoredDuringExecution") or ():
            found[field].append(_term(term, namespace, labels))
        for weighted in one.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            term = _term(weighted.get("podAffinityTerm") or {}, namespace, labels)
            found["preferences"].append((sign * int(weighted.get("weight") or 0), term))
    found["spreads"] = [_spread(one, namespace, labels) for one in spec["topologySpreadConstraints"] or ()]
    return found


def _term(term: Mapping[str, Any], namespace: str, labels: Mapping[str, str]) -> Term:
    by_label = term.get("namespaceSelector")
    named = frozenset(term.get("namespaces") or (() if by_label is not None else (namespace,)))
    return Term(
        named,
        _selector(by_label),
        _with_own(_selector(term.get("labelSelector")), term, labels),
        str(term.get("topologyKey") or ""),
    )


def _spread(one: Mapping[str, Any], namespace: str, labels: Mapping[str, str]) -> Spread:
    selector = _with_own(_selector(one.get("labelSelector")), one, labels)
    return Spread(
        term=Term(frozenset({namespace}), None, selector, str(one.get("topologyKey") or "")),
        max_skew=int(one.get("maxSkew") or 1),
        min_domains=int(one.get("minDomains") or 1),
        is_required=one.get("whenUnsatisfiable") != "ScheduleAnyway",
        ignores_selectors=one.get("nodeAffinityPolicy") == "Ignore",
        respects_taints=one.get("nodeTaintsPolicy") == "Honor",
    )


def _selector(written: Mapping[str, Any] | None) -> Selector | None:
    """Read a label selector; one that is absent, or that cannot be read, matches no Pod."""
    try:
        return selector_from_object(written)
    except ValueError:
        return None


def _with_own(selector: Selector | None, one: Mapping[str, Any], labels: Mapping[str, str]) -> Selector | None:
    """Add what ``matchLabelKeys`` and ``mismatchLabelKeys`` take from the Pod's own labels."""
    if selector is None:
        return None
    extra: list[Mapping[str, Any]] = [
        {"key": key, "operator": operator, "values": [labels[key]]}
        for field, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn"))
        for key in one.get(field) or ()
        if key in labels
    ]
    if not extra:
        return selector
    return Selector((*selector.requirements, *selector_from_object({"matchExpressions": extra}).requirements))
