"""What a container's security context asks for, and what of it this service can do. Pure.

A service that runs as root can give containers users, groups and fewer capabilities; any other runs all as itself. What
cannot be had is named, so that the Pod gets an event; what must not be done without is refused.

Source: Kubernetes "Configure a Security Context"; ``pkg/kubelet/kuberuntime/security_context.go`` for the refusals.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beamhall.embedded.agent.environment import ConfigError
from beamhall.embedded.agent.facts import spec_of
from beamhall.embedded.agent.sandbox import UNCONFINED, Confinement, Identity
from beamhall.kernel.objects import ReadOnlyObject, name_of, namespace_of, uid_of

Context = Mapping[str, Any]
_CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip
"""In the order of their numbers. Source: capability.h."""


@dataclass(frozen=True, slots=True)
class Service:
    """Who the service is.

    Attributes:
        uid: Its user.
        gid: Its group.
        groups: All groups that it is in.
        has_mounts: Whether containers can have mounts of their own.
    """

    uid: int
    gid: int
    groups: frozenset[int]
    has_mounts: bool


@dataclass(frozen=True, slots=True)
class Security:
    """How a container is confined, and what was asked for beyond that and cannot be had."""

    confinement: Confinement = UNCONFINED
    unmet: tuple[str, ...] = ()


def security_of(pod: ReadOnlyObject, container: Mapping[str, Any], service: Service) -> Security:
    """Tell how a container is to be confined.

    Raises:
        ConfigError: It must not run as root, and would.
    """
    of_pod: Context = spec_of(pod).get("securityContext") or {}
    own: Context = container.get("securityContext") or {}
    context = {**of_pod, **own}
    _refuse_root(pod, container, context, service)
    is_root = service.uid == 0
    wants_read_only = bool(own.get("readOnlyRootFilesystem"))
    confinement = Confinement(
        identity=_identity(context, of_pod, service) if is_root else None,
        no_new_privileges=own.get("allowPrivilegeEscalation") is False,
        dropped=tuple(_dropped(own.get("capabilities") or {})) if is_root else (),
        read_only_root=wants_read_only and service.has_mounts,
    )
    return Security(confinement, tuple(_unmet(context, own, service)))


def fs_group(pod: ReadOnlyObject, service_uid: int) -> int | None:
    """Give the group that the Pod's volumes are to belong to, where the service may give them to one."""
    group = (spec_of(pod).get("securityContext") or {}).get("fsGroup")
    return int(group) if group is not None and service_uid == 0 else None


def unmet_message(container: str, security: Security, service_uid: int) -> str:
    """Say what a container does not get; empty: it gets all."""
    if not security.unmet:
        return ""
    asked = ", ".join(security.unmet)
    return f"container {container} runs as user {service_uid} without {asked}: that needs a service that runs as root"


def _refuse_root(pod: ReadOnlyObject, container: Mapping[str, Any], context: Context, service: Service) -> None:
    if not context.get("runAsNonRoot") or service.uid != 0:
        return
    whose = f'(pod: "{name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})", container: {container["name"]})'
    user = context.get("runAsUser")
    if user is None:
        raise ConfigError(f"container has runAsNonRoot and image will run as root {whose}")
    if int(user) == 0:
        raise ConfigError(f"container's runAsUser breaks non-root policy {whose}")


def _identity(context: Context, of_pod: Context, service: Service) -> Identity | None:
    user, group = context.get("runAsUser"), context.get("runAsGroup")
    extra = [*(of_pod.get("supplementalGroups") or ()), of_pod.get("fsGroup")]
    groups = tuple(sorted({int(number) for number in extra if number is not None}))
    uid = service.uid if user is None else int(user)
    # As in a container whose image knows no such user, its group is root's, unless it is stated.
    gid = 0 if group is None else int(group)
    return None if (uid, gid) == (service.uid, service.gid) and not groups else Identity(uid, gid, groups)


def _dropped(capabilities: Mapping[str, Any]) -> Iterator[int]:
    drop, add = ({str(n).upper().removeprefix("CAP_") for n in capabilities.get(f) or ()} for f in ("drop", "add"))
    for number, name in enumerate(_CAPABILITIES):
        if (name in drop or "ALL" in drop) and name not in add and "ALL" not in add:
            yield number


def _unmet(context: Context, own: Context, service: Service) -> Iterator[str]:
    if own.get("readOnlyRootFilesystem") and not service.has_mounts:
        yield "readOnlyRootFilesystem (see beamhall doctor)"
    if service.uid == 0:
        return
    for field, is_met in (("runAsUser", {service.uid}), ("runAsGroup", {service.gid}), ("fsGroup", service.groups)):
        if context.get(field) is not None and int(context[field]) not in is_met:
            yield f"{field} {context[field]}"
    groups: Sequence[Any] = context.get("supplementalGroups") or ()
    if any(int(group) not in service.groups for group in groups):
        yield f"supplementalGroups {', '.join(map(str, groups))}"
    if (own.get("capabilities") or {}).get("add"):
        yield f"capabilities {', '.join(own['capabilities']['add'])}"
