"""From a container of a Pod to the specification of its processes.

``read_sources`` asks the API for what the container refers to; ``container_spec`` puts everything together. What runs
afterwards is ``sandbox``'s; when it runs is ``lifecycle``'s.
"""

import os
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beamhall.catalog.installs import Install
from beamhall.client.protocol import Client
from beamhall.embedded.agent.api_access import without_access
from beamhall.embedded.agent.components import Component, recognise, with_interpreter
from beamhall.embedded.agent.confining import confined_mounts
from beamhall.embedded.agent.directory import PodDirectory
from beamhall.embedded.agent.environment import (
    Data,
    Place,
    Sources,
    command_line,
    complete_variables,
    cpu_count,
    expand,
    references,
    user_variables,
)
from beamhall.embedded.agent.facts import chooses_ports_on_loopback, on_host_network
from beamhall.embedded.agent.images import Prepared
from beamhall.embedded.agent.limits.limits import Limits
from beamhall.embedded.agent.network import hostname_of
from beamhall.embedded.agent.projections import decode_secret
from beamhall.embedded.agent.sandbox import UNCONFINED, ContainerSpec, Mount, WarmStart
from beamhall.embedded.agent.security import Service, security_of
from beamhall.embedded.agent.settings import AgentSettings
from beamhall.embedded.agent.volumes import Roots, mounts_of
from beamhall.kernel.errors import NotFound
from beamhall.kernel.kinds import CONFIG_MAP, SECRET
from beamhall.kernel.names import STEP_ROOT_ANNOTATION
from beamhall.kernel.objects import ReadOnlyObject, annotations_of, namespace_of

_MESSAGE_PATH = "/dev/termination-log"
_REFUSE = 'printf "%s\\n" "$0" >&2; exit 1'
_TMP = "/tmp"  # noqa: S108  inside of containers


@dataclass(frozen=True, slots=True)
class Ground:
    """What a container stands on.

    Attributes:
        own: The Pod's directory.
        roots: Where volumes may be.
        prepared: The environment that stands for the image.
        address: The Pod's address.
        hosts_file: Its names.
        gpus: GPUs it was given.
        settings: The agent's.
        passed: Variables of the host that are passed on.
        service: Who this service is, and whether containers can have mounts of their own.
        limits: What containers may use.
        installs: What was installed on top of the image's environment, as the command line asks for it.
        refusal: Why that could not be installed; empty: it could.
    """

    own: PodDirectory
    roots: Roots
    prepared: Prepared
    address: str
    hosts_file: Path | None
    gpus: Sequence[str]
    settings: AgentSettings
    passed: Mapping[str, str]
    service: Service
    limits: Limits
    installs: tuple[Install, ...] = ()
    refusal: str = ""


def passed_variables(settings: AgentSettings, host: Mapping[str, str]) -> Mapping[str, str]:
    """Choose the variables of the service's own environment that Pods get."""
    return {name: host[name] for name in settings.passed_through if name in host} | dict(settings.env)


def agent_fields(address: str, host_ip: str) -> Mapping[str, str]:
    """Give the fields of a Pod that only the agent knows."""
    return {
        "status.podIP": address,
        "status.podIPs": address,
        "status.hostIP": host_ip,
        "status.hostIPs": host_ip,
    }


async def read_sources(
    client: Client,
    pod: ReadOnlyObject,
    container: Mapping[str, Any],
    fields: Mapping[str, str],
    allocatable: Mapping[str, str],
) -> Sources:
    """Read the ConfigMaps and Secrets that a container's variables come from."""
    config_maps, secrets = references(container)
    namespace = namespace_of(pod)
    return Sources(
        {name: await _config_map(client, name, namespace) for name in sorted(config_maps)},
        {name: await _secret(client, name, namespace) for name in sorted(secrets)},
        allocatable,
        fields,
    )


