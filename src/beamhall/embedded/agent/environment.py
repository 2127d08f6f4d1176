"""What a container's program sees: its variables, command line and working directory.

Pure: what the API holds and where things are on this machine is handed in. Nothing of the service's own environment
gets through but the names that are passed on purpose, so no token of the service reaches a Pod.

Source: Kubernetes "Define environment variables", "Expose Pod information", ``third_party/forked/golang/expansion``.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from beamhall.kernel.objects import ReadOnlyObject, annotations_of, labels_of, metadata_of
from beamhall.kernel.quantities import parse_quantity

Data = Mapping[str, str]
"""The keys of a ConfigMap, or of a Secret with its values decoded as UTF-8."""

_REFERENCE = re.compile(r"\$(?:(?P<escape>\$)|\((?P<name>[^)]*)\))")
_SUBSCRIPT = re.compile(r"^metadata\.(?P<what>labels|annotations)\['(?P<key>[^']+)'\]$")
_CLUSTER_DOMAIN = "cluster.local"
_THREADS = (
    "OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT", "POLARS_MAX_THREADS", "PYTHON_CPU_COUNT", "RAYON_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)  # fmt: skip
"""Variables by which libraries are told how many threads or processes to use; they cannot see a container's limit.
OpenBLAS, MKL, numexpr, PyTorch and Arrow look at the first. TensorFlow's threads between operations are left alone:
with one of them, operations that wait for other processes can block each other."""

_VARIABLE_NAME = re.compile(r"^[^=\0]+$")


class ConfigError(Exception):
    """A container cannot be made from its spec as things are; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What variables may come from.

    Attributes:
        config_maps: Data by name; None: there is none of that name.
        secrets: Likewise.
        allocatable: The node's resources, which limits that are unset count as.
        fields: Fields of the Pod that only the agent knows: ``status.podIP`` and the like.
        services: The Services of the Pod's namespace.
        api: The Service that stands for the API itself, which every Pod is told of.
    """

    config_maps: Mapping[str, Data | None] = field(default_factory=dict)
    secrets: Mapping[str, Data | None] = field(default_factory=dict)
    allocatable: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    services: Sequence[ReadOnlyObject] = ()
    api: ReadOnlyObject | None = None


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``$(NAME)`` by its value; ``$$`` stands for ``$``; names that are not known stay as they are."""

    def value(match: re.Match[str]) -> str:
        if match["escape"]:
            return "$"
        return variables.get(match["name"], match[0])

    return _REFERENCE.sub(value, text)


def references(container: Mapping[str, Any]) -> tuple[frozenset[str], frozenset[str]]:
    """Give the names of the ConfigMaps and of the Secrets that a container's variables come from."""
    config_maps: set[str] = set()
    secrets: set[str] = set()
    for source in container.get("envFrom") or ():
        config_maps.update(_name(source.get("configMapRef")))
        secrets.update(_name(source.get("secretRef")))
    for variable in container.get("env") or ():
        origin = variable.get("valueFrom") or {}
        config_maps.update(_name(origin.get("configMapKeyRef")))
        secrets.update(_name(origin.get("secretKeyRef")))
    return frozenset(config_maps), frozenset(secrets)


def user_variables(pod: ReadOnlyObject, container: Mapping[str, Any], sources: Sources) -> dict[str, str]:
    """Give the variables that the container's spec states, later ones replacing earlier ones, and those of Services.

    Raises:
        ConfigError: A ConfigMap, Secret or key that is not optional is missing, or a field is unknown.
    """
    has_links = (pod.get("spec") or {}).get("enableServiceLinks") is not False
    told = [*(sources.services if has_links else ()), *((sources.api,) if sources.api is not None else ())]
    variables = service_variables(told)
    for source in container.get("envFrom") or ():
        variables.update(_from_all(source, sources))
    for variable in container.get("env") or ():
        name = str(variable["name"])
        if variable.get("valueFrom"):
            value = _from_one(pod, container, variable["valueFrom"], sources)
            if value is not None:
                variables[name] = value
        else:
            variables[name] = expand(str(variable.get("value") or ""), variables)
    return variables


def service_variables(services: Sequence[ReadOnlyObject]) -> dict[str, str]:
    """Give the variables by which programs find the Services of their namespace that have an address.

    Source: Kubernetes "Accessing the Service: Environment Variables", ``pkg/kubelet/envvars``.
    """
    variables: dict[str, str] = {}
    for service in services:
        spec = service.get("spec") or {}
        address, ports = str(spec.get("clusterIP") or "None"), spec.get("ports") or ()
        if address == "None" or not ports:
            continue
        name = _variable_name(str(metadata_of(service)["name"]))
        variables[f"{name}_SERVICE_HOST"] = address
        variables[f"{name}_SERVICE_PORT"] = str(ports[0]["port"])
        for port in ports:
            if port.get("name"):
                variables[f"{name}_SERVICE_PORT_{_variable_name(port['name'])}"] = str(port["port"])
        for number, port in enumerate(ports):
            variables.update(_link_variables(name, address, port, is_first=number == 0))
    return variables


