"""CustomResourceDefinitions: what a definition means as resources, and what is wrong with one.

Definitions are accepted at once: their status says ``Established`` from the moment they are made, unless another one
has a name of theirs (``definition_names``). Versions differ in ``apiVersion`` only (conversion strategy ``None``). The
schemas' meaning is ``kernel.schema``'s. Pure.

Source: ``apiextensions.k8s.io/v1``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beamhall.embedded.api.custom_rules import CustomRules
from beamhall.embedded.api.jsonpath import JsonPath
from beamhall.embedded.api.resources import Resource, ScalePaths
from beamhall.embedded.api.schema_form import has_expressions, schema_problems
from beamhall.kernel.errors import Cause
from beamhall.kernel.kinds import Kind
from beamhall.kernel.objects import Object, ReadOnlyObject, is_being_deleted

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""Finalizer that keeps a definition until its objects are gone."""

_UPDATE = ("get", "patch", "update")


def resources_of(definition: ReadOnlyObject) -> Sequence[Resource]:
    """Give one resource for each version that a definition serves; none if it is not established."""
    conditions = (definition.get("status") or {}).get("conditions") or ()
    if not any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions):
        return ()
    spec = definition["spec"]
    stored = next(version["name"] for version in spec["versions"] if version.get("storage"))
    return tuple(_resource(definition, version, stored) for version in spec["versions"] if version.get("served"))


def _resource(definition: ReadOnlyObject, version: ReadOnlyObject, stored_version: str) -> Resource:
    spec, names = (
        definition["spec"],
        {**definition["spec"]["names"], **(definition["status"].get("acceptedNames") or {})},
    )
    kind = Kind(spec["group"], version["name"], names["kind"], names["plural"], spec["scope"] == "Namespaced")
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    parts = version.get("subresources") or {}
    scale = parts.get("scale")
    subresources = {}
    if "status" in parts:
        subresources["status"] = _UPDATE
    if scale:
        subresources["scale"] = _UPDATE
    warning = ""
    if version.get("deprecated"):
        warning = version.get("deprecationWarning") or f"{kind.api_version} {kind.kind} is deprecated"
    is_pruning = not spec.get("preserveUnknownFields")
    return Resource(
        kind=kind,
        rules=CustomRules(kind, schema, version.get("additionalPrinterColumns") or (), prunes=is_pruning),
        singular=names.get("singular") or names["kind"].lower(),
        list_kind=names.get("listKind") or f"{names['kind']}List",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        has_status="status" in parts,
        bumps_generation=True,
        subresources=subresources,
        scale=_scale_paths(scale) if scale else None,
        selectable=frozenset(
            str(field["jsonPath"]).removeprefix(".") for field in version.get("selectableFields") or ()
        ),
        stored_version=stored_version,
        warning=warning,
        is_custom=True,
        is_terminating=is_being_deleted(definition),
    )


def _scale_paths(scale: ReadOnlyObject) -> ScalePaths:
    return ScalePaths(
        str(scale.get("specReplicasPath") or ""),
        str(scale.get("statusReplicasPath") or ""),
        str(scale.get("labelSelectorPath") or ""),
    )


@dataclass(frozen=True, slots=True)
class Refused:
    """A name of a definition that another one has.

    Attributes:
        field: Which of ``spec.names``.
        reason: The reason of the condition.
        message: What is wrong.
    """

    field: str
    reason: str
    message: str


def establish(definition: Object, refused: Sequence[Refused], now: str) -> None:
    """Bring a definition's status in line with its spec: names accepted, established, versions stored.

    Args:
        definition: It is changed in place.
        refused: The names that it cannot have.
        now: The time, as on the wire.
    """
    spec = _mapping(definition.get("spec"))
    versions = [version for version in spec.get("versions") or () if isinstance(version, dict)]
    stored = [str(version.get("name")) for version in versions if version.get("storage")]
    status = definition.get("status") or {}
    before = {condition.get("type"): condition for condition in status.get("conditions") or ()}
    was_established = (before.get("Established") or {}).get("status") == "True"
    accepted = ("NamesAccepted", "True", "NoConflicts", "no conflicts found")
    established = ("Established", "True", "InitialNamesAccepted", "the initial names have been accepted")
    if refused:
        accepted = ("NamesAccepted", "False", refused[0].reason, refused[0].message)
        if not was_established:
            established = ("Established", "False", "NotAccepted", "not all names are accepted")
    conditions = [_condition(before.get(wanted[0]), wanted, now) for wanted in (accepted, established)]
    conditions += [condition for kind, condition in before.items() if kind not in ("NamesAccepted", "Established")]
    lost = {one.field for one in refused}
    names = _mapping(spec.get("names"))
    old_names = status.get("acceptedNames") or {}
    kept = {field: old_names[field] for field in lost if field in old_names}
    definition["status"] = {
        "conditions": conditions,
        "acceptedNames": {"plural": "", "kind": ""}
        | {field: value for field, value in names.items() if field not in lost}
        | kept,
        "storedVersions": list(dict.fromkeys([*(status.get("storedVersions") or ()), *stored])),
    }
    if not is_being_deleted(definition):
        finalizers = definition["metadata"].setdefault("finalizers", [])
        if CLEANUP not in finalizers:
            finalizers.append(CLEANUP)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _condition(before: ReadOnlyObject | None, wanted: tuple[str, str, str, str], now: str) -> Object:
    kind, status, reason, message = wanted
    condition = {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now}
    if before is not None and before.get("status") == status:
        condition["lastTransitionTime"] = before.get("lastTransitionTime") or now
    return condition


