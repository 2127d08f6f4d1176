"""Pod addresses in the loopback network, and the names that resolve to them.

Each Pod has an address of its own in 127.0.0.0/8, so that fixed ports do not collide. Names of Services and Pods stand
in one hosts file per namespace, which the sandbox shows to containers as ``/etc/hosts``. That file is mounted, so it is
rewritten in place, with one write. Must not know how processes start. Next: ``agent``.

Source: Kubernetes "DNS for Services and Pods" (names), without a DNS server.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from beamhall.embedded.agent.directory import safe_name
from beamhall.embedded.agent.facts import has_ended, spec_of
from beamhall.embedded.agent.proxy.table import cluster_address
from beamhall.kernel.label_index import Carriers, Choosers
from beamhall.kernel.objects import ReadOnlyObject, labels_of, name_of, namespace_of, uid_of

CLUSTER_DOMAIN = "cluster.local"


class Addresses:
    """Gives each Pod an address that no other living Pod has.

    Args:
        network: Where from, such as ``127.64.0.0/11``.
    """

    def __init__(self, network: str | ipaddress.IPv4Network) -> None:
        block = ipaddress.IPv4Network(network)
        if not block.subnet_of(ipaddress.IPv4Network("127.0.0.0/8")):
            raise ValueError(f"Pod network {network} must lie in 127.0.0.0/8: other addresses need privileges")
        self._first = int(block.network_address) + 1
        self._size = block.num_addresses - 2
        self._next = 0
        self._by_uid: dict[str, str] = {}
        self._taken: set[str] = set()

    def restore(self, uid: str, address: str) -> None:
        """Take in what a Pod had before the service started."""
        if address:
            self._by_uid[uid] = address
            self._taken.add(address)

    def of(self, uid: str) -> str:
        """Give a Pod's address, choosing one at first. They go round, so that one is not soon used again."""
        address = self._by_uid.get(uid)
        if address is not None:
            return address
        for _ in range(self._size):
            candidate = str(ipaddress.IPv4Address(self._first + self._next))
            self._next = (self._next + 1) % self._size
            if candidate not in self._taken:
                self.restore(uid, candidate)
                return candidate
        raise RuntimeError("every address of the Pod network is taken")

    def early(self, uid: str) -> str:
        """Give an address to a Pod that waits for a node, or none: many that wait must leave some for those here."""
        if uid not in self._by_uid and len(self._taken) >= self._size // 2:
            return ""
        return self.of(uid)

    def release(self, uid: str) -> None:
        """Take a Pod's address back: none of its processes is left."""
        address = self._by_uid.pop(uid, None)
        self._taken.discard(address or "")


@dataclass(frozen=True, slots=True)
class Name:
    """A Pod as far as names are concerned."""

    namespace: str
    name: str
    hostname: str
    subdomain: str
    labels: Mapping[str, str]
    address: str


def hostname_of(pod: ReadOnlyObject) -> str:
    """Give the host name that a Pod has: stated, or its name cut to what a host name may be."""
    return str(spec_of(pod).get("hostname") or name_of(pod)[:63].rstrip("-."))


def service_lines(service: ReadOnlyObject, pods: Sequence[Name]) -> Sequence[tuple[str, str]]:
    """Give the (address, qualified name) pairs of a Service: its own, and those of its Pods that have a subdomain.

    A Service with a cluster address has that one, where the proxy listens; a headless one those of its Pods, which is
    also how they find each other before they are ready.

    Args:
        service: The Service; one without selector has no Pods.
        pods: The Pods of its namespace that its selector matches.
    """
    name, namespace = name_of(service), namespace_of(service)
    own = cluster_address(service)
    pairs = [(address, f"{name}.{namespace}") for address in ([own] if own else [pod.address for pod in pods])]
    pairs += [(p.address, f"{p.hostname}.{name}.{namespace}") for p in pods if p.subdomain == name]
    return pairs


def alias_lines(pod: ReadOnlyObject) -> str:
    """Write a Pod's ``hostAliases`` as lines of a hosts file; empty: it has none."""
    aliases = spec_of(pod).get("hostAliases") or ()
    lines = ["\t".join([str(a.get("ip") or ""), *map(str, a.get("hostnames") or ())]) for a in aliases]
    return "\n".join(["", "# Entries added by HostAliases.", *lines]) + "\n" if lines else ""


def hosts_text(host: str, namespace: str, lines: Sequence[tuple[str, str]], pods: Sequence[Name]) -> str:
    """Write the hosts file of a namespace.

    Args:
        host: The machine's own hosts file.
        namespace: Whose Pods will see it: Services of this namespace have their short names too.
        lines: What ``service_lines`` gave for every Service.
        pods: The Pods of the namespace.
    """
    text = [host.rstrip("\n"), "# Beamhall: Services and Pods"]
    own = f".{namespace}"
    for address, name in lines:
        short = f" {name.removesuffix(own)}" if name.endswith(own) else ""
        text.append(f"{address}\t{name}.svc.{CLUSTER_DOMAIN} {name}.svc {name}{short}")
    text += [f"{pod.address}\t{pod.hostname}" for pod in pods]
    return "\n".join(text) + "\n"


