"""Whatever a step leaves behind, it has outputs that can be kept, or an error for people; nothing else."""

import json
import posixpath
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from beamhall.pipelines.engine.values import Outputs
from beamhall.pipelines.spec.types import conform
from beamhall.pipelines.steps.values import BadOutput
from tests.unit.pipelines.steps.starts import DATASET, OneTask, dataset

KINDS = {
    "s": "STRING", "i": "NUMBER_INTEGER", "f": "NUMBER_DOUBLE", "b": "BOOLEAN", "l": "LIST", "d": "STRUCT",
    "u": "PARAMETER_TYPE_ENUM_UNSPECIFIED",
}  # fmt: skip
GIVING = OneTask(outputs=KINDS)
MAKING = OneTask(
    makes={"a": DATASET, "as": {**DATASET, "isArtifactList": True}}, artifacts={"data": dataset("/mnt/data")}
)
ROOT, RUN = MAKING.step().root, MAKING.facts.root

TEXT = st.text(max_size=6) | st.sampled_from(["true", "7", "[1]", "\ud800"])
PLACE = st.sampled_from(
    [
        f"{ROOT}/a", f"{ROOT}/x/../y", f"{RUN}/x/../../..", f"file://{RUN}/b", "/etc/passwd", "/mnt/data/x",
        "/mnt/database", "s3://b/k", "..", "relative", "",
    ]
)  # fmt: skip
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
GOOD = {
    "s": TEXT, "i": st.integers(), "f": st.floats(allow_nan=False, allow_infinity=False), "b": st.booleans(),
    "l": st.lists(ANY, max_size=3), "d": st.dictionaries(st.text(max_size=3), ANY, max_size=3),
    "u": TEXT | st.integers(),
}  # fmt: skip
METADATA = st.dictionaries(st.sampled_from(["a", "_kfp_workspace", "store_session_info"]), st.floats() | ANY)
ENTRY = st.fixed_dictionaries({"name": st.text(max_size=3), "uri": PLACE, "metadata": METADATA})
MOVED = st.fixed_dictionaries({"uri": PLACE, "custom_path": PLACE})
ODD = st.fixed_dictionaries({}, optional=dict.fromkeys(("name", "uri", "metadata", "custom_path"), ANY))
LISTED = st.fixed_dictionaries({"artifacts": st.lists(ENTRY | MOVED | ODD, max_size=2)})
FILES = st.fixed_dictionaries({}, optional=dict.fromkeys(KINDS, st.binary(max_size=8) | st.just(b"[1, 2.0]")))


def assert_can_be_kept(outputs: Outputs) -> None:
    text = json.dumps(msgspec.to_builtins(outputs), allow_nan=False)
    assert msgspec.json.decode(msgspec.json.encode(outputs)) == json.loads(text)


@settings(max_examples=200, deadline=None)
@given(st.fixed_dictionaries(GOOD), st.sampled_from([*KINDS, "none"]), ANY, FILES)
def test_parameters_are_of_their_types_or_wrong(good: Any, key: str, value: Any, files: Any) -> None:
    told = json.dumps({"parameterValues": {**good, key: value}}).encode()
    try:
        outputs = GIVING.outputs(told=told, **files)
    except BadOutput:
        return
    assert outputs.parameters.keys() == KINDS.keys()
    for name, spec in GIVING.start.component.output_definitions.parameters.items():
        assert conform(outputs.parameters[name], spec.parameter_type) == outputs.parameters[name]
    assert_can_be_kept(outputs)


@settings(max_examples=200, deadline=None)
@given(st.fixed_dictionaries({"a": LISTED, "as": LISTED}) | ANY)
def test_artifacts_are_where_they_may_be_or_wrong(artifacts: Any) -> None:
    try:
        outputs = MAKING.outputs(told=json.dumps({"artifacts": artifacts}).encode())
    except BadOutput:
        return
    assert outputs.artifacts.keys() == {"a", "as"}
    assert len(outputs.artifacts["a"]) == 1
    for ref in (*outputs.artifacts["a"], *outputs.artifacts["as"]):
        assert not ref.metadata.keys() & {"_kfp_workspace", "store_session_info"}
        if "://" not in ref.uri:
            assert ref.uri == posixpath.normpath(ref.uri)
            assert ref.uri.startswith((f"{RUN}/", "/mnt/data/"))
    assert_can_be_kept(outputs)


@given(st.binary(max_size=20) | ANY.map(lambda value: json.dumps(value).encode()))
def test_rubbish_is_told_to_be(told: bytes) -> None:
    for one in (GIVING, MAKING):
        try:
            assert_can_be_kept(one.outputs(told=told))
        except BadOutput as error:
            assert str(error)  # noqa: PT017  either may happen