def _link_variables(name: str, address: str, port: Mapping[str, Any], *, is_first: bool) -> Iterator[tuple[str, str]]:
    """Give the variables of one port in the form of Docker's links."""
    protocol, number = str(port.get("protocol") or "TCP"), port["port"]
    url, prefix = f"{protocol.lower()}://{address}:{number}", f"{name}_PORT_{number}_{protocol.upper()}"
    if is_first:
        yield f"{name}_PORT", url
    yield prefix, url
    yield f"{prefix}_PROTO", protocol.lower()
    yield f"{prefix}_PORT", str(number)
    yield f"{prefix}_ADDR", address


def _variable_name(name: str) -> str:
    return name.upper().replace("-", "_")


def field_value(pod: ReadOnlyObject, path: str, fields: Mapping[str, str]) -> str:
    """Give a field of the Pod for a ``fieldRef``.

    Args:
        pod: The object.
        path: Such as ``metadata.name`` or ``metadata.labels['app']``.
        fields: Values that only the agent knows, by path.

    Raises:
        ConfigError: The path is none that Kubernetes allows.
    """
    if path in fields:
        return fields[path]
    if match := _SUBSCRIPT.match(path):
        return (labels_of(pod) if match["what"] == "labels" else annotations_of(pod)).get(match["key"], "")
    if path in ("metadata.name", "metadata.namespace", "metadata.uid"):
        return str(metadata_of(pod).get(path.removeprefix("metadata.")) or "")
    if path in ("metadata.labels", "metadata.annotations"):
        entries = labels_of(pod) if path == "metadata.labels" else annotations_of(pod)
        return "\n".join(f"{key}={_quoted(value)}" for key, value in sorted(entries.items()))
    if path in ("spec.nodeName", "spec.serviceAccountName"):
        return str((pod.get("spec") or {}).get(path.removeprefix("spec.")) or "")
    raise ConfigError(f"field {path!r} cannot be used in a fieldRef")


def resource_value(container: Mapping[str, Any], reference: Mapping[str, Any], allocatable: Mapping[str, str]) -> str:
    """Give a limit or request for a ``resourceFieldRef``, in units of its divisor, rounded up.

    Raises:
        ConfigError: The resource is none that Kubernetes allows.
    """
    where, _, resource = str(reference.get("resource") or "").partition(".")
    if where not in ("limits", "requests") or not resource:
        raise ConfigError(f"resource {reference.get('resource')!r} cannot be used in a resourceFieldRef")
    resources = container.get("resources") or {}
    amount = (resources.get(where) or {}).get(resource)
    if amount is None and where == "limits":
        amount = allocatable.get(resource)
    divisor = parse_quantity(str(reference.get("divisor") or "1")) or Decimal(1)
    return str(math.ceil(parse_quantity(str(amount or "0")) / divisor))


def cpu_count(container: Mapping[str, Any], available: int) -> int:
    """Give how many threads a program should use: its cpu limit, else its request, else all; at least one."""
    resources = container.get("resources") or {}
    amount = (resources.get("limits") or {}).get("cpu") or (resources.get("requests") or {}).get("cpu")
    if not amount:
        return max(1, available)
    return max(1, min(available, math.floor(parse_quantity(str(amount)))))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a container runs on this machine.

    Attributes:
        bin: Directory of the environment's programs.
        image_env: Variables of the image and its environment.
        image_path: Directories of the image's own modules.
        home: HOME.
        tmp: TMPDIR.
        hostname: The Pod's host name.
        threads: How many threads a program should use.
        gpus: GPUs that were given, as CUDA names them; empty hides all.
        passed: Variables of the host that are passed on.
    """

    bin: str
    image_env: Mapping[str, str]
    image_path: Sequence[str]
    home: str
    tmp: str
    hostname: str
    threads: int
    gpus: Sequence[str]
    passed: Mapping[str, str]


def complete_variables(place: Place, variables: Mapping[str, str]) -> dict[str, str]:
    """Give every variable of the program; the container's own win over the image's, those over the machine's."""
    system_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    base = {
        "PATH": f"{place.bin}:{system_path}" if place.bin else system_path,
        "HOME": place.home,
        "TMPDIR": place.tmp,
        "HOSTNAME": place.hostname,
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        **dict.fromkeys(_THREADS, str(place.threads)),
    }
    merged = {**_past_proxies(place.passed, variables), **base, **place.image_env, **variables}
    merged["CUDA_VISIBLE_DEVICES"] = ",".join(place.gpus)
    if place.gpus:
        merged.setdefault("NVIDIA_VISIBLE_DEVICES", ",".join(place.gpus))
    if place.image_path:
        rest = [merged["PYTHONPATH"]] if merged.get("PYTHONPATH") else []
        merged["PYTHONPATH"] = ":".join([*rest, *place.image_path])
    return {name: value for name, value in merged.items() if _VARIABLE_NAME.match(name) and "\0" not in value}


