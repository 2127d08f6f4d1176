"""LimitRange: defaults for containers that say nothing, and the least and most that Pods and claims may ask for.

Source: ``k8s.io/kubernetes/plugin/pkg/admission/limitranger``, whose words people know.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from beamhall.embedded.api.builtin.pod_defaults import quality_of_service
from beamhall.embedded.api.core import Operation
from beamhall.embedded.api.quota.usage import Usage, amount_of, pod_totals, say
from beamhall.embedded.store.store import Store
from beamhall.kernel.errors import Forbidden
from beamhall.kernel.kinds import LIMIT_RANGE, PERSISTENT_VOLUME_CLAIM, POD
from beamhall.kernel.objects import Object, name_of, namespace_of

_ANNOTATION = "kubernetes.io/limit-ranger"


class LimitRanger:
    """Applies the LimitRanges of a namespace to new Pods and claims, and to claims that grow.

    Args:
        store: Where LimitRanges are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def admit(self, operation: Operation) -> None:
        """Fill in defaults, then hold the object against the limits.

        Raises:
            Forbidden: It asks for too little or too much; every limit that it misses is named.
        """
        resource, obj = operation.resource, operation.object
        is_new_pod = resource.kind == POD and operation.verb == "create"
        is_claim = resource.kind == PERSISTENT_VOLUME_CLAIM and operation.verb != "delete"
        if operation.subresource or not (is_new_pod or is_claim) or not self._store.count(LIMIT_RANGE.resource):
            return
        items = [
            item
            for limits in self._store.list(LIMIT_RANGE.resource, namespace_of(obj)).items
            for item in (limits.get("spec") or {}).get("limits") or ()
        ]
        if is_new_pod:
            _fill_in(obj, items)
        misses = [miss for item in items for miss in _misses(item, obj, is_pod=is_new_pod)]
        if misses:
            text = misses[0] if len(misses) == 1 else f"[{', '.join(misses)}]"
            name = name_of(obj)
            raise Forbidden(f"{resource.describe(name)} is forbidden: {text}", details=resource.details(name))


def _fill_in(pod: Object, items: Sequence[Mapping[str, Any]]) -> None:
    """Give containers the requests and limits that they do not state, and say so in an annotation."""
    said = []
    for number, container in enumerate(_containers(pod)):
        is_init = number >= len(pod["spec"].get("containers") or ())
        for field, default in (("limits", "default"), ("requests", "defaultRequest")):
            given = _given(container, field, items, default)
            if given:
                container.setdefault("resources", {}).setdefault(field, {}).update(given)
                what = ", ".join(f"{name} {field[:-1]}" for name in sorted(given))
                said.append(f"{what} for {'init ' if is_init else ''}container {container.get('name')}")
    if said:
        annotations = pod["metadata"].setdefault("annotations", {})
        pod["status"]["qosClass"] = quality_of_service(pod["spec"])
        annotations[_ANNOTATION] = f"LimitRanger plugin set: {'; '.join(said)}"


def _given(
    container: Mapping[str, Any], field: str, items: Sequence[Mapping[str, Any]], default: str
) -> dict[str, Any]:
    stated = (container.get("resources") or {}).get(field) or {}
    given: dict[str, Any] = {}
    for item in items:
        if item.get("type") == "Container":
            given |= {n: v for n, v in (item.get(default) or {}).items() if n not in stated and n not in given}
    return given


def _containers(pod: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from pod["spec"].get("containers") or ()
    yield from pod["spec"].get("initContainers") or ()


def _misses(item: Mapping[str, Any], obj: Object, *, is_pod: bool) -> Iterator[str]:
    """Name each bound of one entry of a LimitRange that an object misses."""
    kind = str(item.get("type"))
    if kind == "Container" and is_pod:
        for container in _containers(obj):
            yield from _misses_of(kind, item, *(_amounts(container, field) for field in ("requests", "limits")))
    elif kind == "Pod" and is_pod:
        yield from _misses_of(kind, item, pod_totals(obj, "requests"), pod_totals(obj, "limits"))
    elif kind == "PersistentVolumeClaim" and not is_pod:
        requests = {n: amount_of(v) for n, v in _part(obj, "spec", "resources", "requests").items()}
        bounds = {name: value for name, value in item.items() if name in ("min", "max")}
        yield from _misses_of(kind, bounds, requests, requests)


def _misses_of(kind: str, item: Mapping[str, Any], requests: Usage, limits: Usage) -> Iterator[str]:
    for name, text in sorted((item.get("min") or {}).items()):
        yield from _under(f"minimum {name} usage per {kind} is {text}", amount_of(text), name, (requests, limits))
    for name, text in sorted((item.get("max") or {}).items()):
        yield from _over(f"maximum {name} usage per {kind} is {text}", amount_of(text), name, (requests, limits))
    for name, text in sorted((item.get("maxLimitRequestRatio") or {}).items()):
        start = f"{name} max limit to request ratio per {kind} is {text}"
        request, limit = requests.get(name), limits.get(name)
        if not request:
            yield f"{start}, but no request is specified or request is 0"
        elif not limit:
            yield f"{start}, but no limit is specified or limit is 0"
        elif limit / request > amount_of(text):
            yield f"{start}, but provided ratio is {limit / request:.6f}"


def _under(start: str, least: Decimal, name: str, asked: tuple[Usage, Usage]) -> Iterator[str]:
    requests, limits = asked
    if name not in requests:
        yield f"{start}. No request is specified"
    elif requests[name] < least:
        yield f"{start}, but request is {say(name, requests[name])}"
    elif name in limits and limits[name] < least:
        yield f"{start}, but limit is {say(name, limits[name])}"


def _over(start: str, most: Decimal, name: str, asked: tuple[Usage, Usage]) -> Iterator[str]:
    requests, limits = asked
    if name not in limits:
        yield f"{start}. No limit is specified"
    elif limits[name] > most:
        yield f"{start}, but limit is {say(name, limits[name])}"
    elif name in requests and requests[name] > most:
        yield f"{start}, but request is {say(name, requests[name])}"


def _amounts(container: Mapping[str, Any], field: str) -> dict[str, Decimal]:
    return {name: amount_of(text) for name, text in ((container.get("resources") or {}).get(field) or {}).items()}


def _part(obj: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        obj = obj.get(name) or {}
    return obj
