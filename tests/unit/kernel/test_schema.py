"""Structural schemas: what is refused and in which words, what is filled in, what is dropped."""

import copy
from typing import Any

import pytest

from beamhall.kernel.schema import Schema, unknown_field_message

ROOT = {"apiVersion": "a/v1", "kind": "Thing", "metadata": {"name": "a"}}


def schema_of(spec: dict[str, Any]) -> Schema:
    return Schema({"type": "object", "properties": {"spec": spec}})


def problems(spec: dict[str, Any], value: Any) -> list[tuple[str, str]]:
    return [(cause.field, cause.message) for cause in schema_of(spec).validate(ROOT | {"spec": value})]


@pytest.mark.parametrize(
    ("spec", "good", "bad", "said"),
    [
        ({"type": "integer"}, [1, -3, 2.0], [1.5, "1", True, [], None], "must be an integer"),
        ({"type": "number"}, [1, 1.5], ["1", False], "must be a number"),
        ({"type": "string"}, ["", "a"], [1, {}], "must be a string"),
        ({"type": "boolean"}, [True, False], [0, "true"], "must be a boolean (true or false)"),
        ({"type": "array"}, [[]], [{}, "a"], "must be a list"),
        ({"type": "object"}, [{}], [[], 1], "must be an object"),
        ({"x-kubernetes-int-or-string": True}, [1, "50%"], [1.5, True], "must be an integer or a string"),
        ({"type": "string", "nullable": True}, [None, "a"], [1], "must be a string"),
        ({"type": "integer", "minimum": 1, "maximum": 3}, [1, 3], [0], "must be at least 1"),
        ({"type": "integer", "maximum": 3}, [3], [4], "must be at most 3"),
        ({"type": "number", "minimum": 0, "exclusiveMinimum": True}, [0.1], [0], "must be more than 0"),
        ({"type": "number", "maximum": 1, "exclusiveMaximum": True}, [0.9], [1], "must be less than 1"),
        ({"type": "integer", "multipleOf": 5}, [10], [11], "must be a multiple of 5"),
        ({"type": "integer", "format": "int32"}, [2**31 - 1, -(2**31)], [2**31], "(int32)"),
        ({"type": "integer", "format": "int64"}, [2**63 - 1], [2**63], "(int64)"),
        ({"type": "string", "minLength": 1}, ["a"], [""], "must have at least 1 character"),
        ({"type": "string", "maxLength": 2}, ["ää"], ["abc"], "may not be more than 2 characters; it has 3"),
        ({"type": "string", "pattern": "^a+$"}, ["aa"], ["ab", "a\n"], "must match the pattern"),
        ({"type": "string", "enum": ["a", "b"]}, ["a"], ["c"], 'Unsupported value: "c": supported values: "a", "b"'),
        ({"enum": [1, "x", None]}, [1, 1.0, "x"], [True, 2], "supported values: 1"),
        ({"type": "array", "minItems": 1}, [[1]], [[]], "must have at least 1 item"),
        ({"type": "array", "maxItems": 1}, [[1]], [[1, 2]], "Too many: 2: must have at most 1 items"),
        ({"type": "object", "minProperties": 1}, [{"a": 1}], [{}], "at least 1 entries"),
        ({"type": "object", "maxProperties": 1}, [{"a": 1}], [{"a": 1, "b": 1}], "at most 1 entries"),
        ({"type": "array", "uniqueItems": True}, [[1, True]], [[{"a": 1}, {"a": 1.0}]], 'Duplicate value: {"a": 1.0}'),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, [1, "a"], [[]], "must fit at least one of"),
        ({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, [{"a": 1}], [{}, {"a": 1, "b": 1}], "exactly one of"),
        ({"not": {"required": ["a"]}}, [{"b": 1}], [{"a": 1}], "must not fit"),
        ({"allOf": [{"minimum": 1}, {"maximum": 2}]}, [1, 2], [0, 3], "must be at"),
    ],
)
def test_values(spec: dict[str, Any], good: list[Any], bad: list[Any], said: str) -> None:
    for value in good:
        assert problems(spec, value) == [], value
    for value in bad:
        ((field, message),) = problems(spec, value)
        assert field.startswith("spec")
        assert said in message


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date-time", ["2006-01-02T15:04:05Z", "2006-01-02T15:04:05.123456789+02:00", "2016-12-31T23:59:60Z"],
         ["2006-01-02", "2006-13-02T15:04:05Z", "2006-01-02 15:04:05Z", "2006-01-02T15:04:05"]),
        ("date", ["2006-01-02"], ["2006-1-2", "today"]),
        ("duration", ["0", "90s", "1h30m", "-1.5h", "10µs"], ["", "1", "1d", "h"]),
        ("byte", ["", "eHg="], ["x", "e-=="]),
        ("ipv4", ["10.0.0.1"], ["10.0.0", "::1", "256.1.1.1"]),
        ("ipv6", ["::1"], ["10.0.0.1", "g::"]),
        ("cidr", ["10.0.0.0/8", "fd00::/8"], ["10.0.0.0/33", "a"]),
        ("uuid", ["0c1b0e72-2e06-4e2e-8f5d-1a9a1d6a6b1e"], ["0c1b"]),
        ("uri", ["https://a.b/c", "s3://bucket"], ["a/b", "http://[", "a b:c"]),
        ("hostname", ["a.b-c", "A"], ["-a", "a_b", "a" * 64]),
        ("email", ["a@b"], ["a", "a@b@c"]),
        ("unheard-of", ["anything"], []),
    ],
)  # fmt: skip
def test_formats(name: str, good: list[str], bad: list[str]) -> None:
    spec = {"type": "string", "format": name}
    for text in good:
        assert problems(spec, text) == [], text
    for text in bad:
        ((field, message),) = problems(spec, text)
        assert (field, message.startswith("Invalid value: ")) == ("spec", True)


