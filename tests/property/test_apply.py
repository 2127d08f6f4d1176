"""Field sets and server-side apply, held against naive models."""

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from beamhall.kernel.apply import apply_configuration
from beamhall.kernel.errors import Conflict
from beamhall.kernel.fieldsets import (
    FieldSet,
    Path,
    cut,
    difference,
    intersection,
    members,
    read_fields,
    union,
)
from beamhall.kernel.fieldshapes import Shape, compare, every_field, set_fields
from beamhall.kernel.objects import Object
from beamhall.kernel.ownership import Ledger, Writer, after_update, owned, spelled_out

SCHEMA = {
    "type": "object",
    "properties": {
        "metadata": {"type": "object"},
        "plain": {"type": "object", "additionalProperties": {"type": "integer"}},
        "whole": {"type": "array", "items": {"type": "integer"}},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port", "protocol"],
            "items": {
                "type": "object",
                "properties": {
                    "port": {"type": "integer"},
                    "protocol": {"type": "string", "default": "TCP"},
                    "name": {"type": "string"},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                },
            },
        },
    },
}
SHAPE = Shape(SCHEMA, {"metadata": None})
LEDGER = Ledger(SHAPE)

names = st.sampled_from(["a", "b", "c"])
numbers = st.integers(0, 2)
steps = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}', 'v:"y"'])
paths = st.sets(st.lists(steps, min_size=1, max_size=3).map(tuple), max_size=6)
ports = st.lists(
    st.fixed_dictionaries(
        {"port": numbers},
        optional={
            "protocol": st.sampled_from(["TCP", "UDP"]),
            "name": names,
            "labels": st.dictionaries(names, names, min_size=1, max_size=2),
        },
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda item: (item["port"], item.get("protocol", "TCP")),
)
configs: st.SearchStrategy[Object] = st.fixed_dictionaries(
    {"metadata": st.just({})},
    optional={
        "plain": st.dictionaries(names, numbers, min_size=1),
        "whole": st.lists(numbers, max_size=2),
        "set": st.lists(names, min_size=1, unique=True),
        "ports": ports,
    },
)


def field_set(wanted: set[Path]) -> FieldSet:
    found: FieldSet = {}
    for path in wanted:
        node: FieldSet = {}
        for step in reversed(path):
            node = {step: node}
        found = union(found, node)
    return found


@given(paths, paths)
def test_sets_are_sets_of_paths(one: set[Path], other: set[Path]) -> None:
    a, b = field_set(one), field_set(other)
    assert set(members(a)) == one
    assert set(members(union(a, b))) == one | other
    assert set(members(difference(a, b))) == one - other
    assert set(members(intersection(a, b))) == one & other
    left = {p for p in one if not any(p[: len(q)] == q for q in other if _is_end(q, other))}
    ends = {p for p in left if _is_end(p, one)}
    assert set(members(cut(a, b))) == {p for p in left if any(q[: len(p)] == p for q in ends)}


def _is_end(path: Path, all_: set[Path]) -> bool:
    """Only the ends of branches cut off what is below them."""
    return not any(_is_below(other, path) for other in all_)


def _is_below(path: Path, other: Path) -> bool:
    return len(path) > len(other) and path[: len(other)] == other


@given(paths)
def test_sets_survive_the_wire(wanted: set[Path]) -> None:
    fields = field_set(wanted)
    assert read_fields(json.loads(json.dumps(fields))) == fields


def apply(live: Object, config: Object, manager: str, *, force: bool = True) -> Object:
    obj, entries = apply_configuration(live, config, Writer(manager, "v1", "t", "", "Apply"), LEDGER, force=force)
    return {**obj, "metadata": {"managedFields": list(entries)} if entries else {}}


def content(obj: Object) -> Any:
    """Give an object without its metadata; lists whose order means nothing in one order, nothing for what is empty."""
    found = {name: value for name, value in obj.items() if name != "metadata" and value not in ({}, [])}
    for name in ("set", "ports"):
        if name in found:
            found[name] = sorted(found[name], key=lambda item: json.dumps(item, sort_keys=True))
    return found


@given(configs, configs, configs)
def test_applying_again_changes_nothing(first: Object, other: Object, config: Object) -> None:
    live = apply(apply(apply({}, first, "first"), other, "other"), config, "me")
    assert apply(live, config, "me") == live
    assert apply(live, config, "me", force=False) == live


@given(configs, configs)
def test_what_is_applied_is_there(first: Object, config: Object) -> None:
    live = apply(apply({}, first, "first"), config, "me")
    gone, changed = compare(
        live, apply_configuration(live, config, Writer("x", "v1", "t"), LEDGER, force=True)[0], SHAPE
    )
    assert not gone
    assert not changed


@given(configs)
def test_applying_nothing_takes_all_away(config: Object) -> None:
    live = apply(apply({}, config, "me"), {"metadata": {}}, "me")
    assert content(live) == {}
    assert live["metadata"] == {}


@given(configs, configs)
def test_what_others_applied_stays(first: Object, config: Object) -> None:
    before = apply({}, first, "first")
    try:
        both = apply(before, config, "me", force=False)
    except Conflict:
        return
    assert content(apply(both, {"metadata": {}}, "me")) == content(before)


@given(configs, configs)
def test_appliers_of_different_fields_commute(one: Object, other: Object) -> None:
    if set(members(intersection(set_fields(one, SHAPE), set_fields(other, SHAPE)))):
        return
    this = apply(apply({}, one, "one"), other, "other")
    that = apply(apply({}, other, "other"), one, "one")
    assert content(this) == content(that)
    assert by_manager(this) == by_manager(that)


def by_manager(obj: Object) -> Mapping[str, set[Path]]:
    entries = spelled_out(obj["metadata"].get("managedFields") or (), obj, LEDGER)
    return {entry["manager"]: set(members(owned(entry))) for entry in entries}


# A model that knows no trees: values and owners by flat path.


def flat(obj: Object) -> dict[Path, str]:
    """Give the leaves of an object with their values."""
    return {
        path: json.dumps(_value_at(obj, path))
        for path in members(set_fields(obj, SHAPE))
        if not isinstance(_value_at(obj, path), dict)
    }


def _value_at(value: Any, path: Path) -> Any:
    shape: Shape = SHAPE
    for step in path:
        if step.startswith("f:"):
            known = shape.member(step[2:])
            assert known is not None
            value, shape = value[step[2:]], known[1]
        else:
            value = next(item for item in value if shape.step_to(item) == step)
            shape = shape.item
    return value


class Model:
    """Who owns what, told without trees."""

    def __init__(self, first: Object) -> None:
        self.values = flat(first)
        self.owners: dict[str, set[Path]] = {"first": set(self.values)}

    def others(self, me: str) -> set[Path]:
        return set().union(*(owned for name, owned in self.owners.items() if name != me))

    def apply(self, me: str, config: Object, *, force: bool) -> bool:
        wanted = flat(config)
        kept = self.others(me) | set(wanted)
        dropped = {
            p
            for p in self.owners.get(me, set()) - kept
            if not self._tells_apart(p) or not any(q[:2] == p[:2] for q in kept)
        }
        changed = {p for p, value in wanted.items() if self.values.get(p) != value}
        if changed & self.others(me) and not force:
            return False
        self._take(changed | dropped)
        self.values = {p: v for p, v in self.values.items() if p not in dropped} | wanted
        self.owners[me] = set(wanted)
        return True

    def _tells_apart(self, path: Path) -> bool:
        return path[-1] == "f:port" or (path[-1] == "f:protocol" and self.values.get(path) != '"TCP"')

    def update(self, me: str, new: Object) -> None:
        after = flat(new)
        changed = {p for p, value in after.items() if self.values.get(p) != value}
        self._take(changed | (set(self.values) - set(after)))
        self.values = after
        self.owners[me] = self.owners.get(me, set()) | changed

    def _take(self, fields: set[Path]) -> None:
        for name in self.owners:
            self.owners[name] -= fields


writes = st.lists(
    st.tuples(st.sampled_from(["apply", "force", "update"]), st.sampled_from(["first", "me", "you"]), configs),
    max_size=5,
)


@given(configs, writes)
def test_a_history_of_writes_ends_as_in_the_model(first: Object, history: list[tuple[str, str, Object]]) -> None:
    """Keys of items are left out of the model's configurations where they only name an item."""
    model = Model(first)
    live: Object = {**first, "metadata": {"managedFields": [Writer("first", "v1", "t").entry(None)]}}
    for how, name, config in history:
        manager = name if how == "update" else f"{name}-applies"
        if how == "update":
            entries = live["metadata"].get("managedFields") or []
            new = {**config, "metadata": {}}
            if new.keys() != live.keys() or any(new[name] != live[name] for name in new if name != "metadata"):
                writer = Writer(manager, "v1", "t")
                entries = after_update((live, new), entries, writer, LEDGER)
            live = {**new, "metadata": {"managedFields": list(entries)}}
            model.update(manager, config)
        else:
            is_done = model.apply(manager, config, force=how == "force")
            try:
                live = apply(live, config, manager, force=how == "force")
            except Conflict:
                assert not is_done
                continue
            assert is_done
        if not live["metadata"].get("managedFields"):
            return  # nobody owns anything: the next applier would find fields of nobody
        assert flat(live) == model.values
        leaves = {name: {path for path in owned if path in model.values} for name, owned in by_manager(live).items()}
        assert {k: v for k, v in leaves.items() if v} == {k: v for k, v in model.owners.items() if v}


@given(configs)
def test_what_is_set_is_a_part_of_all_that_is_there(config: Object) -> None:
    assert not difference(set_fields(config, SHAPE), every_field(config, SHAPE))
