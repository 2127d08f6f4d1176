"""Label and field selectors: which objects a list, a watch or a Service means.

Source: Kubernetes "Labels and Selectors"; the text grammar is that of ``k8s.io/apimachinery/pkg/labels``.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Operator = Literal["In", "NotIn", "Exists", "DoesNotExist"]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label; ``values`` is empty for ``Exists`` and ``DoesNotExist``."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    @property
    def is_equality(self) -> bool:
        """Whether it asks for one value."""
        return self.operator == "In" and len(self.values) == 1

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels meet this condition. An absent label meets ``NotIn``, as in Kubernetes."""
        if self.operator == "In":
            return labels.get(self.key) in self.values
        if self.operator == "NotIn":
            return labels.get(self.key) not in self.values
        return (self.key in labels) == (self.operator == "Exists")


@dataclass(frozen=True, slots=True)
class Selector:
    """A label selector: all requirements must hold. None at all matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels meet every requirement."""
        return all(requirement.matches(labels) for requirement in self.requirements)


EVERYTHING = Selector()

_SET = re.compile(r"^(?P<key>[^\s!=,()]+)\s+(?P<op>in|notin)\s*\((?P<values>[^()]*)\)$")
_EQUALITY = re.compile(r"^(?P<key>[^\s!=,()]+)\s*(?P<op>==|=|!=)\s*(?P<value>[^\s!=,()]*)$")
_EXISTENCE = re.compile(r"^(?P<absent>!?)\s*(?P<key>[^\s!=,()]+)$")


def selector_from_labels(labels: Mapping[str, str]) -> Selector:
    """Make the selector that asks for exactly these label values."""
    return Selector(tuple(Requirement(k, "In", frozenset({v})) for k, v in sorted(labels.items())))


def parse_selector(text: str) -> Selector:
    """Read a selector in the wire's text form: ``app=a,tier in (b,c),!old``.

    Raises:
        ValueError: The text is no selector; the message says which part.
    """
    return Selector(tuple(_parse_requirement(part) for part in _split(text)))


def selector_from_object(selector: Mapping[str, Any] | None) -> Selector:
    """Read a ``LabelSelector`` object (``matchLabels``, ``matchExpressions``). None matches nothing in Kubernetes.

    Raises:
        ValueError: An operator is unknown, or None was given: the caller decides what that means.
    """
    if selector is None:
        raise ValueError("a null label selector matches nothing")
    requirements = list(selector_from_labels(selector.get("matchLabels") or {}).requirements)
    for expression in selector.get("matchExpressions") or ():
        operator = expression.get("operator")
        if operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
            raise ValueError(f"label selector operator {operator!r} is unknown; use In, NotIn, Exists or DoesNotExist")
        requirements.append(Requirement(expression["key"], operator, frozenset(expression.get("values") or ())))
    return Selector(tuple(requirements))


def parse_field_selector(text: str) -> Sequence[tuple[str, bool, str]]:
    """Read a field selector: ``status.phase!=Failed,spec.nodeName=n1``.

    Returns:
        (path, is_equal, value) for each term; all must hold.

    Raises:
        ValueError: The text is no field selector.
    """
    terms = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        match = re.match(r"^(?P<path>[\w.\-/\[\]]+?)(?P<op>==|!=|=)(?P<value>.*)$", part)
        if match is None:
            raise ValueError(f"field selector term {part!r} is not of the form path=value or path!=value")
        terms.append((match["path"], match["op"] != "!=", match["value"]))
    return terms


def field_at(obj: Mapping[str, Any], path: str) -> str:
    """Give the field at a dotted path as field selectors compare it: absent is empty, booleans are lower case."""
    value: Any = obj
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def field_matcher(
    text: str, places: Mapping[str, tuple[str, str]] | None = None
) -> Callable[[Mapping[str, Any]], bool]:
    """Make the test that a field selector states.

    Args:
        text: The selector.
        places: Of fields that lie elsewhere than they are called, the path, and what they are where it is absent.

    Raises:
        ValueError: As ``parse_field_selector``.
    """
    known = places or {}
    terms = [(known.get(path, (path, "")), is_equal, value) for path, is_equal, value in parse_field_selector(text)]
    return lambda obj: all(
        ((field_at(obj, path) or absent) == value) is is_equal for (path, absent), is_equal, value in terms
    )


def _split(text: str) -> Sequence[str]:
    """Split at the commas that stand outside parentheses."""
    parts = re.split(r",(?![^(]*\))", text)
    stripped = [part.strip() for part in parts]
    if stripped == [""]:
        return ()
    if "" in stripped:
        raise ValueError(f"label selector {text!r} has an empty part")
    return stripped


def _parse_requirement(part: str) -> Requirement:
    if match := _SET.match(part):
        values = frozenset(v.strip() for v in match["values"].split(","))
        return Requirement(match["key"], "In" if match["op"] == "in" else "NotIn", values)
    if match := _EQUALITY.match(part):
        return Requirement(match["key"], "NotIn" if match["op"] == "!=" else "In", frozenset({match["value"]}))
    if match := _EXISTENCE.match(part):
        return Requirement(match["key"], "DoesNotExist" if match["absent"] else "Exists")
    raise ValueError(
        f"label selector part {part!r} is not understood; write key=value, key!=value, key in (a,b) or !key"
    )
