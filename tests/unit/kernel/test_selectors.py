"""Selectors: what they match, and how they are read."""

import pytest

from beamhall.kernel.selectors import (
    EVERYTHING,
    field_at,
    field_matcher,
    parse_field_selector,
    parse_selector,
    selector_from_labels,
    selector_from_object,
)


@pytest.mark.parametrize(
    ("text", "matching", "other"),
    [
        ("", {}, None),
        ("a", {"a": ""}, {"b": "1"}),
        ("!a", {"b": "1"}, {"a": "1"}),
        ("! a", {}, {"a": "1"}),
        ("a=1", {"a": "1"}, {"a": "2"}),
        ("a==1", {"a": "1"}, {}),
        ("a=", {"a": ""}, {"a": "1"}),
        ("a != 1", {}, {"a": "1"}),
        ("a in (1, 2)", {"a": "2"}, {"a": "3"}),
        ("a notin (1,2)", {}, {"a": "1"}),
        ("a in (1,2),b.c/d=x,!e", {"a": "1", "b.c/d": "x"}, {"a": "1", "b.c/d": "x", "e": ""}),
    ],
)
def test_label_selectors(text: str, matching: dict[str, str], other: dict[str, str] | None) -> None:
    selector = parse_selector(text)
    assert selector.matches(matching)
    assert other is None or not selector.matches(other)


@pytest.mark.parametrize("text", ["a=b=c", "a in b", "a in (b", "=a", "a,,b", "a b", "a=(b)"])
def test_what_is_no_label_selector_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="label selector"):
        parse_selector(text)


def test_selectors_from_labels_and_objects() -> None:
    assert selector_from_labels({"b": "2", "a": "1"}) == parse_selector("a in (1),b in (2)")
    assert selector_from_labels({}) == EVERYTHING == selector_from_object({})
    selector = selector_from_object(
        {
            "matchLabels": {"a": "1"},
            "matchExpressions": [
                {"key": "b", "operator": "NotIn", "values": ["x"]},
                {"key": "c", "operator": "Exists"},
                {"key": "d", "operator": "DoesNotExist"},
            ],
        }
    )
    assert selector == parse_selector("a=1,b notin (x),c,!d")


def test_selector_objects_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="'Near' is unknown"):
        selector_from_object({"matchExpressions": [{"key": "a", "operator": "Near"}]})
    with pytest.raises(ValueError, match="null"):
        selector_from_object(None)


def test_field_selectors() -> None:
    assert parse_field_selector("status.phase!=Failed, spec.nodeName=n1") == [
        ("status.phase", False, "Failed"),
        ("spec.nodeName", True, "n1"),
    ]
    matches = field_matcher("status.phase!=Failed,spec.nodeName==n1,spec.hostNetwork=true")
    assert matches({"spec": {"nodeName": "n1", "hostNetwork": True}})
    assert not matches({"spec": {"nodeName": "n1", "hostNetwork": True}, "status": {"phase": "Failed"}})
    assert field_matcher("")({})
    assert field_at({"a": {"b": 3}}, "a.b") == "3"
    assert field_at({"a": "text"}, "a.b") == ""
    with pytest.raises(ValueError, match="'nonsense'"):
        parse_field_selector("nonsense")
