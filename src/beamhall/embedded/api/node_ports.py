"""Node ports of Services: each port of a NodePort Service has one on the machine that no other has.

Source: Kubernetes "Service", section "type: NodePort"; the range is kube-apiserver's default.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from beamhall.embedded.api.core import Operation
from beamhall.embedded.api.resources import Resource
from beamhall.embedded.store.store import Store
from beamhall.kernel.errors import Cause, Invalid, ServiceUnavailable
from beamhall.kernel.kinds import SERVICE
from beamhall.kernel.objects import Object, ReadOnlyObject, name_of, uid_of

PORTS = range(30000, 32768)
_TYPES = ("NodePort", "LoadBalancer")


class NodePorts:
    """Gives out node ports. An ``Admission``, and an ``Observer`` to know what is taken.

    Args:
        store: Where Services are.
        random: Which port is tried first.
    """

    def __init__(self, store: Store, random: Random) -> None:
        self._random = random
        self._held: dict[str, frozenset[int]] = {}
        self._reserved: Counter[int] = Counter()
        for service in store.list(SERVICE.resource).items:
            self._hold(service)

    def written(self, resource: Resource, obj: ReadOnlyObject, *, is_gone: bool) -> None:
        """Note what a Service holds."""
        if resource.kind != SERVICE:
            return
        if is_gone:
            self._held.pop(uid_of(obj), None)
        else:
            self._hold(obj)

    async def admit(self, operation: Operation) -> None:
        """Give node ports to those ports of a Service that lack one, and take them from a Service that needs none.

        Raises:
            Invalid: A port that was asked for is out of range, or taken.
            ServiceUnavailable: All are taken.
        """
        if operation.resource.kind != SERVICE or operation.verb == "delete" or operation.subresource:
            return
        obj = operation.object
        spec: dict[str, Any] = obj.get("spec") or {}
        ports: list[dict[str, Any]] = [port for port in spec.get("ports") or () if isinstance(port, dict)]
        if spec.get("type") not in _TYPES:
            for port in ports:
                port.pop("nodePort", None)
            return
        kept = dict(_ports_by_name(operation.old or {}))
        taken = self._taken_by_others(uid_of(obj))
        for number, port in enumerate(ports):
            wanted = port.get("nodePort") or kept.get(str(port.get("name") or ""))
            if wanted is not None:
                _check(obj, number, wanted, taken)
            port["nodePort"] = wanted or self._choose(taken)
            taken.add(port["nodePort"])
        mine = [port["nodePort"] for port in ports]
        self._reserved.update(mine)
        operation.settled.append(lambda: self._reserved.subtract(mine))

    def _hold(self, service: ReadOnlyObject) -> None:
        self._held[uid_of(service)] = frozenset(port for _, port in _ports_by_name(service))

    def _taken_by_others(self, uid: str) -> set[int]:
        taken = {port for owner, held in self._held.items() if owner != uid for port in held}
        return taken | {port for port, count in self._reserved.items() if count > 0}

    def _choose(self, taken: set[int]) -> int:
        first = self._random.randrange(len(PORTS))
        for number in range(len(PORTS)):
            port = PORTS[(first + number) % len(PORTS)]
            if port not in taken:
                return port
        raise ServiceUnavailable(f"every node port from {PORTS[0]} to {PORTS[-1]} is taken")


def _ports_by_name(service: ReadOnlyObject) -> Iterator[tuple[str, int]]:
    spec: Mapping[str, Any] = service.get("spec") or {}
    for port in spec.get("ports") or ():
        if isinstance(port, dict) and port.get("nodePort"):
            yield str(port.get("name") or ""), port["nodePort"]


def _check(obj: Object, number: int, wanted: Any, taken: set[int]) -> None:
    if wanted not in PORTS:
        why = f"provided port is not in the valid range. The range of valid ports is {PORTS[0]}-{PORTS[-1]}"
    elif wanted in taken:
        why = "provided port is already allocated"
    else:
        return
    field, message = f"spec.ports[{number}].nodePort", f"Invalid value: {wanted}: {why}"
    details = {"kind": "Service", "name": name_of(obj)}
    causes = [Cause("FieldValueInvalid", message, field)]
    raise Invalid(f'Service "{name_of(obj)}" is invalid: {field}: {message}', details=details, causes=causes)
