"""What an earlier result is found by: what changes it, what does not, and who has none."""

from typing import Any

import pytest

from tests.unit.pipelines.steps.starts import DATASET, OneTask, dataset

BASE: dict[str, Any] = {
    "container": {"image": "i", "command": ["train"], "args": ["{{$}}"], "env": [{"name": "A", "value": "1"}]},
    "inputs": {"n": "NUMBER_INTEGER"},
    "given": {"n": 3.0},
    "artifacts": {"data": dataset("/data/d")},
    "outputs": {"out": "STRING"},
    "makes": {"model": DATASET},
    "caching": {"enableCache": True},
}  # fmt: skip


def fingerprint(**changes: Any) -> str:
    what = {**BASE, **changes}
    one = OneTask(component=what.pop("component", {}), more={"cachingOptions": what.pop("caching")}, **what)
    return one.steps.fingerprint_of(one.start)


def test_it_is_the_same_in_every_run_and_says_nothing() -> None:
    found = fingerprint()
    assert len(found) == 64
    assert found == fingerprint()
    assert found == fingerprint(facts={"pipeline_root": "/elsewhere", "display_name": "another"})
    assert found == fingerprint(given={"n": 3})
    assert found == fingerprint(kubernetes={"nodeSelector": {"labels": {"a": "b"}}})
    assert found == fingerprint(container={**BASE["container"], "resources": {"resourceCpuLimit": "2"}})
    assert found == fingerprint(artifacts={"data": dataset("/data/d", id="7", metadata={"rows": 3})})


@pytest.mark.parametrize(
    "change",
    [
        {"given": {"n": 4.0}},
        {"container": {**BASE["container"], "image": "python:3.12"}},
        {"container": {**BASE["container"], "args": ["{{$}}", "x"]}},
        {"container": {**BASE["container"], "env": []}},
        {"artifacts": {"data": dataset("/data/d2")}},
        {"artifacts": {"data": dataset("/data/d", name="other")}},
        {"outputs": {"out": "NUMBER_INTEGER"}},
        {"outputs": {"out2": "STRING"}},
        {"makes": {"model": {"artifactType": {"schemaTitle": "system.Model"}}}},
        {"pipeline": "other"},
        {"caching": {"enableCache": True, "cacheKey": "mine"}},
    ],
)
def test_what_changes_it(change: dict[str, Any]) -> None:
    assert fingerprint(**change) not in ("", fingerprint())


def test_a_key_of_the_user_s_own_counts_alone() -> None:
    key = {"caching": {"enableCache": True, "cacheKey": "mine"}}
    assert fingerprint(**key) == fingerprint(**key, given={"n": 4.0})
    assert fingerprint(**key) != fingerprint(caching={"enableCache": True, "cacheKey": "other"})
    assert fingerprint(**key) != fingerprint(**key, pipeline="other")
    assert fingerprint(**key) == fingerprint(**key, kubernetes={"pvcMount": [{"constant": "c", "mountPath": "/c"}]})


@pytest.mark.parametrize(
    "change",
    [
        {"caching": {}},
        {"caching": {"enableCache": False, "cacheKey": "mine"}},
        {"facts": {"caching": False}},
        {"kubernetes": {"pvcMount": [{"constant": "c", "mountPath": "/c"}]}},
        {"container": {"image": "argostub/createpvc"}},
        {"container": {"image": "argostub/deletepvc"}},
        {"importer": {"artifactUri": {"constant": "/x"}}},
    ],
)
def test_who_has_none(change: dict[str, Any]) -> None:
    assert fingerprint(**change) == ""


def test_what_is_handed_to_a_component_counts() -> None:
    handed = {
        "inputs": {"n": "NUMBER_INTEGER", "config": {"parameterType": "TASK_CONFIG", "isOptional": True}},
        "component": {"taskConfigPassthroughs": [{"field": "KUBERNETES_NODE_SELECTOR"}]},
    }
    one = fingerprint(**handed, kubernetes={"nodeSelector": {"labels": {"a": "b"}}})
    assert one != fingerprint(**handed, kubernetes={"nodeSelector": {"labels": {"a": "c"}}})
    found = {
        value: fingerprint(
            **handed,
            kubernetes={"nodeSelector": {"nodeSelectorJson": {"componentInputParameter": "selector"}}},
            root={"selector": {"parameterType": "STRUCT"}},
            run={"selector": {"a": value}},
        )
        for value in "bc"
    }
    assert found["b"] != found["c"]