def test_problems_are_found_where_they_are() -> None:
    spec = {
        "type": "object",
        "required": ["name", "size"],
        "properties": {
            "size": {"type": "integer"},
            "replicas": {"type": "object", "additionalProperties": {"type": "object", "required": ["n"]}},
            "ports": {
                "type": "array",
                "items": {"type": "object", "properties": {"port": {"maximum": 9, "type": "integer"}}},
            },
        },
    }
    value = {"size": "x", "replicas": {"Worker": {}}, "ports": [{"port": 1}, {"port": 10}]}
    assert problems(spec, value) == [
        ("spec.name", "Required value"),
        ("spec.size", 'Invalid value: "x": must be an integer'),
        ("spec.replicas.Worker.n", "Required value"),
        ("spec.ports[1].port", "Invalid value: 10: must be at most 9"),
    ]


def test_null_says_how_to_unset() -> None:
    assert problems({"type": "string"}, None) == [
        ("spec", "Invalid value: null: must be a string; leave the field out to have it unset")
    ]


def test_lists_are_sets_or_maps() -> None:
    as_set = {"type": "array", "x-kubernetes-list-type": "set"}
    assert problems(as_set, ["a", "b", "a"]) == [("spec[2]", 'Duplicate value: "a"')]
    items = {"type": "object", "properties": {"protocol": {"type": "string", "default": "TCP"}}}
    as_map = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["port", "protocol"],
        "items": items,
    }
    assert problems(as_map, [{"port": 1}, {"port": 1, "protocol": "UDP"}, {"port": 2}]) == []
    ((field, _),) = problems(as_map, [{"port": 1}, {"port": 1, "protocol": "TCP"}])
    assert field == "spec[1]"


def test_a_resource_has_kind_and_version() -> None:
    causes = Schema({"type": "object"}).validate({"metadata": 1, "kind": ""})
    assert sorted(cause.field for cause in causes) == ["apiVersion", "kind", "metadata"]
    embedded = {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}
    assert [field for field, _ in problems(embedded, {"spec": {}})] == ["spec.apiVersion", "spec.kind"]


