"""What each part of the platform configuration does to a Pod, or to the TASK_CONFIG of its component."""

from typing import Any

import pytest

from beamhall.pipelines.steps.values import BadStep
from tests.unit.pipelines.steps.starts import OneTask, problems_of


def constant(value: Any) -> dict[str, Any]:
    return {"runtimeValue": {"constant": value}}


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
TERM = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}

CASES: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (
        "a secret as a volume",
        {"secretAsVolume": [{"secretName": "token", "mountPath": "/mnt/token"}]},
        {"volumeMounts": [{"name": "token", "mountPath": "/mnt/token"}]},
        {"volumes": [{"name": "token", "secret": {"secretName": "token", "optional": False}}]},
    ),
    (
        "a secret twice is one volume; an optional one may be missing",
        {
            "secretAsVolume": [
                {"secretNameParameter": constant("a.b"), "mountPath": "/a", "optional": True},
                {"secretNameParameter": constant("a.b"), "mountPath": "/b", "optional": True},
            ]
        },
        {"volumeMounts": [{"name": ..., "mountPath": "/a"}, {"name": ..., "mountPath": "/b"}]},
        {"volumes": [{"name": ..., "secret": {"secretName": "a.b", "optional": True}}]},
    ),
    (
        "a secret and a config map in the environment",
        {
            "secretAsEnv": [
                {
                    "secretNameParameter": constant("db"),
                    "keyToEnv": [{"secretKey": "user", "envVar": "U"}, {"secretKey": "password", "envVar": "P"}],
                }
            ],
            "configMapAsEnv": [
                {
                    "configMapName": "conf",
                    "keyToEnv": [{"configMapKey": "mode", "envVar": "MODE"}],
                    "optional": True,
                }
            ],
        },
        {
            "env": [
                {"name": "U", "valueFrom": {"secretKeyRef": {"name": "db", "key": "user"}}},
                {"name": "P", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
                {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "mode", "optional": True}}},
            ]
        },
        {},
    ),
    (
        "a config map as a volume, beside a secret of the same name",
        {
            "secretAsVolume": [{"secretName": "same", "mountPath": "/s"}],
            "configMapAsVolume": [{"configMapName": "same", "mountPath": "/c"}],
        },
        {"volumeMounts": [{"name": "same", "mountPath": "/s"}, {"name": ..., "mountPath": "/c"}]},
        {
            "volumes": [
                {"name": "same", "secret": {"secretName": "same", "optional": False}},
                {"name": ..., "configMap": {"name": "same", "optional": False}},
            ]
        },
    ),
    (
        "a claim, at a path within it",
        {"pvcMount": [{"constant": "data", "mountPath": "/data", "subPath": "a/b"}]},
        {"volumeMounts": [{"name": "data", "mountPath": "/data", "subPath": "a/b"}]},
        {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]},
    ),
    (
        "labels of a node",
        {"nodeSelector": {"labels": {"gpu": "a100"}}},
        {},
        {"nodeSelector": {"gpu": "a100"}},
    ),
    (
        "labels of a node as JSON",
        {"nodeSelector": {"nodeSelectorJson": constant({"gpu": "a100", "number": 3.0})}},
        {},
        {"nodeSelector": {"gpu": "a100", "number": "3"}},
    ),
    (
        "tolerations, one, two or none as JSON",
        {
            "tolerations": [
                {"key": "k", "operator": "Equal", "value": "v", "effect": "NoExecute", "tolerationSeconds": "10"},
                {"tolerationJson": constant({"operator": "Exists", "tolerationSeconds": 5.0, "effect": "NoExecute"})},
                {"tolerationJson": constant('[{"key": "t", "operator": "Exists"}]')},
                {"tolerationJson": constant([{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists"}])},
                {"tolerationJson": constant({})},
            ]
        },
        {},
        {
            "tolerations": [
                {"key": "k", "operator": "Equal", "value": "v", "effect": "NoExecute", "tolerationSeconds": 10},
                {"operator": "Exists", "tolerationSeconds": 5, "effect": "NoExecute"},
                {"key": "t", "operator": "Exists"},
                {"key": "a", "operator": "Exists"},
                {"key": "b", "operator": "Exists"},
            ]
        },
    ),
    (
        "affinity to nodes: demands, wishes, and both as JSON",
        {
            "nodeAffinity": [
                {"matchExpressions": TERM["matchExpressions"]},
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}], "weight": 5},
                {
                    "nodeAffinityJson": constant(
                        {
                            REQUIRED: {"nodeSelectorTerms": [TERM]},
                            PREFERRED: [{"weight": 100.0, "preference": TERM}],
                        }
                    )
                },
                {},
            ]
        },
        {},
        {
            "affinity": {
                "nodeAffinity": {
                    REQUIRED: {"nodeSelectorTerms": [TERM, TERM]},
                    PREFERRED: [
                        {
                            "weight": 5,
                            "preference": {
                                "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]
                            },
                        },
                        {"weight": 100, "preference": TERM},
                    ],
                }
            }
        },
    ),
    (
        "affinity to Pods, and away from them",
        {
            "podAffinity": [
                {"topologyKey": "zone", "matchPodLabels": {"app": "db"}, "namespaces": ["x"]},
                {
                    "topologyKey": "host",
                    "matchPodExpressions": [{"key": "app", "operator": "Exists"}],
                    "matchNamespaceLabels": {"team": "a"},
                    "weight": 3,
                    "anti": True,
                },
            ]
        },
        {},
        {
            "affinity": {
                "podAffinity": {
                    REQUIRED: [
                        {
                            "topologyKey": "zone",
                            "labelSelector": {"matchLabels": {"app": "db"}},
                            "namespaces": ["x"],
                        }
                    ]
                },
                "podAntiAffinity": {
                    PREFERRED: [
                        {
                            "weight": 3,
                            "podAffinityTerm": {
                                "topologyKey": "host",
                                "labelSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]},
                                "namespaceSelector": {"matchLabels": {"team": "a"}},
                            },
                        }
                    ]
                },
            }
        },
    ),
    (
        "fields of the Pod in the environment",
        {"fieldPathAsEnv": [{"name": "LABEL", "fieldPath": "metadata.labels['x']"}]},
        {"env": [{"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['x']"}}}]},
        {},
    ),
    (
        "how images are pulled",
        {
            "imagePullPolicy": "Always",
            "imagePullSecret": [{"secretName": "registry"}, {"secretNameParameter": constant("other")}],
        },
        {"imagePullPolicy": "Always"},
        {"imagePullSecrets": [{"name": "registry"}, {"name": "other"}]},
    ),
    ("a deadline", {"activeDeadlineSeconds": "90"}, {}, {"activeDeadlineSeconds": 90}),
    (
        "an ephemeral volume",
        {
            "genericEphemeralVolume": [
                {
                    "volumeName": "scratch",
                    "mountPath": "/scratch",
                    "accessModes": ["ReadWriteOnce"],
                    "size": "5Gi",
                    "defaultStorageClass": True,
                    "metadata": {"labels": {"a": "b"}},
                }
            ]
        },
        {"volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]},
        {
            "volumes": [
                {
                    "name": "scratch",
                    "ephemeral": {
                        "volumeClaimTemplate": {
                            "spec": {
                                "accessModes": ["ReadWriteOnce"],
                                "resources": {"requests": {"storage": "5Gi"}},
                            },
                            "metadata": {"labels": {"a": "b"}},
                        }
                    },
                }
            ]
        },
    ),
    (
        "two empty directories are two, and shared memory is a third",
        {
            "emptyDirMounts": [
                {"volumeName": "a", "mountPath": "/a"},
                {"volumeName": "b", "mountPath": "/b", "medium": "Memory", "sizeLimit": "1Gi"},
                {"volumeName": "c", "mountPath": "/c"},
            ],
            "enabledSharedMemory": {"volumeName": "shm", "size": "2Gi"},
        },
        {
            "volumeMounts": [
                {"name": "a", "mountPath": "/a"},
                {"name": "b", "mountPath": "/b"},
                {"name": "c", "mountPath": "/c"},
                {"name": "shm", "mountPath": "/dev/shm"},
            ]
        },
        {
            "volumes": [
                {"name": "a", "emptyDir": {}},
                {"name": "b", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
                {"name": "c", "emptyDir": {}},
                {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "2Gi"}},
            ]
        },
    ),
    (
        "whom it runs as",
        {"securityContext": {"runAsUser": "1000", "runAsGroup": "0", "runAsNonRoot": True}},
        {
            "securityContext": {
                "runAsUser": 1000,
                "runAsGroup": 0,
                "runAsNonRoot": True,
                "capabilities": {"drop": ["ALL"]},
            }
        },
        {},
    ),
    (
        "containers before it",
        {
            "emptyDirMounts": [{"volumeName": "shared", "mountPath": "/shared"}],
            "initContainers": [
                {
                    "name": "prepare",
                    "image": "busybox",
                    "command": ["sh", "-c"],
                    "args": ["echo > /shared/x"],
                    "env": [{"name": "A", "value": "b"}],
                    "volumeMounts": [{"volumeName": "shared", "mountPath": "/shared"}],
                    "restartPolicy": "Always",
                    "resources": {"limits": {"cpu": "1"}},
                }
            ],
        },
        {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]},
        {
            "volumes": [{"name": "shared", "emptyDir": {}}],
            "initContainers": [
                {
                    "name": "prepare",
                    "image": "busybox",
                    "command": ["sh", "-c"],
                    "args": ["echo > /shared/x"],
                    "env": [{"name": "A", "value": "b"}],
                    "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
                    "restartPolicy": "Always",
                    "resources": {"limits": {"cpu": "1"}},
                }
            ],
        },
    ),
    (
        "claims of devices",
        {
            "podResourceClaims": [
                {"resourceClaimTemplateName": "gpu"},
                {"resourceClaimJson": constant([{"name": "mine", "resourceClaimName": "c"}])},
            ]
        },
        {"resources": {"claims": [{"name": "claim-0"}, {"name": "mine"}]}},
        {
            "resourceClaims": [
                {"name": "claim-0", "resourceClaimTemplateName": "gpu"},
                {"name": "mine", "resourceClaimName": "c"},
            ]
        },
    ),
]


