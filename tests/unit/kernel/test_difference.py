"""Merge patches between values."""

from hypothesis import given
from hypothesis import strategies as st

from beamhall.kernel.difference import merge_patch_between
from tests.planning import merge

_values = st.recursive(
    st.sampled_from([0, 1, "x", [], [1]]),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=4,
)
_objects = st.dictionaries(st.sampled_from("abc"), _values, max_size=3)


@given(_objects, _objects)
def test_the_patch_turns_one_into_the_other(old: dict[str, object], new: dict[str, object]) -> None:
    assert merge(old, merge_patch_between(old, new)) == new


@given(_objects)
def test_there_is_nothing_between_equals(value: dict[str, object]) -> None:
    assert merge_patch_between(value, value) == {}
