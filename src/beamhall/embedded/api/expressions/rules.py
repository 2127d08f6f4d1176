"""Where the rules of a schema stand, what they are asked of, and what they say of an object.

A rule that speaks of ``oldSelf`` is asked only where there is a value before: of a field of an object, of an entry of a
map, of an item of a list by keys. What did not change is not asked again, but for such rules.

Source: ``k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go``; KEP-2876, KEP-4008 (ratcheting).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from beamhall.embedded.api.expressions.language import Expression, ExpressionError
from beamhall.embedded.api.expressions.values import root_value, type_name
from beamhall.embedded.api.schema_form import EXPRESSIONS
from beamhall.kernel.errors import Cause
from beamhall.kernel.objects import ReadOnlyObject

REASONS = ("FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate")
BUDGET = 5_000
"""How many evaluations one object may take; each is bounded too."""

_NONE = object()
Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        document: As the schema has it.
        expression: What must be true.
        message: What gives the message, if that is an expression.
    """

    document: Document
    expression: Expression
    message: Expression | None


@dataclass(slots=True)
class _Place:
    """A part of a schema that has rules, or has some below it."""

    schema: Document
    rules: list[Rule] = field(default_factory=list)
    members: dict[str, "_Place"] = field(default_factory=dict)
    others: "_Place | None" = None
    items: "_Place | None" = None


class Rules:
    """The rules of a schema, compiled.

    Args:
        schema: The structural schema; its rules can be compiled: ``rule_problems`` finds nothing.
    """

    def __init__(self, schema: Document) -> None:
        self._root = _place(schema) or _Place(schema)

    def causes(self, obj: ReadOnlyObject, old: ReadOnlyObject | None) -> Sequence[Cause]:
        """Give what the rules say against an object that fits the schema; ``old`` is what it replaces."""
        found: list[Cause] = []
        budget = [BUDGET]
        for cause in _walk(self._root, obj, _NONE if old is None else old, "", budget):
            found.append(cause)
            if budget[0] <= 0:
                break
        return found


def _place(schema: Document) -> _Place | None:
    place = _Place(schema, [_rule(document, schema) for document in schema.get(EXPRESSIONS) or ()])
    for name, inner in (schema.get("properties") or {}).items():
        if (below := _place(inner)) is not None:
            place.members[name] = below
    if isinstance(schema.get("additionalProperties"), Mapping):
        place.others = _place(schema["additionalProperties"])
    if isinstance(schema.get("items"), Mapping):
        place.items = _place(schema["items"])
    return place if place.rules or place.members or place.others or place.items else None


def _rule(document: Document, schema: Document) -> Rule:
    kind, optional = type_name(schema), bool(document.get("optionalOldSelf"))
    message = document.get("messageExpression")
    return Rule(
        document,
        Expression(str(document["rule"]), kind, is_old_optional=optional),
        Expression(str(message), kind, is_old_optional=optional) if message else None,
    )


def _walk(place: _Place, value: Any, old: Any, path: str, budget: list[int]) -> Iterator[Cause]:
    if value is None:
        return
    if place.rules:
        yield from _asked(place, value, old, path, budget)
    if isinstance(value, Mapping):
        before = old if isinstance(old, Mapping) else {}
        for name, inner in value.items():
            below = place.members.get(name, place.others)
            if below is not None:
                here = f"{path}.{name}" if path else name
                yield from _walk(below, inner, before.get(name, _NONE), here, budget)
    elif isinstance(value, list) and place.items is not None:
        known = _by_keys(old, place.schema) if isinstance(old, list) else {}
        for number, item in enumerate(value):
            key = _key_of(item, place.schema)
            yield from _walk(place.items, item, known.get(key or "", _NONE), f"{path}[{number}]", budget)


def _by_keys(items: list[Any], schema: Document) -> Mapping[str, Any]:
    return {key: item for item in items if (key := _key_of(item, schema)) is not None}


def _key_of(item: Any, schema: Document) -> str | None:
    if schema.get("x-kubernetes-list-type") != "map" or not isinstance(item, Mapping):
        return None
    return json.dumps([item.get(name) for name in schema.get("x-kubernetes-list-map-keys") or ()])