OWN_ENV = ("KF_PIPELINES_SA_TOKEN_PATH", "KFP_POD_NAME", "KFP_POD_UID", "NAMESPACE")


def is_like(found: Any, wanted: Any) -> bool:
    """Compare; an Ellipsis is anything."""
    if wanted is ...:
        return found is not None
    if isinstance(wanted, dict):
        return isinstance(found, dict) and found.keys() == wanted.keys() and all(
            is_like(found[key], value) for key, value in wanted.items()
        )  # fmt: skip
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(is_like(one, other) for one, other in zip(found, wanted, strict=True))
    return bool(found == wanted)


@pytest.mark.parametrize(("config", "container", "spec"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_part_of_the_configuration(config: dict[str, Any], container: dict[str, Any], spec: dict[str, Any]) -> None:
    pod = OneTask(kubernetes=config).pod()
    made = pod["spec"]
    found = made["containers"][0]
    found["env"] = [one for one in found["env"] if one["name"] not in OWN_ENV]
    for plain in ("name", "image"):
        del found[plain]
    if not found["env"]:
        del found["env"]
    assert is_like(found, container), found
    del made["containers"], made["restartPolicy"]
    assert is_like(made, spec), made
    if "resourceClaims" not in spec:  # which the embedded API does not serve
        assert problems_of(OneTask(kubernetes=config).pod()) == []


def test_a_volume_that_is_mounted_twice_keeps_its_name_and_no_name_is_invalid() -> None:
    config = {"secretAsVolume": [{"secretName": f"{'x' * 70}.{letter}", "mountPath": f"/{letter}"} for letter in "aab"]}
    pod = OneTask(kubernetes=config).pod()
    mounts = [mount["name"] for mount in pod["spec"]["containers"][0]["volumeMounts"]]
    assert mounts[0] == mounts[1] != mounts[2]
    assert [volume["name"] for volume in pod["spec"]["volumes"]] == [mounts[0], mounts[2]]


def test_metadata_of_users_is_beside_ours() -> None:
    metadata = {
        "labels": {"team": "a", "pipeline/runid": "mine"},
        "annotations": {"note": "b", "pipelines.beamhall.io/path": "/other"},
    }
    one = OneTask(kubernetes={"podMetadata": metadata})
    made = one.pod()["metadata"]
    assert made["labels"]["team"] == "a"
    assert made["annotations"]["note"] == "b"
    assert made["labels"]["pipeline/runid"] == one.facts.run_id
    assert made["annotations"]["pipelines.beamhall.io/path"] == "/train"


DYNAMIC = {"taskOutputParameter": {"producerTask": "before", "outputParameterKey": "found"}}
OPTIONAL = {"componentInputParameter": "name"}
ROOT = {"name": {"parameterType": "STRING", "isOptional": True}}


def test_names_come_from_inputs_of_the_pipeline_and_from_earlier_tasks() -> None:
    config = {
        "pvcMount": [{"pvcNameParameter": DYNAMIC, "mountPath": "/data"}],
        "secretAsVolume": [{"secretNameParameter": OPTIONAL, "mountPath": "/secret"}],
    }
    one = OneTask(kubernetes=config, gave={"found": "claim-7"}, root=ROOT, run={"name": "password"})
    assert one.play.started == ["/before", "/train"]
    assert one.start.inputs.platform == {
        "pvcMount[0].pvcNameParameter": "claim-7", "secretAsVolume[0].secretNameParameter": "password",
    }  # fmt: skip
    volumes = one.pod()["spec"]["volumes"]
    assert volumes[0] == {"name": "claim-7", "persistentVolumeClaim": {"claimName": "claim-7"}}
    assert volumes[1]["secret"]["secretName"] == "password"


def test_what_is_optional_and_has_no_value_is_left_out() -> None:
    config = {
        "secretAsVolume": [{"secretNameParameter": OPTIONAL, "mountPath": "/secret"}],
        "secretAsEnv": [{"secretNameParameter": OPTIONAL, "keyToEnv": [{"secretKey": "k", "envVar": "K"}]}],
        "configMapAsVolume": [{"configMapNameParameter": OPTIONAL, "mountPath": "/map"}],
        "configMapAsEnv": [{"configMapNameParameter": OPTIONAL, "keyToEnv": [{"configMapKey": "k", "envVar": "K"}]}],
        "imagePullSecret": [{"secretNameParameter": OPTIONAL}],
        "nodeSelector": {"nodeSelectorJson": OPTIONAL},
        "tolerations": [{"tolerationJson": OPTIONAL}],
        "nodeAffinity": [{"nodeAffinityJson": OPTIONAL}],
    }
    pod = OneTask(kubernetes=config, root=ROOT).pod()
    plain = OneTask(root=ROOT).pod()
    pod["spec"].pop("tolerations")
    assert pod == plain


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"pvcMount": [{"pvcNameParameter": OPTIONAL, "mountPath": "/x"}]}, "names no PersistentVolumeClaim"),
        ({"pvcMount": [{"constant": "c", "mountPath": "data"}]}, "must be an absolute path, is 'data'"),
        (
            {"secretAsVolume": [{"secretNameParameter": constant(3.0), "mountPath": "/x"}]},
            "must give the name of a Secret",
        ),
        ({"imagePullPolicy": "Sometimes"}, "must be one of Always, Never, IfNotPresent; is 'Sometimes'"),
        ({"nodeSelector": {"nodeSelectorJson": constant(["a"])}}, "must give an object of labels"),
        ({"tolerations": [{"tolerationJson": constant(["x"])}]}, "must give an object or a list of objects"),
        ({"tolerations": [{"tolerationJson": constant("{x")}]}, "must give JSON, gave the text '{x'"),
        ({"nodeAffinity": [{"nodeAffinityJson": constant({REQUIRED: 3})}]}, "nodeAffinity[0].nodeAffinityJson"),
    ],
)
def test_what_cannot_be_applied_is_told(config: dict[str, Any], message: str) -> None:
    with pytest.raises(BadStep, match="task 'train'") as caught:
        OneTask(kubernetes=config, root=ROOT).step()
    assert message in str(caught.value)