def problems_of(definition: ReadOnlyObject) -> Sequence[Cause]:
    """Find what would keep a definition from being served."""
    spec = definition.get("spec") or {}
    names = spec.get("names") or {}
    found: list[Cause] = []
    wanted = f"{names.get('plural')}.{spec.get('group')}"
    if definition["metadata"].get("name") != wanted:
        found.append(_invalid("metadata.name", f'must be spec.names.plural+"."+spec.group, which is "{wanted}"'))
    found.extend(_required(f"spec.names.{field}") for field in ("plural", "kind") if not names.get(field))
    if not spec.get("group"):
        found.append(_required("spec.group"))
    if spec.get("scope") not in ("Namespaced", "Cluster"):
        found.append(_invalid("spec.scope", 'must be "Namespaced" or "Cluster"'))
    if (spec.get("conversion") or {}).get("strategy") == "Webhook":
        message = '"Webhook": webhooks are not served; use None, with versions that differ in apiVersion only'
        found.append(_invalid("spec.conversion.strategy", message))
    if spec.get("preserveUnknownFields"):
        message = "true: must be false; set x-kubernetes-preserve-unknown-fields in the schema where it is to be open"
        found.append(_invalid("spec.preserveUnknownFields", message))
    versions = spec.get("versions") or ()
    seen = [version.get("name") for version in versions]
    found.extend(
        Cause("FieldValueDuplicate", f'Duplicate value: "{name}"', f"spec.versions[{number}].name")
        for number, name in enumerate(seen)
        if name in seen[:number]
    )
    if sum(bool(version.get("storage")) for version in versions) != 1:
        found.append(_invalid("spec.versions", "must have exactly one version marked as storage version"))
    for number, version in enumerate(versions):
        found.extend(_version_problems(version, f"spec.versions[{number}]"))
    return found


def _version_problems(version: Mapping[str, Any], path: str) -> list[Cause]:
    found = []
    if not version.get("name"):
        found.append(_required(f"{path}.name"))
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if not schema:
        found.append(_required(f"{path}.schema.openAPIV3Schema"))
    elif not isinstance(schema, dict) or schema.get("type") != "object":
        found.append(_invalid(f"{path}.schema.openAPIV3Schema.type", 'must be "object" at the root'))
    else:
        problems = list(schema_problems(schema, f"{path}.schema.openAPIV3Schema"))
        if not problems and has_expressions(schema):
            from beamhall.embedded.api.expressions.rules import rule_problems  # noqa: PLC0415  CEL: few need it

            problems = list(rule_problems(schema, f"{path}.schema.openAPIV3Schema"))
        found.extend(problems)
    for number, column in enumerate(version.get("additionalPrinterColumns") or ()):
        here = f"{path}.additionalPrinterColumns[{number}]"
        found.extend(_required(f"{here}.{field}") for field in ("name", "type") if not column.get(field))
        found.extend(_path_problems(column.get("jsonPath"), f"{here}.jsonPath"))
    for number, selectable in enumerate(version.get("selectableFields") or ()):
        here = f"{path}.selectableFields[{number}].jsonPath"
        found.extend(_path_problems(selectable.get("jsonPath"), here) or _selectable_problems(selectable, schema, here))
    scale = (version.get("subresources") or {}).get("scale")
    if scale is not None:
        for field in ("specReplicasPath", "statusReplicasPath"):
            found.extend(_path_problems(scale.get(field), f"{path}.subresources.scale.{field}"))
    return found


def _selectable_problems(selectable: Mapping[str, Any], schema: Any, field: str) -> list[Cause]:
    """Check that a field to select by is one value that the schema has."""
    text = str(selectable["jsonPath"])
    place: Any = schema
    for step in text.removeprefix(".").split("."):
        place = ((place or {}).get("properties") or {}).get(step) if isinstance(place, dict) else None
    if not isinstance(place, dict):
        return [_invalid(field, f'"{text}": does not refer to a field of the schema')]
    if place.get("type") not in ("string", "boolean", "integer"):
        return [_invalid(field, f'"{text}": must point to a field of type string, boolean or integer')]
    return []


def _path_problems(text: object, field: str) -> list[Cause]:
    if not text:
        return [_required(field)]
    try:
        JsonPath(str(text))
    except ValueError as error:
        return [_invalid(field, str(error))]
    return []


def _required(field: str) -> Cause:
    return Cause("FieldValueRequired", "Required value", field)


def _invalid(field: str, message: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {message}", field)