def _asked(place: _Place, value: Any, old: Any, path: str, budget: list[int]) -> Iterator[Cause]:
    is_unchanged = old is not _NONE and old == value
    seen: Any = _NONE
    for rule in place.rules:
        is_optional = bool(rule.document.get("optionalOldSelf"))
        speaks_of_old = rule.expression.uses_old
        if (is_unchanged and not speaks_of_old) or (speaks_of_old and old is _NONE and not is_optional):
            continue
        if budget[0] <= 0:
            message = "validation failed due to running out of cost budget, no further validation rules will be run"
            yield Cause("FieldValueInvalid", f"Invalid value: {message}", path)
            return
        budget[0] -= 1
        if seen is _NONE:
            seen = root_value(value, place.schema, is_resource=not path)
        before = [] if old is _NONE or old is None else [root_value(old, place.schema, is_resource=not path)]
        if speaks_of_old and not is_optional and not before:
            continue
        if (cause := _said(rule, (seen, before), place.schema, path)) is not None:
            yield cause


def _said(rule: Rule, values: tuple[Any, list[Any]], schema: Document, path: str) -> Cause | None:
    """Ask one rule; give what it says against the value."""
    seen, before = values
    shown = json.dumps(str(schema.get("type") or "any"))
    try:
        if rule.expression.run(seen, *before) is True:
            return None
    except ExpressionError as error:
        text = rule.document.get("message") or f"rule: {rule.document['rule']}"
        return Cause("FieldValueInvalid", f"Invalid value: {shown}: {error} evaluating rule: {text}", path)
    reason = str(rule.document.get("reason") or REASONS[0])
    here = path + str(rule.document.get("fieldPath") or "")
    message = _message(rule, seen, before)
    text = {
        "FieldValueForbidden": f"Forbidden: {message}",
        "FieldValueRequired": f"Required value: {message}",
        "FieldValueDuplicate": f"Duplicate value: {shown}: {message}",
    }.get(reason, f"Invalid value: {shown}: {message}")
    return Cause(reason, text, here if path else here.removeprefix("."))


def _message(rule: Rule, seen: Any, before: list[Any]) -> str:
    if rule.message is not None:
        try:
            made = rule.message.run(seen, *before)
        except ExpressionError:
            made = ""
        if isinstance(made, str) and made.strip() and "\n" not in made:
            return made.strip()
    return str(rule.document.get("message") or f"failed rule: {rule.document['rule']}").strip()


def rule_problems(schema: Any, path: str, *, has_old: bool = True) -> Iterator[Cause]:
    """Find rules that cannot be served: what cannot be compiled, has no truth value, or asks of an old value in vain.

    Args:
        schema: A structural schema, or a part of it.
        path: Where it stands in its definition.
        has_old: Whether the value before can be told: not below lists without keys.
    """
    if not isinstance(schema, Mapping):
        return
    for number, document in enumerate(schema.get(EXPRESSIONS) or ()):
        yield from _problems_of(document, schema, f"{path}.{EXPRESSIONS}[{number}]", has_old=has_old)
    for name, inner in (schema.get("properties") or {}).items():
        yield from rule_problems(inner, f"{path}.properties[{name}]", has_old=has_old)
    yield from rule_problems(schema.get("additionalProperties"), f"{path}.additionalProperties", has_old=has_old)
    is_keyed = schema.get("x-kubernetes-list-type") == "map"
    yield from rule_problems(schema.get("items"), f"{path}.items", has_old=has_old and is_keyed)


def _problems_of(document: Any, schema: Document, path: str, *, has_old: bool) -> Iterator[Cause]:
    if not isinstance(document, Mapping) or not str(document.get("rule") or "").strip():
        yield Cause("FieldValueRequired", "Required value: rule must not be empty", f"{path}.rule")
        return
    reason = document.get("reason")
    if reason is not None and reason not in REASONS:
        supported = ", ".join(json.dumps(one) for one in REASONS)
        message = f"Unsupported value: {json.dumps(reason)}: supported values: {supported}"
        yield Cause("FieldValueNotSupported", message, f"{path}.reason")
    optional = bool(document.get("optionalOldSelf"))
    for name, wanted in (("rule", "BOOL"), ("messageExpression", "STRING")):
        text = document.get(name)
        if not text:
            continue
        try:
            expression = Expression(str(text), type_name(schema), is_old_optional=optional)
        except ExpressionError as error:
            yield _wrong(f"{path}.{name}", text, f"compilation failed: {error}")
            continue
        if expression.type not in (wanted, "DYN"):
            kind = "bool" if wanted == "BOOL" else "string"
            yield _wrong(f"{path}.{name}", text, f"must evaluate to {'a ' + kind}")
        if expression.uses_old and not has_old and not optional:
            yield _wrong(
                f"{path}.{name}", text, "oldSelf cannot be used on the uncorrelatable portion of the schema within a "
                "list that is not of x-kubernetes-list-type map",
            )  # fmt: skip


def _wrong(field_path: str, value: object, message: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {json.dumps(value)}: {message}", field_path)
