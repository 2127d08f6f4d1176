"""Patches: what they do, and how wrong ones are named."""

import copy
from typing import Any

import pytest

from beamhall.kernel.errors import ApiError, BadRequest, Invalid
from beamhall.kernel.patches import MAX_OPERATIONS, apply_json_patch, apply_merge_patch, apply_strategic_patch

RFC_7386 = [  # appendix A, those whose target and result are objects
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "expected"), RFC_7386)
def test_merge_patches_of_the_rfc(target: Any, patch: Any, expected: Any) -> None:
    before = copy.deepcopy((target, patch))
    assert apply_merge_patch(target, patch) == expected
    assert (target, patch) == before


def test_a_merge_patch_is_an_object() -> None:
    with pytest.raises(BadRequest, match="must be a JSON object, not a list"):
        apply_merge_patch({}, [])  # type: ignore[arg-type]


def test_json_patches() -> None:
    obj = {"a": 1, "list": [1, 2], "m": {"a/b": 1, "c~d": 2}}
    before = copy.deepcopy(obj)
    operations: list[dict[str, Any]] = [
        {"op": "test", "path": "/m/a~1b", "value": 1},
        {"op": "remove", "path": "/m/c~0d"},
        {"op": "add", "path": "/list/-", "value": {"x": 1}},
        {"op": "add", "path": "/list/0", "value": 0},
        {"op": "copy", "from": "/list/3", "path": "/n"},
        {"op": "replace", "path": "/n/x", "value": 2},
        {"op": "move", "from": "/a", "path": "/b"},
    ]
    assert apply_json_patch(obj, operations) == {"b": 1, "list": [0, 1, 2, {"x": 1}], "m": {"a/b": 1}, "n": {"x": 2}}
    assert obj == before


def test_a_json_patch_may_change_what_it_added() -> None:
    operations: list[dict[str, Any]] = [
        {"op": "add", "path": "/a", "value": {"x": 1}},
        {"op": "replace", "path": "/a/x", "value": 2},
    ]
    for _ in range(2):  # the second time on the same, unspoilt patch
        assert apply_json_patch({}, operations) == {"a": {"x": 2}}
        assert operations[0]["value"] == {"x": 1}


@pytest.mark.parametrize(
    ("operation", "error", "said"),
    [
        ({"op": "test", "path": "/a", "value": 2}, Invalid, "operation 1 (test /a) failed"),
        ({"op": "remove", "path": "/no"}, Invalid, "operation 1 (remove /no) cannot be applied"),
        ({"op": "replace", "path": "/no", "value": 1}, Invalid, "(replace /no)"),
        ({"op": "add", "path": "/a/b", "value": 1}, Invalid, "(add /a/b)"),
        ({"op": "add", "path": "/l/9", "value": 1}, Invalid, "(add /l/9)"),
        ({"op": "add", "path": "/l/x", "value": 1}, Invalid, "(add /l/x)"),
        ({"op": "move", "from": "/l", "path": "/l/0"}, Invalid, "(move /l/0)"),
        ({"op": "replace", "path": "", "value": []}, Invalid, "must stay a JSON object"),
        ({"op": "grow", "path": "/a"}, BadRequest, "operation 1 (grow /a) is malformed"),
        ({"op": "add", "path": "/a"}, BadRequest, "(add /a) is malformed"),
        ({"op": "add", "value": 1}, BadRequest, "is malformed"),
        ({"op": "add", "path": 3, "value": 1}, BadRequest, "is malformed"),
        ("add", BadRequest, "operation 1 (a string) is malformed"),
    ],
)
def test_a_wrong_operation_is_named(operation: Any, error: type[ApiError], said: str) -> None:
    with pytest.raises(error) as caught:
        apply_json_patch({"a": 1, "l": []}, [{"op": "test", "path": "/a", "value": 1}, operation])
    assert said in str(caught.value)


def test_a_json_patch_is_a_list_of_limited_length() -> None:
    with pytest.raises(BadRequest, match="must be a list of operations, not an object"):
        apply_json_patch({}, {"op": "add"})  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="at most 10000"):
        apply_json_patch({}, [{"op": "test", "path": "", "value": {}}] * (MAX_OPERATIONS + 1))


def merging(key: str = "", **properties: Any) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "array", "x-kubernetes-patch-strategy": "merge"}
    if key:
        return schema | {"x-kubernetes-patch-merge-key": key, "items": {"type": "object", "properties": properties}}
    return schema | {"items": {"type": "string"}}


SCHEMA = {
    "type": "object",
    "properties": {
        "containers": merging("name", ports=merging("containerPort"), args={"type": "array"}),
        "finalizers": merging(),
        "tolerations": {"type": "array"},
        "strategy": {"type": "object"},
    },
}


