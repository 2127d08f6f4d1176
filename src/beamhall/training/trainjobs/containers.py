"""Changing the containers of a template in place: a variable, port, volume or mount is replaced by name, or added.

Source: kubeflow/trainer v2.3, ``pkg/apply``.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from beamhall.kernel.objects import Object

_INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"


def job_of(replicated: Object) -> Object:
    """Give the spec of the Jobs of a replicated Job, made if absent."""
    return _below(_below(replicated, "template"), "spec")


def pod_template_of(replicated: Object) -> Object:
    """Give the template of the Pods of a replicated Job, made if absent."""
    return _below(job_of(replicated), "template")


def pod_of(replicated: Object) -> Object:
    """Give the spec of the Pods of a replicated Job, made if absent."""
    return _below(pod_template_of(replicated), "spec")


def container_of(replicated: Object, name: str) -> Object | None:
    """Give a container of a replicated Job by name."""
    found: Iterator[Object] = (c for c in pod_of(replicated).get("containers") or () if c.get("name") == name)
    return next(found, None)


def set_variables(container: Object, variables: Iterable[Mapping[str, Any]]) -> None:
    """Set environment variables."""
    _upsert(container, "env", variables, "name")


def add_volumes(pod: Object, volumes: Iterable[Mapping[str, Any]]) -> None:
    """Give Pods volumes."""
    _upsert(pod, "volumes", volumes, "name")


def add_mounts(container: Object, mounts: Iterable[Mapping[str, Any]]) -> None:
    """Mount volumes in a container."""
    _upsert(container, "volumeMounts", mounts, "name")


def open_port(container: Object, port: int) -> None:
    """State a port of a container."""
    _upsert(container, "ports", [{"containerPort": port}], "containerPort")


def value(name: str, text: object) -> dict[str, Any]:
    """Make a variable of a text."""
    return {"name": name, "value": str(text)}


def own_index(name: str) -> dict[str, Any]:
    """Make a variable of a Pod's completion index."""
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": _INDEX}}}


def _below(parent: Object, field: str) -> Object:
    if not parent.get(field):
        parent[field] = {}
    child: Object = parent[field]
    return child


def _upsert(parent: Object, field: str, items: Iterable[Mapping[str, Any]], key: str) -> None:
    merged = list(parent.get(field) or ())
    for item in items:
        places = [place for place, other in enumerate(merged) if other.get(key) == item[key]]
        if places:
            merged[places[0]] = dict(item)
        else:
            merged.append(dict(item))
    if merged:
        parent[field] = merged