PASSES = ("RESOURCES", "ENV", "KUBERNETES_TOLERATIONS", "KUBERNETES_NODE_SELECTOR", "KUBERNETES_AFFINITY",
          "KUBERNETES_VOLUMES")  # fmt: skip
ALL = {
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "nodeSelector": {"labels": {"gpu": "yes"}},
    "nodeAffinity": [TERM],
    "secretAsEnv": [{"secretName": "s", "keyToEnv": [{"secretKey": "k", "envVar": "K"}]}],
    "pvcMount": [{"constant": "data", "mountPath": "/data"}],
    "emptyDirMounts": [{"volumeName": "own", "mountPath": "/own"}],
}
HANDED = {
    "resources": {"limits": {"cpu": "2"}},
    "env": [
        {"name": "A", "value": "b"},
        {"name": "K", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ],
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "nodeSelector": {"gpu": "yes"},
    "affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [TERM]}}},
    "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
}


@pytest.mark.parametrize("applies", [False, True])
def test_a_component_is_handed_its_configuration(applies: bool) -> None:
    one = OneTask(
        {
            "image": "i", "args": ["{{$.inputs.parameters['config']}}"], "env": [{"name": "A", "value": "b"}],
            "resources": {"resourceCpuLimit": "2"},
        },
        inputs={"config": {"parameterType": "TASK_CONFIG", "isOptional": True}},
        component={"taskConfigPassthroughs": [{"field": name, "applyToTask": applies} for name in PASSES]},
        kubernetes=ALL,
    )  # fmt: skip
    step = one.step()
    assert step.executor_input["inputs"]["parameterValues"] == {"config": HANDED}
    pod = one.pod()
    spec = pod["spec"]
    assert '"nodeSelector":{"gpu":"yes"}' in spec["containers"][0]["args"][0]
    own = {"nodeSelector", "tolerations", "affinity"} & spec.keys()
    assert own == ({"nodeSelector", "tolerations", "affinity"} if applies else set())
    assert ("resources" in spec["containers"][0]) == applies
    assert [volume["name"] for volume in spec["volumes"]] == (["data", "own"] if applies else ["own"])
    names = [variable["name"] for variable in spec["containers"][0]["env"]]
    assert ("A" in names and "K" in names) == applies
    assert "KFP_POD_NAME" in names
