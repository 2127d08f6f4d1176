"""YAML bodies."""

import pytest

from beamhall.embedded.api.yaml_form import dump, load
from beamhall.kernel.errors import BadRequest


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 2026-01-02", {"a": "2026-01-02"}),
        ("a: 2026-01-02T03:04:05Z", {"a": "2026-01-02T03:04:05Z"}),
        ("a: yes", {"a": True}),
        ("a: '1'\nb: 1\nc: 1.5\nd: null", {"a": "1", "b": 1, "c": 1.5, "d": None}),
        ("a: 5 * 3 # " + "x" * 2_000, {"a": "5 * 3"}),
        ("[1, 2]", [1, 2]),
    ],
)
def test_values(text, value):
    assert load(text.encode()) == value


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_is_refused_before_it_overruns_the_stack(opening):
    with pytest.raises(BadRequest, match="nested more than"):
        load((opening * 100_000).encode())


def test_aliases_are_refused():
    with pytest.raises(BadRequest, match=r"alias \(\*a\)"):
        load(b"x: &a [1]\ny: [*a, *a]")


@pytest.mark.parametrize(
    "text", ["a: [1,", "a: b: c", "!!python/object:os.system {}", "a: \x00", "---\na: 1\n---\nb: 2"]
)
def test_what_is_no_single_yaml_document_is_refused(text):
    with pytest.raises(BadRequest):
        load(text.encode())


def test_round_trip():
    value = {"a": [1, "2026-01-02", None, {"b": True}], "c": "ü"}
    assert load(dump(value)) == value
