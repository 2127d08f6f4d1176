"""What containers and claims may ask for: names of resources, amounts, and requests within limits.

Source: Kubernetes "Resource Management for Pods and Containers".
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from beamhall.embedded.api.builtin.causes import invalid, required
from beamhall.kernel import names
from beamhall.kernel.errors import Cause
from beamhall.kernel.quantities import parse_quantity

_STANDARD = frozenset({"cpu", "memory", "ephemeral-storage"})


def validate_resources(resources: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Check a container's ``ResourceRequirements`` at ``path``."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for part, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            yield from _validate_name(name, f"{path}.{part}[{name}]")
            yield from validate_amount(amount, f"{path}.{part}[{name}]", whole=_is_counted(name))
    for name, request in requests.items():
        limit = limits.get(name)
        if limit is None and _is_counted(name):
            yield required(f"{path}.limits[{name}]", "Limit must be set for non overcommitable resources")
        elif limit is not None:
            yield from _validate_pair(name, request, limit, f"{path}.requests")


def validate_amount(amount: Any, path: str, *, whole: bool = False, positive: bool = False) -> Iterator[Cause]:
    """Check one quantity: that it is one, not negative, and, where wanted, an integer or more than nothing."""
    try:
        number = parse_quantity(amount)
    except ValueError as error:
        yield invalid(path, amount, str(error))
        return
    if number < 0:
        yield invalid(path, amount, "must be greater than or equal to 0")
    elif positive and number == 0:
        yield invalid(path, amount, "must be greater than zero")
    elif whole and number != number.to_integral_value():
        yield invalid(path, amount, "must be an integer")


def _validate_name(name: str, path: str) -> Iterator[Cause]:
    if "/" not in name:
        if name not in _STANDARD and not name.startswith("hugepages-"):
            yield invalid(
                path, name, "must be a standard resource for containers (cpu, memory) or a name/with-a-domain"
            )
    elif problem := names.label_key_problem(name):
        yield invalid(path, name, problem)


def _is_counted(name: str) -> bool:
    """Tell whether a resource is given out as whole things, and never more of it than there is: GPUs and the like."""
    return "/" in name or name.startswith("hugepages-")


def _validate_pair(name: str, request: Any, limit: Any, path: str) -> Iterator[Cause]:
    asked, most = _amount(request), _amount(limit)
    if asked is None or most is None:
        return
    if _is_counted(name) and asked != most:
        yield invalid(path, request, f"must be equal to {name} limit of {limit}")
    elif asked > most:
        yield invalid(path, request, f"must be less than or equal to {name} limit of {limit}")


def _amount(value: Any) -> Decimal | None:
    try:
        return parse_quantity(value)
    except ValueError:
        return None
