"""Rules in CEL: what they see, what they say, and which are refused."""

import subprocess
import sys
from typing import Any

import pytest

from beamhall.embedded.api.expressions.language import Expression, ExpressionError
from beamhall.embedded.api.expressions.rules import Rules, rule_problems
from beamhall.embedded.api.expressions.values import cel_value, escaped
from beamhall.kernel.errors import BadRequest, Invalid
from beamhall.kernel.kinds import CUSTOM_RESOURCE_DEFINITION
from tests.unit.embedded.api.conftest import TOY, TOY_SCHEMA, toy, toy_definition


def rule(text: str, **more: Any) -> dict[str, Any]:
    return {"rule": text, **more}


def ruled(schema: dict[str, Any], *rules: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "x-kubernetes-validations": list(rules)}


def root(spec: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"spec": spec}}


TEXT = {"type": "string"}
NUMBER = {"type": "integer"}


def said(schema: dict[str, Any], spec: Any, old: Any = ...) -> list[tuple[str, str]]:
    """Give what a schema's rules say, as (field, message)."""
    before = None if old is ... else {"spec": old}
    return [(cause.field, cause.message) for cause in Rules(root(schema)).causes({"spec": spec}, before)]


@pytest.mark.parametrize(
    ("text", "value", "schema"),
    [
        ("self.min <= self.max", {"min": 1, "max": 2}, {"min": NUMBER, "max": NUMBER}),
        ("has(self.a) && !has(self.b)", {"a": "x", "b": None}, {"a": TEXT, "b": {**TEXT, "nullable": True}}),
        ("self.n + 0.5 > 1.0", {"n": 1}, {"n": {"type": "number"}}),
        ("timestamp(self.at) > timestamp('2020-01-01T00:00:00Z')", {"at": "2021-01-01T00:00:00Z"},
         {"at": {**TEXT, "format": "date-time"}}),
        ("duration(self.for_) == duration('90m')", {"for_": "1h30m"}, {"for_": {**TEXT, "format": "duration"}}),
        ("self.__namespace__ == 'a' && self.x__dash__y == 1", {"namespace": "a", "x-y": 1},
         {"namespace": TEXT, "x-y": NUMBER}),
        ("self.port == 80 || self.port == 'http'", {"port": "http"}, {"port": {"x-kubernetes-int-or-string": True}}),
        ("quantity(self.q).isGreaterThan(quantity('1Gi')) && quantity('1000m') == quantity('1')", {"q": "2Gi"},
         {"q": TEXT}),
        ("isURL(self.u) && url(self.u).getHostname() == 'a' && url(self.u).getPort() == '8'", {"u": "http://a:8/x"},
         {"u": TEXT}),
        ("self.s.split(',').size() == 2 && self.s.find('[a-z]') == 'a'", {"s": "a,b"}, {"s": TEXT}),
        ("self.l.isSorted() && self.l.sum() == 3 && self.l.max() == 2", {"l": [1, 2]},
         {"l": {"type": "array", "items": NUMBER}}),
        ("self.?a.orValue('none') == 'none'", {}, {"a": TEXT}),
        ("isIP('10.0.0.1') && !isIP('x') && cidr('10.0.0.0/8').containsIP('10.1.1.1')", {}, {}),
        ("self.m.all(k, self.m[k] > 0)", {"m": {"x-1": 1}}, {"m": {"type": "object", "additionalProperties": NUMBER}}),
    ],
)  # fmt: skip
def test_what_is_true_is_silent(text, value, schema):
    node = ruled({"type": "object", "properties": schema}, rule(text))
    assert list(rule_problems(root(node), "s")) == []
    assert said(node, value) == []
    denied = ruled({"type": "object", "properties": schema}, rule(f"!({text})", message="no"))
    assert said(denied, value) == [("spec", 'Invalid value: "object": no')]


