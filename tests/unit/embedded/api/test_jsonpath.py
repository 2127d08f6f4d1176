"""The JSONPath subset of printer columns."""

import pytest

from beamhall.embedded.api.jsonpath import JsonPath

OBJECT = {
    "spec": {"a": {"b": 1}, "list": [{"name": "x", "n": 1}, {"name": "y", "n": 2}], "flag": True},
    "metadata": {"annotations": {"example.org/key": "v"}},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Done", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.a.b", [1]),
        ("{.spec.a.b}", [1]),
        ("$.spec.a.b", [1]),
        ("spec.a.b", [1]),
        (".spec.missing", []),
        (".spec.a.b.c", []),
        (".spec.list[0].name", ["x"]),
        (".spec.list[-1].name", ["y"]),
        (".spec.list[-1:].name", ["y"]),
        (".spec.list[0:1].name", ["x"]),
        (".spec.list[7].name", []),
        (".spec.list[*].n", [1, 2]),
        (".spec.a.*", [1]),
        (r".metadata.annotations.example\.org/key", ["v"]),
        (".metadata.annotations['example.org/key']", ["v"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        ('.status.conditions[?(@.type!="Ready")].status', ["False"]),
        (".spec.list[?(@.n==2)].name", ["y"]),
    ],
)
def test_paths(path, found):
    assert JsonPath(path).find(OBJECT) == found


@pytest.mark.parametrize("path", [".a[", ".a..b", ".a[?(@.b>1)]", ".a[x]"])
def test_what_is_outside_the_subset_is_refused(path):
    with pytest.raises(ValueError, match="is not understood"):
        JsonPath(path)


def test_first():
    assert JsonPath(".spec.list[*].n").first(OBJECT) == 1
    assert JsonPath(".nothing").first(OBJECT) is None
