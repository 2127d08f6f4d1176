"""What a label selector of a controller may be, and whether its template's labels meet it.

Source: ``k8s.io/apimachinery/pkg/apis/meta/v1/validation``.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from beamhall.embedded.api.builtin.causes import forbidden, invalid, matching, required
from beamhall.kernel import names
from beamhall.kernel.errors import Cause
from beamhall.kernel.objects import ReadOnlyObject, metadata_of
from beamhall.kernel.selectors import selector_from_object


def validate_selector(selector: Mapping[str, Any] | None, path: str) -> Iterator[Cause]:
    """Check a label selector at ``path``; none is nothing wrong."""
    yield from names.label_causes((selector or {}).get("matchLabels") or {}, f"{path}.matchLabels")
    for number, expression in enumerate((selector or {}).get("matchExpressions") or ()):
        here, operator, values = (
            f"{path}.matchExpressions[{number}]",
            expression.get("operator"),
            expression.get("values"),
        )
        key = expression.get("key") or ""
        yield from matching(f"{here}.key", key, names.label_key_problem(key))
        if operator in ("In", "NotIn"):
            if not values:
                yield required(f"{here}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                yield forbidden(f"{here}.values", detail)
        else:
            yield invalid(f"{here}.operator", operator, "not a valid selector operator")


def validate_own_selector(spec: Mapping[str, Any], kind: str) -> Iterator[Cause]:
    """Check the selector of a controller and that the Pods of its template are among those that it selects."""
    selector = spec.get("selector")
    if selector is None:
        yield required("spec.selector")
        return
    problems = list(validate_selector(selector, "spec.selector"))
    yield from problems
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield invalid("spec.selector", selector, f"empty selector is invalid for {kind}")
    elif not problems:
        yield from validate_labels_match(selector, spec.get("template") or {})


def validate_labels_match(selector: Mapping[str, Any], template: ReadOnlyObject) -> Iterator[Cause]:
    """Check that a selector that is right selects the Pods of a template."""
    labels = metadata_of(template).get("labels") or {}
    if not selector_from_object(selector).matches(labels):
        yield invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