def test_times_and_durations_alone_are_no_texts():
    at = {**TEXT, "format": "date-time"}
    assert said(ruled(at, rule("self > timestamp('2020-01-01T00:00:00Z')")), "2021-01-01T00:00:00Z") == []
    assert said(ruled({**TEXT, "format": "duration"}, rule("self == duration('90m')")), "1h30m") == []
    assert said(ruled({**TEXT, "format": "byte"}, rule("self == b'a'")), "YQ==") == []


def test_messages_reasons_and_paths():
    assert said(ruled(NUMBER, rule("self > 1")), 1) == [("spec", 'Invalid value: "integer": failed rule: self > 1')]
    node = ruled(
        {"type": "object", "properties": {"a": NUMBER}},
        rule("self.a > 1", message="m", messageExpression="'a is ' + string(self.a)", fieldPath=".a"),
        rule("self.a > 1", message="m", messageExpression="string(self.nope)", reason="FieldValueForbidden"),
        rule("self.a > 1", message="m", reason="FieldValueRequired"),
    )
    assert said(node, {"a": 1}) == [
        ("spec.a", 'Invalid value: "object": a is 1'),
        ("spec", "Forbidden: m"),
        ("spec", "Required value: m"),
    ]


def test_rules_stand_anywhere():
    items = ruled({"type": "object", "properties": {"n": NUMBER}}, rule("self.n > 0", message="n"))
    node = {
        "type": "object",
        "properties": {
            "list": {"type": "array", "items": items},
            "map": {"type": "object", "additionalProperties": items},
        },
    }
    assert said(node, {"list": [{"n": 1}, {"n": 0}], "map": {"x": {"n": 0}}}) == [
        ("spec.list[1]", 'Invalid value: "object": n'),
        ("spec.map.x", 'Invalid value: "object": n'),
    ]


def test_the_root_sees_its_name_only():
    schema = ruled(root(NUMBER), rule("self.metadata.name.size() < 3 && !has(self.metadata.labels)", message="m"))
    obj = {"apiVersion": "v1", "kind": "X", "metadata": {"name": "ab", "labels": {"a": "b"}}, "spec": 1}
    assert Rules(schema).causes(obj, None) == []
    (cause,) = Rules(schema).causes({**obj, "metadata": {"name": "abc"}}, None)
    assert cause.field == ""


def test_transitions_need_a_value_before():
    node = ruled(TEXT, rule("self == oldSelf", message="immutable"))
    assert said(node, "a") == []
    assert said(node, "a", "a") == []
    assert said(node, "b", "a") == [("spec", 'Invalid value: "string": immutable')]
    optional = ruled(TEXT, rule("oldSelf.hasValue() || self == 'first'", message="m", optionalOldSelf=True))
    assert list(rule_problems(optional, "s")) == []
    assert said(optional, "first") == []
    assert said(optional, "x") == [("spec", 'Invalid value: "string": m')]
    assert said(optional, "x", "first") == []


def test_items_are_told_apart_by_their_keys():
    item = ruled({"type": "object", "properties": {"k": TEXT, "n": NUMBER}}, rule("self.n >= oldSelf.n", message="m"))
    node = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": item}
    before = [{"k": "a", "n": 1}, {"k": "b", "n": 5}]
    assert said(node, [{"k": "b", "n": 5}, {"k": "c", "n": 0}, {"k": "a", "n": 0}], before) == [
        ("spec[2]", 'Invalid value: "object": m')
    ]


def test_what_did_not_change_is_not_asked_again():
    node = ruled(NUMBER, rule("self > 1", message="m"))
    assert said(node, 0, 0) == []
    assert said(node, 0, 1) == [("spec", 'Invalid value: "integer": m')]


def test_rules_that_fail_are_told():
    node = ruled({"type": "object", "properties": {"a": NUMBER}}, rule("self.a / 0 == 1", message="m"))
    ((_, message),) = said(node, {"a": 1})
    assert "divide by zero" in message
    assert message.endswith("evaluating rule: m")