@dataclass(slots=True)
class Names:
    """Keeps the hosts files.

    Attributes:
        directory: ``DIR/network``.
        host: The machine's own hosts file, as text.
    """

    directory: Path
    host: str
    _pods: dict[str, Name] = field(default_factory=dict)
    _services: dict[str, dict[str, ReadOnlyObject]] = field(default_factory=dict)
    _addressed: dict[str, dict[str, ReadOnlyObject]] = field(default_factory=dict)  # few of many: jobs' have none
    _aliases: dict[str, tuple[str, str]] = field(default_factory=dict)
    _carriers: Carriers = field(default_factory=Carriers)  # Pods, by namespace and uid
    _choosers: Choosers = field(default_factory=Choosers)  # Services
    _lines: dict[tuple[str, str], Sequence[tuple[str, str]]] = field(default_factory=dict)
    _stale: set[str] = field(default_factory=set)
    _known: set[str] = field(default_factory=set)

    def set_pod(self, pod: ReadOnlyObject, address: str) -> None:
        """Take in a Pod, or what changed of it."""
        if has_ended(pod) or not address:
            self.remove_pod(uid_of(pod))
            return
        subdomain = str(spec_of(pod).get("subdomain") or "")
        labels = dict(labels_of(pod))
        name = Name(namespace_of(pod), name_of(pod), hostname_of(pod), subdomain, labels, address)
        if aliases := alias_lines(pod):
            self._aliases[uid_of(pod)] = namespace_of(pod), aliases
        before = self._pods.get(uid_of(pod))
        if before != name:
            self._pods[uid_of(pod)] = name
            self._carriers.put((name.namespace, uid_of(pod)), labels)
            self._touch(name, before)

    def remove_pod(self, uid: str) -> None:
        """Forget a Pod."""
        if alias := self._aliases.pop(uid, None):
            self._path(alias[0], uid).unlink(missing_ok=True)
        before = self._pods.pop(uid, None)
        if before is not None:
            self._carriers.drop((before.namespace, uid))
            self._touch(before, None)

    def set_services(self, services: Sequence[ReadOnlyObject]) -> None:
        """Take in all Services there are."""
        there = {(namespace_of(service), name_of(service)) for service in services}
        for namespace, name in [(ns, name) for ns, named in self._services.items() for name in named]:
            if (namespace, name) not in there:
                self.remove_service((namespace, name))
        for service in services:
            self.set_service(service)

    def set_service(self, service: ReadOnlyObject) -> None:
        """Take in a Service, or what changed of it."""
        key = (namespace_of(service), name_of(service))
        self._services.setdefault(key[0], {})[key[1]] = service
        self._choosers.put(key, _selector(service))
        if ((service.get("spec") or {}).get("clusterIP") or "None") == "None":
            self._addressed.get(key[0], {}).pop(key[1], None)
        else:
            self._addressed.setdefault(key[0], {})[key[1]] = service
        self._recompute(key)

    def remove_service(self, key: tuple[str, str]) -> None:
        """Forget a Service by (namespace, name)."""
        if self._services.get(key[0], {}).pop(key[1], None) is not None:
            self._choosers.drop(key)
            self._addressed.get(key[0], {}).pop(key[1], None)
            self._recompute(key)

    def addressed(self, namespace: str) -> Sequence[ReadOnlyObject]:
        """Give the Services of a namespace that have an address of their own."""
        return list(self._addressed.get(namespace, {}).values())

    def service(self, namespace: str, name: str) -> ReadOnlyObject | None:
        """Give a Service, None if there is none of that name."""
        return self._services.get(namespace, {}).get(name)

    def file(self, namespace: str, uid: str = "") -> Path:
        """Give the hosts file of a namespace, or of a Pod in it that has aliases of its own, up to date."""
        if namespace not in self._known:
            self._known.add(namespace)
            self._stale.add(namespace)
        own = uid if uid in self._aliases else ""
        if own and not self._path(namespace, own).exists():
            self._stale.add(namespace)
        self.flush()
        return self._path(namespace, own)

    @property
    def is_stale(self) -> bool:
        """Whether a file that is in use says something else than it should."""
        return bool(self._stale & self._known)

    def flush(self) -> None:
        """Bring the files that are in use up to date."""
        if not self.is_stale:
            return
        lines = [pair for key in sorted(self._lines) for pair in self._lines[key]]
        for namespace in self._stale & self._known:
            pods = sorted((p for p in self._pods.values() if p.namespace == namespace), key=lambda p: p.name)
            text = hosts_text(self.host, namespace, lines, pods)
            _rewrite(self._path(namespace), text)
            for uid, (where, aliases) in self._aliases.items():
                if where == namespace:
                    _rewrite(self._path(namespace, uid), text + aliases)
            self._stale.discard(namespace)

    def _path(self, namespace: str, uid: str = "") -> Path:
        return self.directory / safe_name(namespace) / (f"hosts-{safe_name(uid)}" if uid else "hosts")

    def _touch(self, pod: Name, before: Name | None) -> None:
        self._stale.add(pod.namespace)
        labels = [pod.labels, *([before.labels] if before is not None else [])]
        for key in {key for some in labels for key in self._choosers.of(pod.namespace, some)}:
            self._recompute(key)

    def _recompute(self, key: tuple[str, str]) -> None:
        service = self._services.get(key[0], {}).get(key[1])
        lines: Sequence[tuple[str, str]] = ()
        if service is not None:
            selector = _selector(service)
            uids = [uid for _, uid in self._carriers.of(key[0], selector)] if selector else []
            lines = service_lines(service, sorted((self._pods[uid] for uid in uids), key=lambda pod: pod.name))
        if list(lines) != list(self._lines.get(key, ())):
            self._lines[key] = lines
            self._stale.update(self._known)  # every namespace sees every Service
        if not lines:
            self._lines.pop(key, None)


def _selector(service: ReadOnlyObject) -> Mapping[str, str]:
    return (service.get("spec") or {}).get("selector") or {}


def _rewrite(path: Path, text: str) -> None:
    """Write in place: the file is mounted in running Pods. A reader sees the old text, or the new one."""
    is_there = path.exists()
    if not is_there:
        path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode()
    with path.open("r+b" if is_there else "wb", buffering=0) as stream:
        stream.write(content)
        stream.truncate(len(content))
