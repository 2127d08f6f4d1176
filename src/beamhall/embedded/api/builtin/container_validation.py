"""What the containers of a Pod may be: names, images, ports, environment, mounts, probes.

That required fields are there is ``requirements``' business. Source: Kubernetes API reference, Container v1 core.
"""

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

from beamhall.embedded.api.builtin.causes import (
    duplicate,
    forbidden,
    in_range,
    invalid,
    matching,
    non_negative,
    not_found,
    one_of,
    required,
)
from beamhall.embedded.api.builtin.resource_validation import validate_resources
from beamhall.embedded.api.builtin.volume_validation import validate_relative_path
from beamhall.kernel import names
from beamhall.kernel.errors import Cause

Part = Mapping[str, Any]

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_SCHEMES = ("HTTP", "HTTPS")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_ASKED = ("exec", "httpGet", "tcpSocket", "grpc")
_CALLED = ("exec", "httpGet", "tcpSocket", "sleep")
_ENV_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_FIELD_PATHS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_KEYED_FIELD_PATH = re.compile(r"metadata\.(labels|annotations)\['[^']+'\]")
_PORT_NAME = re.compile(r"(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
_ENV_NAME = re.compile(r"[ -<>-~]+")


def validate_containers(spec: Part, path: str) -> Iterator[Cause]:
    """Check the containers, of all sorts, of a Pod's spec at ``path``."""
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()}
    seen: set[str] = set()
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for number, container in enumerate(spec.get(field) or ()):
            here, name = f"{path}.{field}[{number}]", container.get("name")
            if name:
                yield from matching(f"{here}.name", name, names.label_problem(name))
                if name in seen:
                    yield duplicate(f"{here}.name", name)
                seen.add(name)
            yield from _validate_container(container, here, volumes)
            if field == "initContainers":
                yield from _validate_init(container, here)
            elif field == "containers" and container.get("restartPolicy"):
                yield forbidden(f"{here}.restartPolicy", "may not be set for non-init containers")


def _validate_container(container: Part, path: str, volumes: Set[Any]) -> Iterator[Cause]:
    image = container.get("image")
    if not image:
        yield required(f"{path}.image")
    elif image != image.strip():
        yield invalid(f"{path}.image", image, "must not have leading or trailing whitespace")
    yield from one_of(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), _PULL_POLICIES)
    yield from one_of(f"{path}.terminationMessagePolicy", container.get("terminationMessagePolicy"), _MESSAGE_POLICIES)
    yield from _validate_ports(container.get("ports") or (), f"{path}.ports")
    yield from _validate_environment(container, path)
    yield from _validate_mounts(container.get("volumeMounts") or (), f"{path}.volumeMounts", volumes)
    yield from validate_resources(container.get("resources") or {}, f"{path}.resources")
    for field in _PROBES:
        if container.get(field) is not None:
            yield from _validate_probe(container[field], f"{path}.{field}", once=field != "readinessProbe")
    for field in ("postStart", "preStop"):
        handler = (container.get("lifecycle") or {}).get(field)
        if handler is not None:
            yield from _validate_handler(handler, f"{path}.lifecycle.{field}", _CALLED)


def _validate_init(container: Part, path: str) -> Iterator[Cause]:
    policy = container.get("restartPolicy")
    yield from one_of(f"{path}.restartPolicy", policy, ("Always",))
    if policy == "Always":
        return
    for field in (*_PROBES, "lifecycle"):
        if container.get(field):
            yield forbidden(f"{path}.{field}", "may not be set for init containers without restartPolicy=Always")


def _validate_ports(ports: Sequence[Part], path: str) -> Iterator[Cause]:
    seen = set()
    for number, port in enumerate(ports):
        here, name = f"{path}[{number}]", port.get("name")
        yield from in_range(f"{here}.containerPort", port.get("containerPort"), 1, 65535)
        if port.get("hostPort"):
            yield from in_range(f"{here}.hostPort", port["hostPort"], 1, 65535)
        yield from one_of(f"{here}.protocol", port.get("protocol"), _PROTOCOLS)
        if name:
            yield from validate_port_name(name, f"{here}.name")
            if name in seen:
                yield duplicate(f"{here}.name", name)
            seen.add(name)


