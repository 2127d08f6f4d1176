"""Objects as bytes: what is spliced is what reading and writing again would give, whatever is in an object."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamhall.embedded.store.tables import decode, encode, whole

texts = st.one_of(
    st.text(max_size=8), st.sampled_from(('"metadata":{', "\\", '"', "{", "metadata", '\\"metadata\\":{'))
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)


@given(
    kind=values, version=values, metadata=st.dictionaries(texts, values, max_size=3),
    rest=st.dictionaries(texts, values, max_size=3), revision=st.integers(1, 2**62),
)  # fmt: skip
def test_a_spliced_object_is_the_object(
    kind: Any, version: Any, metadata: dict[str, Any], rest: dict[str, Any], revision: int
) -> None:
    metadata.pop("resourceVersion", None)
    value = encode({**rest, "kind": kind, "metadata": metadata, "apiVersion": version})
    assert msgspec.json.decode(whole(value, revision)) == decode(value, revision)


@pytest.mark.parametrize(
    "value",
    [
        b'{"spec":{"metadata":{"name":"inner"}},"metadata":{"name":"x"}}',
        b'{"a":"\\"metadata\\":{","metadata":{"name":"x"},"spec":{"metadata":{}}}',
        b'{"metadata":{}}',
    ],
)
def test_fields_in_another_order_are_no_trap(value: bytes) -> None:
    expected = json.loads(value)
    expected["metadata"]["resourceVersion"] = "7"
    assert json.loads(whole(value, 7)) == expected
