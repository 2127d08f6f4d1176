"""Claims that tasks make and delete, the workspace, and who mounts it."""

from typing import Any

import pytest

from beamhall.pipelines.steps.claims import claim_of as claim_at
from beamhall.pipelines.steps.claims import workspace_of
from beamhall.pipelines.steps.values import BadStep
from tests.unit.pipelines.steps.starts import OneTask, dataset, problems_of

INPUTS = {
    "access_modes": "LIST", "size": "STRING",
    **{name: {"parameterType": "STRING", "isOptional": True}
       for name in ("pvc_name", "pvc_name_suffix", "storage_class_name", "volume_name")},
    **{name: {"parameterType": "STRUCT", "isOptional": True} for name in ("annotations", "data_source")},
}  # fmt: skip
GIVEN = {"access_modes": ["ReadWriteOnce"], "size": "5Gi"}


def creating(**given: Any) -> OneTask:
    return OneTask({"image": "argostub/createpvc"}, inputs=INPUTS, given={**GIVEN, **given}, outputs={"name": "STRING"})


def claim_of(**given: Any) -> Any:
    step = creating(**given).step()
    assert step.claim is not None
    assert step.pod is None
    assert problems_of(creating(**given).step().claim or {}) == []
    assert step.name == step.claim["metadata"]["name"]
    return step.claim


def steps_claim(path: str, one: OneTask) -> Any:
    return claim_at("make", path, GIVEN, one.facts)


def test_a_claim_with_a_name() -> None:
    one = creating(
        pvc_name="data", storage_class_name="fast", annotations={"a": "b", "n": 1.0},
        data_source={"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"},
    )  # fmt: skip
    assert one.step().claim == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "data",
            "namespace": "lab",
            "labels": {
                key: value for key, value in OneTask().pod()["metadata"]["labels"].items()
                if key in ("pipeline/runid", "pipelines.beamhall.io/task")
            },
            "annotations": {"a": "b", "n": "1", "pipelines.beamhall.io/path": "/train"},
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "5Gi"}},
            "storageClassName": "fast",
            "dataSource": {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"},
        },
    }  # fmt: skip


def test_a_claim_with_a_suffix_is_always_called_the_same() -> None:
    name = claim_of(pvc_name_suffix="-my_PVC")["metadata"]["name"]
    assert name.startswith("digits-")
    assert name.endswith("-my-pvc")
    assert name == claim_of(pvc_name_suffix="-my_PVC")["metadata"]["name"]
    assert claim_of()["metadata"]["name"].startswith("digits-")
    one = creating()
    paths = ("/loop[0]/make", "/loop[1]/make")
    names = {steps_claim(path, one)["metadata"]["name"] for path in paths}
    assert len(names) == 2


@pytest.mark.parametrize(
    ("given", "storage_class"),
    [
        ({}, None),
        ({"storage_class_name": ""}, None),
        ({"storage_class_name": "", "volume_name": "pv"}, ""),
        ({"volume_name": "pv"}, None),
        ({"storage_class_name": "standard"}, "standard"),
    ],
)
def test_the_class_of_a_claim(given: dict[str, str], storage_class: str | None) -> None:
    spec = claim_of(**given)["spec"]
    assert spec.get("storageClassName") == storage_class
    assert spec.get("volumeName") == given.get("volume_name")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"access_modes": []}, "access_modes must be a list of some of ReadWriteOnce"),
        ({"access_modes": ["RWO"]}, "access_modes must be"),
        ({"size": "big"}, "the size must be a quantity such as '5Gi', is the text 'big'"),
        ({"size": "0"}, "the size must be"),
        ({"pvc_name": "a", "pvc_name_suffix": "b"}, "at most one of pvc_name and pvc_name_suffix"),
        ({"pvc_name": "My_Claim"}, "pvc_name 'My_Claim' is not allowed"),
    ],
)
def test_what_cannot_be_a_claim_is_told(given: dict[str, Any], message: str) -> None:
    with pytest.raises(BadStep, match="task 'train'") as caught:
        creating(**given).step()
    assert message in str(caught.value)


def test_a_claim_is_deleted_by_name() -> None:
    container = {"image": "argostub/deletepvc"}
    step = OneTask(container, inputs={"pvc_name": "STRING"}, given={"pvc_name": "data"}).step()
    assert (step.deleted_claim, step.pod, step.claim) == ("data", None, None)
    with pytest.raises(BadStep, match="pvc_name must not be empty"):
        OneTask(container, inputs={"pvc_name": "STRING"}, given={"pvc_name": ""}).step()


WORKSPACE = {"workspace": {"size": "10Gi", "kubernetes": {"pvcSpecPatch": {"accessModes": ["ReadWriteMany"]}}}}


def test_the_workspace_of_a_run() -> None:
    one = OneTask(config=WORKSPACE)
    claim = workspace_of(one.facts)
    assert claim is not None
    assert problems_of(workspace_of(one.facts) or {}) == []
    assert claim["metadata"]["name"] == one.facts.workspace_claim
    assert claim["metadata"]["labels"]["pipelines.beamhall.io/workspace"] == "true"
    assert claim["spec"] == {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "10Gi"}}}
    assert workspace_of(OneTask().facts) is None
    with pytest.raises(BadStep, match="the size must be a quantity"):
        workspace_of(OneTask(config={"workspace": {"size": "much"}}).facts)


@pytest.mark.parametrize(
    "what",
    [
        {"container": {"image": "i", "args": ["{{$.workspace_path}}/x"]}},
        {"container": {"image": "i", "env": [{"name": "W", "value": "/kfp-workspace/x"}]}},
        {"inputs": {"at": "STRING"}, "given": {"at": "{{$.workspace_path}}/x"}},
        {"inputs": {"at": "STRUCT"}, "given": {"at": {"deep": ["/kfp-workspace"]}}},
        {"artifacts": {"data": dataset("s3://b/d", metadata={"_kfp_workspace": True})}},
        {"artifacts": {"data": dataset("/kfp-workspace/d")}},
    ],
)
def test_who_uses_the_workspace_has_it(what: dict[str, Any]) -> None:
    one = OneTask(config=WORKSPACE, **what)
    step = one.step()
    assert step.needs_workspace
    assert problems_of(one.pod()) == []
    (mount,) = one.container()["volumeMounts"]
    assert mount["mountPath"] == "/kfp-workspace"
    (volume,) = one.pod()["spec"]["volumes"]
    assert volume["persistentVolumeClaim"] == {"claimName": one.facts.workspace_claim}
    assert one.steps.fingerprint_of(one.start) == ""


def test_who_does_not_use_the_workspace_does_not_have_it() -> None:
    step = OneTask(config=WORKSPACE, inputs={"x": "STRING"}, given={"x": "/other"}).step()
    assert not step.needs_workspace
    assert step.pod is not None
    assert "volumes" not in step.pod["spec"]


def test_the_placeholder_of_the_workspace_is_its_path() -> None:
    one = OneTask({"image": "i", "args": ["{{$.workspace_path}}/x"]}, config=WORKSPACE)
    assert one.container()["args"] == ["/kfp-workspace/x"]