def container_spec(
    pod: ReadOnlyObject, container: Mapping[str, Any], attempt: int, ground: Ground, sources: Sources
) -> ContainerSpec:
    """Put together what is to be started. Makes the container's scratch directory if it needs one.

    Raises:
        ConfigError: The spec cannot be met as things are.
    """
    own, prepared, name = ground.own, ground.prepared, str(container["name"])
    variables = user_variables(pod, container, sources)
    component = _component(command_line(container, variables, prepared.entrypoint, prepared.command), ground)
    argv = with_interpreter(component.argv, sys.executable)
    mounts = mounts_of(pod, container, own, ground.roots, variables)
    if not ground.service.has_mounts:
        mounts = without_access(own, mounts, variables, namespace_of(pod))
    tmp, mounts = _with_tmp(ground, name, mounts)
    if ground.service.has_mounts and (path := message_path(container, argv, variables)):
        message = own.message(name, attempt)
        message.touch()
        message.chmod(0o666)
        mounts = [*mounts, Mount(source=message, target=path)]
    confinement = security_of(pod, container, ground.service).confinement
    if confinement != UNCONFINED:
        private = (own.home, own.scratch(name), own.tmp(name))
        results = annotations_of(pod).get(STEP_ROOT_ANNOTATION, "")
        seen = confined_mounts(own, prepared, confinement, private, results)
        mounts = [*(seen if ground.service.has_mounts else ()), *mounts]
    place = Place(
        bin=str(prepared.bin),
        image_env=prepared.env,
        image_path=prepared.image.path,
        home=str(own.home),
        tmp=tmp,
        hostname=hostname_of(pod),
        threads=cpu_count(container, len(os.sched_getaffinity(0))),
        gpus=ground.gpus,
        passed=ground.passed,
    )
    is_interactive = bool(container.get("stdin") or container.get("tty"))
    return ContainerSpec(
        directory=own.attempt(name, attempt),
        id=f"{own.uid}.{zlib.crc32(name.encode()):08x}.{attempt}",  # at most 64 characters
        argv=argv,
        env=complete_variables(place, variables),
        cwd=expand(str(container.get("workingDir") or ""), variables) or prepared.workdir or str(own.scratch(name)),
        mounts=mounts,
        hostname=place.hostname,
        address="" if on_host_network(pod) else ground.address,
        chosen_ports="127.0.0.1" if chooses_ports_on_loopback(pod) else "",
        hosts_file=ground.hosts_file,
        log_max_bytes=ground.settings.log_max_bytes,
        log_max_files=ground.settings.log_max_files,
        confinement=confinement,
        warm=_warm(ground, component) if confinement == UNCONFINED and not is_interactive else None,
        direct=component.direct,
        stdin=bool(container.get("stdin")),
        tty=bool(container.get("tty")),
        cgroups=ground.limits.groups_of(pod, container, attempt),
        niceness=ground.limits.niceness_of(pod),
        tenant=namespace_of(pod),
    )


def message_path(container: Mapping[str, Any], argv: Sequence[str], variables: Mapping[str, str]) -> str:
    """Give where a container finds the file for its termination message; empty: it needs none.

    The usual path lies in ``/dev``, where a mount costs a millisecond and hides devices that are made later. So there
    the file is mounted only for those whose command line or variables name the path.
    """
    path = os.path.normpath(str(container.get("terminationMessagePath") or _MESSAGE_PATH))
    if not path.startswith("/") or any(mount.get("mountPath") == path for mount in container.get("volumeMounts") or ()):
        return ""
    if path != _MESSAGE_PATH or any(_MESSAGE_PATH in text for text in (*argv, *variables.values())):
        return path
    return ""


def _component(argv: Sequence[str], ground: Ground) -> Component:
    """Give what is to be run, past what was installed already."""
    if ground.refusal:
        return Component((), ("/bin/sh", "-c", _REFUSE, ground.refusal))
    component = recognise(argv) if ground.settings.step_environments else Component((), tuple(argv))
    return component if component.installs == ground.installs else Component((), tuple(argv))


def _warm(ground: Ground, component: Component) -> WarmStart | None:
    prepared = ground.prepared
    modules = tuple(dict.fromkeys([*prepared.warm, *component.modules]))
    if not modules or not ground.settings.warm_start:
        return None
    own = component.direct.env if component.direct else {}
    return WarmStart(python=prepared.python, modules=modules, env={**prepared.env, **own})


def _with_tmp(ground: Ground, name: str, mounts: Sequence[Mount]) -> tuple[str, Sequence[Mount]]:
    """Choose TMPDIR, and mount a private ``/tmp`` unless something that the container needs is below the host's.

    A private one also keeps TMPDIR short: sockets that programs make there may have no long names.
    """
    own = ground.own.tmp(name)
    needed = (
        str(ground.own.path), str(ground.prepared.prefix), ground.prepared.workdir, *ground.prepared.image.path,
    )  # fmt: skip
    is_free = not any(path == _TMP or path.startswith(f"{_TMP}/") for path in needed)
    is_stated = any(mount.target == _TMP for mount in mounts)
    if is_stated and ground.service.has_mounts:
        return _TMP, mounts
    if not (is_free and ground.service.has_mounts and ground.settings.private_tmp):
        return str(own), mounts
    return _TMP, [Mount(source=own, target=_TMP), *mounts]


async def _config_map(client: Client, name: str, namespace: str) -> Data | None:
    try:
        found = await client.get(CONFIG_MAP, name, namespace)
    except NotFound:
        return None
    return {key: str(value) for key, value in (found.get("data") or {}).items()}


async def _secret(client: Client, name: str, namespace: str) -> Data | None:
    try:
        found = await client.get(SECRET, name, namespace)
    except NotFound:
        return None
    return {key: value.decode(errors="replace") for key, value in decode_secret(found).items()}