def validate_port_name(name: str, path: str) -> Iterator[Cause]:
    """Check a name of a port. Source: RFC 6335, service names, in lower case."""
    if not _PORT_NAME.fullmatch(name):
        yield invalid(
            path,
            name,
            "must be 1 to 15 lower-case letters, digits or single '-' between them, with at least one letter (http)",
        )


def validate_port_reference(port: Any, path: str) -> Iterator[Cause]:
    """Check a port that is given by number or by name."""
    if isinstance(port, str) and port:
        yield from validate_port_name(port, path)
    elif isinstance(port, int):
        yield from in_range(path, port, 1, 65535)


def _validate_environment(container: Part, path: str) -> Iterator[Cause]:
    for number, variable in enumerate(container.get("env") or ()):
        here, name = f"{path}.env[{number}]", variable.get("name")
        if name and not _ENV_NAME.fullmatch(name):
            yield invalid(
                f"{here}.name", name, "a valid environment variable name has printable characters other than '='"
            )
        if variable.get("valueFrom") is not None:
            yield from _validate_value_from(variable, here)
    for number, source in enumerate(container.get("envFrom") or ()):
        here = f"{path}.envFrom[{number}]"
        given = [field for field in ("configMapRef", "secretRef") if source.get(field) is not None]
        if not given:
            yield invalid(here, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(given) > 1:
            yield invalid(here, "", "may not have more than one field specified at a time")
        elif not source[given[0]].get("name"):
            yield required(f"{here}.{given[0]}.name")


def _validate_value_from(variable: Part, path: str) -> Iterator[Cause]:
    source = variable["valueFrom"]
    given = [field for field in _ENV_SOURCES if source.get(field) is not None]
    if variable.get("value"):
        yield invalid(f"{path}.valueFrom", "", "may not be specified when `value` is not empty")
    if not given:
        yield invalid(
            f"{path}.valueFrom",
            "",
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
        )
    elif len(given) > 1:
        yield invalid(f"{path}.valueFrom", "", "may not have more than one field specified at a time")
    for field in ("configMapKeyRef", "secretKeyRef"):
        if field in given and not source[field].get("name"):
            yield required(f"{path}.valueFrom.{field}.name")
    field_path = (source.get("fieldRef") or {}).get("fieldPath")
    if field_path and field_path not in _FIELD_PATHS and not _KEYED_FIELD_PATH.fullmatch(field_path):
        yield from one_of(f"{path}.valueFrom.fieldRef.fieldPath", field_path, _FIELD_PATHS)


def _validate_mounts(mounts: Sequence[Part], path: str, volumes: Set[Any]) -> Iterator[Cause]:
    seen = set()
    for number, mount in enumerate(mounts):
        here, mount_path = f"{path}[{number}]", mount.get("mountPath")
        if mount.get("name") and mount["name"] not in volumes:
            yield not_found(f"{here}.name", mount["name"])
        if mount_path:
            if mount_path in seen:
                yield invalid(f"{here}.mountPath", mount_path, "must be unique")
            seen.add(mount_path)
        if mount.get("subPath") and mount.get("subPathExpr"):
            yield invalid(f"{here}.subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive")
        for field in ("subPath", "subPathExpr"):
            yield from validate_relative_path(mount.get(field) or "", f"{here}.{field}")


def _validate_probe(probe: Part, path: str, *, once: bool) -> Iterator[Cause]:
    yield from _validate_handler(probe, path, _ASKED)
    for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        yield from non_negative(f"{path}.{field}", probe.get(field))
    if once and probe.get("successThreshold") not in (None, 1):
        yield invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1")
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and not once:
        yield invalid(f"{path}.terminationGracePeriodSeconds", grace, "must not be set for readinessProbes")
    elif grace is not None and grace <= 0:
        yield invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0")


def _validate_handler(handler: Part, path: str, sorts: Sequence[str]) -> Iterator[Cause]:
    given = [field for field in sorts if handler.get(field) is not None]
    if not given:
        yield required(path, "must specify a handler type")
    for field in given[1:]:
        yield forbidden(f"{path}.{field}", "may not specify more than 1 handler type")
    for field in given[:1]:
        action, here = handler[field], f"{path}.{field}"
        yield from validate_port_reference(action.get("port"), f"{here}.port")
        if field == "exec" and not action.get("command"):
            yield required(f"{here}.command")
        if field == "httpGet":
            yield from one_of(f"{here}.scheme", action.get("scheme"), _SCHEMES)