def strategic(obj: Any, patch: Any) -> Any:
    before = copy.deepcopy((obj, patch))
    result = apply_strategic_patch(obj, patch, SCHEMA)
    assert (obj, patch) == before
    return result


def named(*names: str, **more: Any) -> list[dict[str, Any]]:
    return [{"name": name} | more for name in names]


def test_lists_with_a_key_are_merged() -> None:
    obj = {"containers": [{"name": "a", "image": "1", "ports": [{"containerPort": 1}], "args": ["x"]}, {"name": "b"}]}
    patch = {
        "containers": [{"name": "a", "ports": [{"containerPort": 2}], "args": ["y"]}, {"name": "c", "image": None}]
    }
    assert strategic(obj, patch) == {
        "containers": [
            {"name": "a", "image": "1", "ports": [{"containerPort": 1}, {"containerPort": 2}], "args": ["y"]},
            {"name": "b"},
            {"name": "c"},
        ]
    }


def test_other_lists_are_replaced() -> None:
    assert strategic({"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "b"}]}) == {
        "tolerations": [{"key": "b"}]
    }


def test_lists_of_words_are_united() -> None:
    assert strategic({"finalizers": ["a", "b"]}, {"finalizers": ["b", "c"]}) == {"finalizers": ["a", "b", "c"]}
    patch = {
        "$deleteFromPrimitiveList/finalizers": ["a"],
        "$setElementOrder/finalizers": ["c", "b"],
        "finalizers": ["c"],
    }
    assert strategic({"finalizers": ["a", "b"]}, patch) == {"finalizers": ["c", "b"]}


def test_elements_are_deleted_by_directive() -> None:
    patch = {"containers": [{"name": "a", "$patch": "delete"}]}
    assert strategic({"containers": named("a", "b", "a")}, patch) == {"containers": named("b")}
    assert strategic({}, patch) == {"containers": []}


def test_lists_and_mappings_are_replaced_by_directive() -> None:
    patch = {"containers": [{"$patch": "replace"}, {"name": "z"}]}
    assert strategic({"containers": named("a", "b")}, patch) == {"containers": named("z")}
    assert strategic({"strategy": {"a": 1}}, {"strategy": {"$patch": "replace", "b": 2}}) == {"strategy": {"b": 2}}
    assert strategic({"strategy": {"a": 1}}, {"strategy": {"$patch": "delete"}}) == {"strategy": {}}
    assert strategic({"strategy": {"a": 1}}, {"strategy": {"$patch": "merge", "b": 2}}) == {
        "strategy": {"a": 1, "b": 2}
    }


def test_only_retained_keys_stay() -> None:
    obj = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}
    patch = {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}
    assert strategic(obj, patch) == {"strategy": {"type": "Recreate"}}


@pytest.mark.parametrize(
    ("order", "patch", "expected"),
    [
        (["b", "a"], [], ["b", "a"]),
        (["new", "a"], ["new"], ["new", "a", "b"]),
        (["a", "new"], ["new"], ["a", "b", "new"]),
        (["b", "new"], ["new"], ["a", "b", "new"]),
        (["b", "new", "a"], ["new"], ["b", "new", "a"]),
    ],
)
def test_elements_stand_in_the_order_that_is_set(order: list[str], patch: list[str], expected: list[str]) -> None:
    directives = {"$setElementOrder/containers": named(*order)} | ({"containers": named(*patch)} if patch else {})
    merged = strategic({"containers": named("a", "b")}, directives)
    assert [container["name"] for container in merged["containers"]] == expected


def test_null_removes() -> None:
    assert strategic({"strategy": {"a": 1}, "x": 1}, {"strategy": {"a": None}, "x": None}) == {"strategy": {}}


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        ([], "must be a JSON object"),
        ({"$patch": "mend"}, "can be merge, replace or delete"),
        ({"containers": [{"image": "a"}]}, "lacks 'name'"),
        ({"containers": ["a"]}, "list of objects"),
        ({"$setElementOrder/containers": "a"}, "must be a list"),
        ({"$deleteFromPrimitiveList/finalizers": {}}, "must be a list"),
        ({"$retainKeys": "a"}, "must be a list"),
        ({"$retainKeys": ["a"], "b": 1}, "it lacks b"),
    ],
)
def test_a_malformed_strategic_patch_is_named(patch: Any, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        apply_strategic_patch({}, patch, SCHEMA)


def test_what_a_json_patch_does_not_find_is_named_and_not_all_that_is_there() -> None:
    with pytest.raises(Invalid) as caught:
        apply_json_patch({"spec": {"secret": "x"}}, [{"op": "replace", "path": "/spec/nope/x", "value": 1}])
    assert caught.value.message == (
        "JSON patch operation 0 (replace /spec/nope/x) cannot be applied: member 'nope' not found"
    )
