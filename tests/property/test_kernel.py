"""Laws of the kernel's values that hold for all of them."""

import copy
import json
import string
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from beamhall.kernel.difference import merge_patch_between
from beamhall.kernel.patches import apply_json_patch, apply_merge_patch, apply_strategic_patch
from beamhall.kernel.quantities import canonical_quantity, format_binary, format_decimal, milli, parse_quantity
from beamhall.kernel.schema import Schema
from beamhall.kernel.selectors import Requirement, Selector, parse_selector

names = st.sampled_from(["a", "b", "c", "spec", "list"])
scalars = st.one_of(st.booleans(), st.integers(-5, 5), st.sampled_from(["", "x", "y"]), st.floats(-2, 2))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)
mappings = st.dictionaries(names, values, max_size=4)
any_values = st.recursive(
    st.none() | scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
any_mappings = st.dictionaries(names, any_values, max_size=4)


@given(mappings, mappings)
def test_a_difference_applied_gives_the_new(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert apply_merge_patch(old, merge_patch_between(old, new)) == new


@given(any_mappings, any_mappings)
def test_merge_patches_may_be_applied_twice(target: dict[str, Any], patch: dict[str, Any]) -> None:
    once = apply_merge_patch(target, patch)
    assert apply_merge_patch(once, patch) == once


@given(any_mappings, any_mappings)
def test_without_a_schema_strategic_is_merge(target: dict[str, Any], patch: dict[str, Any]) -> None:
    assert apply_strategic_patch(target, patch, {}) == apply_merge_patch(target, patch)


items = st.fixed_dictionaries({"name": st.sampled_from("abcdef")}, optional={"v": st.integers(0, 9)})
lists = st.lists(items, unique_by=lambda item: item["name"], max_size=5)
KEYED = {
    "properties": {
        "l": {"type": "array", "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "name"},
    }
}


@given(lists, lists)
def test_kubectl_apply_reaches_what_was_written(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> None:
    """The patch that ``kubectl apply`` makes of two manifests turns the one into the other, order and all."""
    deleted = [
        {"name": item["name"], "$patch": "delete"} for item in old if item not in new and _named(item, new) is None
    ]
    changed = [_change(_named(item, old), item) for item in new]
    patch = {"l": [*changed, *deleted], "$setElementOrder/l": [{"name": item["name"]} for item in new]}
    before = copy.deepcopy(old)
    assert apply_strategic_patch({"l": old}, patch, KEYED) == {"l": new}
    assert old == before


def _named(item: dict[str, Any], among: list[dict[str, Any]]) -> dict[str, Any] | None:
    return next((other for other in among if other["name"] == item["name"]), None)


def _change(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    return new if old is None else merge_patch_between(old, new) | {"name": new["name"]}


@given(lists, lists, st.data())
def test_merging_by_key_loses_and_doubles_nothing(
    old: list[dict[str, Any]], new: list[dict[str, Any]], data: st.DataObject
) -> None:
    order = data.draw(st.permutations([{"name": item["name"]} for item in new]))
    merged = apply_strategic_patch({"l": old}, {"l": new, "$setElementOrder/l": order}, KEYED)["l"]
    found = [item["name"] for item in merged]
    assert sorted(found) == sorted({item["name"] for item in [*old, *new]})
    wanted = [item["name"] for item in order]
    assert [name for name in found if name in wanted] == wanted
    kept = [item["name"] for item in old if item["name"] not in wanted]
    assert [name for name in found if name not in wanted] == kept


@given(mappings, st.lists(st.tuples(st.sampled_from(["add", "test"]), names, values), max_size=4))
def test_json_patches_change_nothing_that_they_are_given(
    target: dict[str, Any], steps: list[tuple[str, str, Any]]
) -> None:
    operations = [{"op": "add", "path": f"/{name}", "value": value} for _, name, value in steps]
    before = copy.deepcopy((target, operations))
    assert apply_json_patch(target, operations) == target | {name: value for _, name, value in steps}
    assert (target, operations) == before


amounts = st.builds(
    lambda number, suffix: f"{number}{suffix}",
    st.one_of(st.integers(-(10**6), 10**6).map(str), st.decimals(-1000, 1000, places=3).map(lambda d: format(d, "f"))),
    st.sampled_from(["", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E-3"]),
)


@given(amounts)
def test_the_canonical_form_is_the_same_amount(text: str) -> None:
    canonical = canonical_quantity(text)
    assert parse_quantity(canonical) == parse_quantity(text)
    assert canonical_quantity(canonical) == canonical


@given(st.integers(-(2**60), 2**60))
def test_integers_are_written_exactly(value: int) -> None:
    assert parse_quantity(format_binary(value)) == value
    assert parse_quantity(format_decimal(value)) == value
    assert milli(format_decimal(Decimal(value) / 1000)) == value


label_words = st.text(string.ascii_lowercase + "-._/", min_size=1, max_size=6)
requirements = st.one_of(
    st.builds(Requirement, label_words, st.sampled_from(["Exists", "DoesNotExist"])),
    st.builds(
        Requirement, label_words, st.sampled_from(["In", "NotIn"]), st.frozensets(label_words, min_size=1, max_size=3)
    ),
)


def _written(requirement: Requirement) -> str:
    if requirement.operator in ("In", "NotIn"):
        return f"{requirement.key} {requirement.operator.lower()} ({','.join(sorted(requirement.values))})"
    return requirement.key if requirement.operator == "Exists" else f"!{requirement.key}"


@given(st.lists(requirements, max_size=4))
def test_selectors_are_read_as_they_are_written(parts: list[Requirement]) -> None:
    assert parse_selector(",".join(map(_written, parts))) == Selector(tuple(parts))


def _schemas(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    preserving = st.sampled_from([{}, {"x-kubernetes-preserve-unknown-fields": True}])
    objects = st.dictionaries(names, inner, max_size=3)
    return st.one_of(
        st.builds(lambda properties, more: {"type": "object", "properties": properties} | more, objects, preserving),
        st.builds(lambda schema: {"type": "object", "additionalProperties": schema}, inner),
        st.builds(lambda schema: {"type": "array", "items": schema}, inner),
    )


leaves = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "default": "x"},
        {"type": "integer", "default": 3},
        {"type": "array", "default": [], "items": {"type": "string"}},
        {"type": "object", "default": {}, "properties": {"a": {"type": "string", "default": "y"}}},
        {"x-kubernetes-int-or-string": True},
        {"type": "string", "nullable": True},
    ]
)
schemas = st.dictionaries(names, st.recursive(leaves, _schemas, max_leaves=6), max_size=4).map(
    lambda properties: Schema({"type": "object", "properties": properties})
)


@given(schemas, any_mappings)
def test_pruning_and_defaulting_twice_is_once(schema: Schema, obj: dict[str, Any]) -> None:
    schema.prune(obj)
    assert schema.unknown_fields(obj) == []
    schema.default(obj)
    once = copy.deepcopy(obj)
    assert schema.prune(obj) == []
    schema.default(obj)
    assert obj == once
    assert schema.validate(obj) == schema.validate(once)


@given(schemas, any_mappings)
def test_pruning_removes_and_does_no_more(schema: Schema, obj: dict[str, Any]) -> None:
    before = copy.deepcopy(obj)
    removed = schema.prune(obj)
    assert _n_members(obj) <= _n_members(before) - len(removed)
    assert removed or obj == before


def _n_members(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_n_members, value.values()))
    return sum(map(_n_members, value)) if isinstance(value, list) else 0


@given(schemas, any_mappings)
def test_validation_reads_only_and_can_be_shown(schema: Schema, obj: dict[str, Any]) -> None:
    before = copy.deepcopy(obj)
    causes = schema.validate(obj)
    assert obj == before
    assert json.dumps([(cause.field, cause.message) for cause in causes])
    assert all(cause.message and cause.reason for cause in causes)