def test_no_rule_runs_for_ever():
    many = {"type": "array", "items": NUMBER}
    ((_, message),) = said(ruled(many, rule("self.all(a, self.all(b, self.all(c, a + b + c >= 0)))")), list(range(200)))
    assert "budget" in message
    each = {"type": "array", "items": ruled(NUMBER, rule("self >= 0"))}
    ((field, message),) = said(each, list(range(6000)))
    assert field == "spec[5000]"
    assert "running out of cost budget" in message


@pytest.mark.parametrize(
    ("schema", "field", "message"),
    [
        (ruled(NUMBER, rule("self >")), "rule", "compilation failed: ERROR: <input>:1:7: Syntax error"),
        (ruled(NUMBER, rule("self + 1")), "rule", "must evaluate to a bool"),
        (ruled(NUMBER, rule("self == 'a'")), "rule", "no matching overload"),
        (ruled(NUMBER, rule("other == 1")), "rule", "undeclared reference to 'other'"),
        (ruled(NUMBER, rule("self.fancy() == 1")), "rule", "undeclared reference to 'fancy'"),
        (ruled(NUMBER, rule("true", messageExpression="1")), "messageExpression", "must evaluate to a string"),
        (ruled(NUMBER, rule("true", reason="Because")), "reason", "supported values"),
        (ruled(NUMBER, rule(" ")), "rule", "rule must not be empty"),
        ({"type": "array", "items": ruled(NUMBER, rule("self == oldSelf"))}, "rule", "uncorrelatable portion"),
    ],
)
def test_rules_that_are_refused(schema, field, message):
    (cause,) = rule_problems(schema, "s")
    assert cause.field.endswith(f"x-kubernetes-validations[0].{field}")
    assert message in cause.message


def test_names_are_escaped():
    assert [escaped(name) for name in ("a", "in", "a.b", "a-b", "a/b", "a__b")] == [
        "a", "__in__", "a__dot__b", "a__dash__b", "a__slash__b", "a__underscores__b",
    ]  # fmt: skip


def test_what_a_schema_does_not_declare_is_not_seen():
    schema = {"type": "object", "properties": {"a": NUMBER}, "x-kubernetes-preserve-unknown-fields": True}
    assert cel_value({"a": 1, "b": 2}, schema) == {"a": 1}


def test_expressions_name_their_fault():
    with pytest.raises(ExpressionError, match="there is no oldSelf"):
        Expression("self == oldSelf", "int").run(1)


async def test_definitions_and_objects(client):
    spec = TOY_SCHEMA["properties"]["spec"]
    rules = [rule("self.size == oldSelf.size", message="size is immutable"), rule("self.size < 10", message="too big")]
    schema = {**TOY_SCHEMA, "properties": {**TOY_SCHEMA["properties"], "spec": ruled(spec, *rules)}}
    wrong = {**schema, "properties": {"spec": ruled(spec, rule("self.size +"))}}
    with pytest.raises(Invalid, match="compilation failed"):
        await client.create(CUSTOM_RESOURCE_DEFINITION, toy_definition(schema={"openAPIV3Schema": wrong}))
    await client.create(CUSTOM_RESOURCE_DEFINITION, toy_definition(schema={"openAPIV3Schema": schema}))
    await client.create(TOY, toy(size=1))
    with pytest.raises(Invalid) as caught:
        await client.patch(TOY, "t", "default", {"spec": {"size": 2}})
    assert caught.value.message == ('Toy.example.org "t" is invalid: spec: Invalid value: "object": size is immutable')
    with pytest.raises(Invalid, match="too big"):
        await client.create(TOY, toy("u", size=10))
    with pytest.raises((Invalid, BadRequest)):
        await client.create(TOY, toy("v", size=0))


def test_cel_is_not_loaded_before_a_rule_is_met():
    code = "import sys; import beamhall.embedded.api.factory; sys.exit('cel_expr_python' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
