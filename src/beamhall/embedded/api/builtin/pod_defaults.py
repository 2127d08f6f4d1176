"""What the API server fills in for Pods and for Pod templates.

Source: Kubernetes API reference, Pod v1 core (defaults of each field); quality of service: "Configure Quality of
Service for Pods". Malformed parts are left for ``fields`` and ``validation`` to name.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from beamhall.kernel.objects import Object, ReadOnlyObject
from beamhall.kernel.quantities import canonical_quantity, parse_quantity

_SPEC = {
    "restartPolicy": "Always",
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "terminationGracePeriodSeconds": 30,
}
_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_WITH_MODE = ("configMap", "secret", "downwardAPI", "projected")
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


def default_pod_spec(spec: dict[str, Any]) -> None:
    """Fill in the defaults of a Pod's spec, or of a template's, in place."""
    for name, value in _SPEC.items():
        _default(spec, name, value)
    _default(spec, "securityContext", {})
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for container in _containers_of(spec):
        _default_container(container, host_network=bool(spec.get("hostNetwork")))
    for volume in _objects(spec.get("volumes")):
        _default_volume(volume)


def prepare_pod(obj: Object) -> None:
    """Set what only the server decides when a Pod is made: its account, and a status that says Pending."""
    spec = obj["spec"]
    if not spec.get("serviceAccountName"):
        spec["serviceAccountName"] = spec["serviceAccount"] = "default"
    obj["status"] = {"phase": "Pending", "qosClass": quality_of_service(spec)}


def quality_of_service(spec: ReadOnlyObject) -> str:
    """Tell a Pod's class: ``Guaranteed``, ``Burstable`` or ``BestEffort``."""
    guaranteed, any_set = True, False
    for container in [*_objects(spec.get("initContainers")), *_objects(spec.get("containers"))]:
        resources = container.get("resources") or {}
        requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
        for name in ("cpu", "memory"):
            limit, request = _amount(limits.get(name)), _amount(requests.get(name))
            any_set = any_set or bool(limit) or bool(request)
            guaranteed = guaranteed and bool(limit) and request == limit
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def normalize_quantities(resources: Any) -> None:
    """Write the amounts of a ``ResourceRequirements`` in their canonical form, in place: ``0.5`` as ``500m``."""
    if not isinstance(resources, dict):
        return
    for part in ("limits", "requests"):
        amounts = resources.get(part)
        if isinstance(amounts, dict):
            resources[part] = {name: _canonical(value) for name, value in amounts.items()}


def _canonical(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    try:
        return canonical_quantity(value)
    except ValueError:
        return value  # validation says so


def _default_container(container: dict[str, Any], *, host_network: bool) -> None:
    image = container.get("image")
    if isinstance(image, str) and image:
        _default(container, "imagePullPolicy", "Always" if _is_latest(image) else "IfNotPresent")
    _default(container, "terminationMessagePath", "/dev/termination-log")
    _default(container, "terminationMessagePolicy", "File")
    _default(container, "resources", {})
    normalize_quantities(container["resources"])
    _default_requests(container["resources"])
    for port in _objects(container.get("ports")):
        _default(port, "protocol", "TCP")
        if host_network:
            _default(port, "hostPort", port.get("containerPort"))
    for variable in _objects(container.get("env")):
        _default_field_reference(variable.get("valueFrom"))
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if isinstance(probe := container.get(name), dict):
            _default_probe(probe)
    lifecycle = container.get("lifecycle")
    for handler in lifecycle.values() if isinstance(lifecycle, dict) else ():
        if isinstance(handler, dict):
            _default_http(handler)


def _default_requests(resources: Any) -> None:
    """Ask for what a container is limited to, where it asks for nothing."""
    if not isinstance(resources, dict) or not isinstance(resources.get("limits"), dict):
        return
    requests = resources.setdefault("requests", {})
    if isinstance(requests, dict):
        for name, value in resources["limits"].items():
            requests.setdefault(name, value)
    if not requests:
        del resources["requests"]


def _default_probe(probe: dict[str, Any]) -> None:
    for name, value in _PROBE.items():
        if not probe.get(name):
            probe[name] = value
    _default_http(probe)
    if isinstance(grpc := probe.get("grpc"), dict):
        _default(grpc, "service", "")


def _default_http(handler: dict[str, Any]) -> None:
    if isinstance(http := handler.get("httpGet"), dict):
        if not http.get("path"):
            http["path"] = "/"
        if not http.get("scheme"):
            http["scheme"] = "HTTP"


def _default_field_reference(source: Any) -> None:
    if isinstance(source, dict) and isinstance(reference := source.get("fieldRef"), dict):
        _default(reference, "apiVersion", "v1")


def _default_volume(volume: dict[str, Any]) -> None:
    if not any(name != "name" and value is not None for name, value in volume.items()):
        volume["emptyDir"] = {}
    for name in _WITH_MODE:
        if isinstance(source := volume.get(name), dict):
            _default(source, "defaultMode", 0o644)
    if isinstance(host_path := volume.get("hostPath"), dict):
        _default(host_path, "type", "")
    for source in _projections(volume):
        for item in _objects(source.get("items")):
            _default_field_reference(item)
        if isinstance(token := source.get("serviceAccountToken"), dict):
            _default(token, "expirationSeconds", 3600)
    ephemeral = volume.get("ephemeral")
    claim = (ephemeral.get("volumeClaimTemplate") or {}) if isinstance(ephemeral, dict) else {}
    if isinstance(claim, dict) and isinstance(claim.get("spec"), dict):
        _default(claim["spec"], "volumeMode", "Filesystem")


def _projections(volume: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Give what a volume's files come from: its downward API, and each source of a projected volume."""
    if isinstance(downward := volume.get("downwardAPI"), dict):
        yield downward
    projected = volume.get("projected")
    for source in _objects(projected.get("sources")) if isinstance(projected, dict) else ():
        yield source
        if isinstance(downward := source.get("downwardAPI"), dict):
            yield downward


def _is_latest(image: str) -> bool:
    """Tell whether an image reference may mean another image tomorrow: no digest, and no tag or ``latest``."""
    if "@" in image:
        return False
    _, _, tag = image.rpartition("/")[2].partition(":")
    return tag in ("", "latest")


def _containers_of(spec: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name in _CONTAINERS:
        yield from _objects(spec.get(name))


def _objects(items: Any) -> Iterator[dict[str, Any]]:
    """Give the objects of a list, passing over whatever is malformed."""
    return (item for item in items if isinstance(item, dict)) if isinstance(items, list) else iter(())


def _default(target: dict[str, Any], name: str, value: Any) -> None:
    if target.get(name) is None:
        target[name] = value


def _amount(value: Any) -> Any:
    try:
        return parse_quantity(value) if value is not None else None
    except ValueError:
        return None
