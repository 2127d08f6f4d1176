"""Where the Pod of a task may be placed: selectors, tolerations, affinity, claims of devices. Read ``draft`` first.

Source: kubeflow/pipelines ``backend/src/v2/driver/k8s.go``; reference "KFP", 2.10. Affinity to Pods, which KFP's own
backend passes over, is here too.
"""

from collections.abc import Mapping, Sequence

from beamhall.kernel.objects import Object
from beamhall.pipelines.spec.platform import KubernetesConfig, NodeAffinity, PodAffinity, Requirement, Toleration
from beamhall.pipelines.spec.sources import Json
from beamhall.pipelines.spec.types import text_of
from beamhall.pipelines.steps.platform.draft import AFFINITY, NODE_SELECTOR, TOLERATIONS, Draft

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def apply_placement(config: KubernetesConfig, draft: Draft) -> None:
    """Add what a task asks of the node that it runs on. What is given as JSON and has no value is left out."""
    if config.node_selector is not None:
        _select_node(config, draft)
    if config.tolerations:
        _tolerate(config.tolerations, draft)
    affinity: Object = {}
    if config.node_affinity and (found := _node_affinity(config.node_affinity, draft)):
        affinity["nodeAffinity"] = found
    for key, is_anti in (("podAffinity", False), ("podAntiAffinity", True)):
        if found := _pod_affinity([one for one in config.pod_affinity if one.anti == is_anti]):
            affinity[key] = found
    if affinity:
        draft.put(AFFINITY, "affinity", affinity)
    _claim_devices(config, draft)


def _select_node(config: KubernetesConfig, draft: Draft) -> None:
    selector = config.node_selector
    assert selector is not None
    labels: Json = dict(selector.labels)
    if selector.node_selector_json is not None:
        where = "nodeSelector.nodeSelectorJson"
        labels = draft.json(where)
        if labels is None:
            return
        if not isinstance(labels, Mapping):
            raise draft.bad(f"{where} must give an object of labels, gave {labels!r}")
    draft.put(NODE_SELECTOR, "nodeSelector", {key: text_of(value) for key, value in labels.items()})


def _tolerate(asked: Sequence[Toleration], draft: Draft) -> None:
    found: list[Json] = []
    for number, one in enumerate(asked):
        if one.toleration_json is not None:
            where = f"tolerations[{number}].tolerationJson"
            found += [toleration for toleration in _objects(where, draft.json(where), draft) if toleration]
            continue
        made = {"key": one.key, "operator": one.operator, "value": one.value, "effect": one.effect}
        toleration = {key: value for key, value in made.items() if value}
        if one.toleration_seconds is not None:
            toleration["tolerationSeconds"] = one.toleration_seconds  # type: ignore[assignment]
        found.append(toleration)
    draft.put(TOLERATIONS, "tolerations", found)


def _objects(where: str, value: Json, draft: Draft) -> Sequence[Mapping[str, Json]]:
    """Give what is one object, or a list of them, as a list."""
    found = [] if value is None else value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(one, Mapping) for one in found):
        raise draft.bad(f"{where} must give an object or a list of objects, gave {value!r}")
    return found


def _node_affinity(asked: Sequence[NodeAffinity], draft: Draft) -> Object:
    required: list[Json] = []
    preferred: list[Json] = []
    for number, one in enumerate(asked):
        if one.node_affinity_json is not None:
            where = f"nodeAffinity[{number}].nodeAffinityJson"
            for given in _objects(where, draft.json(where), draft):
                demand = given.get(_REQUIRED) or {}
                terms = demand.get("nodeSelectorTerms") if isinstance(demand, Mapping) else demand
                required += _objects(where, terms, draft)
                preferred += _objects(where, given.get(_PREFERRED), draft)
            continue
        expressions, fields = _requirements(one.match_expressions), _requirements(one.match_fields)
        made = {"matchExpressions": expressions, "matchFields": fields}
        term = {key: value for key, value in made.items() if value}
        if term and one.weight is not None:
            preferred.append({"weight": one.weight, "preference": term})
        elif term:
            required.append(term)
    found: Object = {}
    if required:
        found[_REQUIRED] = {"nodeSelectorTerms": required}
    if preferred:
        found[_PREFERRED] = preferred
    return found


def _pod_affinity(asked: Sequence[PodAffinity]) -> Object:
    found: Object = {}
    for one in asked:
        term: Object = {
            "topologyKey": one.topology_key,
            "labelSelector": _selector(one.match_pod_expressions, one.match_pod_labels),
        }
        if one.match_namespace_expressions or one.match_namespace_labels:
            term["namespaceSelector"] = _selector(one.match_namespace_expressions, one.match_namespace_labels)
        if one.namespaces:
            term["namespaces"] = list(one.namespaces)
        if one.weight is None:
            found.setdefault(_REQUIRED, []).append(term)
        else:
            found.setdefault(_PREFERRED, []).append({"weight": one.weight, "podAffinityTerm": term})
    return found


def _selector(expressions: Sequence[Requirement], labels: Mapping[str, str]) -> Object:
    made = {"matchExpressions": _requirements(expressions), "matchLabels": dict(labels)}
    return {key: value for key, value in made.items() if value}


def _requirements(asked: Sequence[Requirement]) -> list[Json]:
    return [
        {"key": one.key, "operator": one.operator, **({"values": list(one.values)} if one.values else {})}
        for one in asked
    ]


def _claim_devices(config: KubernetesConfig, draft: Draft) -> None:
    claims: list[Object] = []
    for number, one in enumerate(config.pod_resource_claims):
        named = {
            "resourceClaimName": one.resource_claim_name,
            "resourceClaimTemplateName": one.resource_claim_template_name,
        }
        where = f"podResourceClaims[{number}].resourceClaimJson"
        given = _objects(where, draft.json(where), draft) if one.resource_claim_json is not None else [named]
        claims += [{key: value for key, value in each.items() if value} for each in given]
    for number, claim in enumerate(claims):
        claim.setdefault("name", f"claim-{number}")
    if claims:
        draft.spec["resourceClaims"] = claims
        resources = draft.container.setdefault("resources", {})
        resources["claims"] = [{"name": claim["name"]} for claim in claims]