def test_a_pattern_that_cannot_be_read_lets_pass() -> None:
    assert problems({"type": "string", "pattern": r"(?P<"}, "anything") == []


def test_patterns_are_those_of_go() -> None:
    spec = {"type": "string", "pattern": r"^[[:alpha:]_][[:digit:]]*\z"}
    assert problems(spec, "_12") == []
    assert [field for field, _ in problems(spec, "1")] == ["spec"]


def test_long_values_are_not_repeated_whole() -> None:
    ((_, message),) = problems({"type": "integer"}, "x" * 10_000)
    assert len(message) < 200


FULL = schema_of(
    {
        "type": "object",
        "default": {},
        "properties": {
            "size": {"type": "integer", "default": 1},
            "maybe": {"type": "string", "nullable": True, "default": "x"},
            "nested": {"type": "object", "properties": {"deep": {"type": "array", "default": [1]}}},
            "list": {
                "type": "array",
                "items": {"type": "object", "properties": {"p": {"type": "string", "default": "TCP"}}},
            },
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"q": {"default": 0}}}},
            "free": {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": True,
                "properties": {"strict": {"type": "object", "properties": {"a": {"type": "string"}}}},
            },
            "any": {"type": "object", "additionalProperties": True},
            "template": {
                "type": "object",
                "x-kubernetes-embedded-resource": True,
                "properties": {"spec": {"type": "object"}},
            },
        },
    }
)


def test_defaults_are_filled_in() -> None:
    obj: dict[str, Any] = copy.deepcopy(ROOT)
    FULL.default(obj)
    assert obj["spec"] == {"size": 1, "maybe": "x"}
    obj = ROOT | {"spec": {"size": None, "maybe": None, "nested": {}, "list": [{}, {"p": "UDP"}], "map": {"k": {}}}}
    FULL.default(obj)
    assert obj["spec"] == {
        "size": 1,
        "maybe": None,
        "nested": {"deep": [1]},
        "list": [{"p": "TCP"}, {"p": "UDP"}],
        "map": {"k": {"q": 0}},
    }
    obj["spec"]["nested"]["deep"].append(2)
    other: dict[str, Any] = {"spec": {"nested": {}}}
    FULL.default(other)
    assert other["spec"]["nested"] == {"deep": [1]}


def test_unknown_fields_are_named_and_dropped() -> None:
    obj = ROOT | {
        "extra": 1,
        "metadata": {"anything": {"goes": 1}},
        "spec": {
            "sise": 1,
            "list": [{"p": "a"}, {"z": 1}],
            "map": {"any key": {"z": 1}},
            "free": {"anything": {"goes": 1}, "strict": {"a": "1", "b": "2"}},
            "any": {"a": {"b": 1}},
            "template": {"apiVersion": "v1", "kind": "A", "metadata": {"x": 1}, "spec": {"z": 1}, "status": {}},
        },
    }
    expected = [
        "extra",
        "spec.sise",
        "spec.list[1].z",
        "spec.map.any key.z",
        "spec.free.strict.b",
        "spec.template.spec.z",
        "spec.template.status",
    ]
    before = copy.deepcopy(obj)
    assert sorted(FULL.unknown_fields(obj)) == sorted(expected)
    assert obj == before
    assert sorted(FULL.prune(obj)) == sorted(expected)
    assert FULL.unknown_fields(obj) == []
    assert obj == ROOT | {
        "metadata": {"anything": {"goes": 1}},
        "spec": {
            "list": [{"p": "a"}, {}],
            "map": {"any key": {}},
            "free": {"anything": {"goes": 1}, "strict": {"a": "1"}},
            "any": {"a": {"b": 1}},
            "template": {"apiVersion": "v1", "kind": "A", "metadata": {"x": 1}, "spec": {}},
        },
    }


def test_unknown_fields_are_told_in_words_that_users_know() -> None:
    assert unknown_field_message("spec.contaners") == 'unknown field "spec.contaners"'
