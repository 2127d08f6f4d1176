"""Making a step's Pod fit a cluster that could never run it as it is: what no node has is asked for no more.

Pipelines are written for the cluster that their authors had, and come to a laptop with four processors asked for, an
accelerator, and labels of a cloud's nodes. There they would wait for ever. Pure; whoever uses this tells people what
was changed. It is for clusters that do not grow.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from beamhall.kernel.objects import Object, ReadOnlyObject, labels_of
from beamhall.kernel.quantities import parse_quantity

FITTED_ANNOTATION = "pipelines.beamhall.io/fitted"
"""Says what a Pod was made to do without."""


def fitted(pod: Object, nodes: Sequence[ReadOnlyObject]) -> tuple[Object, Sequence[str]]:
    """Give a Pod that some node can run, and what it does without, in words.

    Amounts that exceed the largest node are cut to what that has, resources that no node has are left out, and labels
    of nodes that no node has are not asked for. A Pod that fits comes back as it is.

    Args:
        pod: As it was asked for; it is not changed.
        nodes: All nodes of the cluster; without any, nothing is changed.
    """
    if not nodes:
        return pod, ()
    most = _most(nodes)
    said: list[str] = []
    spec = dict(pod["spec"])
    for key in ("initContainers", "containers"):
        if key in spec:
            spec[key] = [_fitted_container(container, most, said) for container in spec[key]]
    selector = spec.get("nodeSelector") or {}
    if selector and not any(selector.items() <= labels_of(node).items() for node in nodes):
        said.append("no node has the labels " + ", ".join(f"{name}={value}" for name, value in selector.items()))
        del spec["nodeSelector"]
    if not said:
        return pod, ()
    told = sorted(set(said))
    annotations = {**(pod["metadata"].get("annotations") or {}), FITTED_ANNOTATION: "; ".join(told)}
    return {**pod, "metadata": {**pod["metadata"], "annotations": annotations}, "spec": spec}, told


def _most(nodes: Sequence[ReadOnlyObject]) -> Mapping[str, Decimal]:
    """Give the most that any node has of each resource."""
    found: dict[str, Decimal] = {}
    for node in nodes:
        for name, amount in ((node.get("status") or {}).get("allocatable") or {}).items():
            found[name] = max(found.get(name, Decimal(0)), parse_quantity(amount))
    return found


def _fitted_container(container: Mapping[str, Any], most: Mapping[str, Decimal], said: list[str]) -> Mapping[str, Any]:
    resources = container.get("resources") or {}
    cut = {key: _cut(resources.get(key) or {}, most, said) for key in ("requests", "limits") if key in resources}
    return {**container, "resources": {**resources, **cut}} if cut else container


def _cut(amounts: Mapping[str, str], most: Mapping[str, Decimal], said: list[str]) -> Mapping[str, str]:
    found = {}
    for name, amount in amounts.items():
        there = most.get(name, Decimal(0))
        if parse_quantity(amount) <= there:
            found[name] = amount
        elif there:
            found[name] = str(there)
            said.append(f"it asks for {amount} {name}, and gets the {there} that the largest node has")
        else:
            said.append(f"it asks for {amount} {name}, which no node has")
    return found