def _past_proxies(passed: Mapping[str, str], variables: Mapping[str, str]) -> Mapping[str, str]:
    """Let programs reach the API and Services without the proxy that the machine needs for the world outside."""
    address = variables.get("KUBERNETES_SERVICE_HOST")
    if not address or not any(name.lower().endswith("_proxy") for name in passed):
        return passed
    own = f"{address},.svc,.{_CLUSTER_DOMAIN}"
    names = ("NO_PROXY", "no_proxy")
    return {**passed, **{name: ",".join(filter(None, (passed.get(name), own))) for name in names}}


def command_line(
    container: Mapping[str, Any], variables: Mapping[str, str], entrypoint: Sequence[str], command: Sequence[str]
) -> Sequence[str]:
    """Give the program and its arguments.

    Args:
        container: Its ``command`` replaces the image's entrypoint, its ``args`` the image's command.
        variables: For ``$(NAME)``.
        entrypoint: The image's.
        command: The image's default arguments; not used where the container has a ``command``.

    Raises:
        ConfigError: Neither the container nor its image says what to run.
    """
    own_command = [expand(str(word), variables) for word in container.get("command") or ()]
    own_args = [expand(str(word), variables) for word in container.get("args") or ()]
    if own_command:
        return [*own_command, *own_args]
    line = [*entrypoint, *(own_args or command)]
    if not line or line[0].startswith("-"):  # no program is called so: these are for an entrypoint
        what = "only arguments" if line else "no command"
        raise ConfigError(
            f"no command specified: container {container['name']!r} has {what}, and image"
            f" {container.get('image', '')!r} has no entrypoint in the catalog; set spec.containers[].command,"
            " or say what the image runs: beamhall images add IMAGE --environment NAME --entrypoint COMMAND"
        )
    return line


def _from_all(source: Mapping[str, Any], sources: Sources) -> Iterator[tuple[str, str]]:
    prefix = str(source.get("prefix") or "")
    for field_name, held, what in (
        ("configMapRef", sources.config_maps, "configmap"),
        ("secretRef", sources.secrets, "secret"),
    ):
        reference = source.get(field_name)
        if reference is None:
            continue
        data = _data(reference, held, what)
        for key, value in (data or {}).items():
            yield prefix + key, value


def _from_one(
    pod: ReadOnlyObject, container: Mapping[str, Any], origin: Mapping[str, Any], sources: Sources
) -> str | None:
    """Give a value, or None where an optional one is missing: the variable is then not set."""
    if reference := origin.get("fieldRef"):
        return field_value(pod, str(reference.get("fieldPath") or ""), sources.fields)
    if reference := origin.get("resourceFieldRef"):
        return resource_value(container, reference, sources.allocatable)
    if reference := origin.get("configMapKeyRef"):
        return _key(reference, sources.config_maps, "configmap")
    if reference := origin.get("secretKeyRef"):
        return _key(reference, sources.secrets, "secret")
    raise ConfigError(f"valueFrom {sorted(origin)} is not supported; use fieldRef, resourceFieldRef or a key reference")


def _key(reference: Mapping[str, Any], held: Mapping[str, Data | None], what: str) -> str | None:
    data = _data(reference, held, what)
    key = str(reference.get("key") or "")
    if data is not None and key in data:
        return data[key]
    if reference.get("optional"):
        return None
    raise ConfigError(f"couldn't find key {key} in {what} {reference.get('name')}")


def _data(reference: Mapping[str, Any], held: Mapping[str, Data | None], what: str) -> Data | None:
    data = held.get(str(reference.get("name") or ""))
    if data is None and not reference.get("optional"):
        raise ConfigError(f'{what} "{reference.get("name")}" not found')
    return data


def _name(reference: Mapping[str, Any] | None) -> Iterator[str]:
    if reference and reference.get("name"):
        yield str(reference["name"])


def _quoted(value: str) -> str:
    """Quote as Go's ``%q`` does for text of one line."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'
