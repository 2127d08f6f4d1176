import copy
from typing import Any

import pytest

from beamhall.embedded.api.builtin.defaults import apply_defaults, prepare_create, prepare_update
from beamhall.embedded.api.builtin.pod_defaults import quality_of_service
from beamhall.kernel import kinds


def _defaulted(kind, obj):
    obj = copy.deepcopy(obj)
    apply_defaults(kind, obj)
    once = copy.deepcopy(obj)
    apply_defaults(kind, obj)
    assert obj == once, "defaults must not change what they made"
    return obj


def _container(**fields):
    pod = _defaulted(kinds.POD, {"spec": {"containers": [{"name": "c", "image": "i:1", **fields}]}})
    return pod["spec"]["containers"][0]


def test_pod():
    assert _defaulted(
        kinds.POD, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    ) == {
        "metadata": {"name": "p"},
        "spec": {
            "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst",
            "schedulerName": "default-scheduler",
            "terminationGracePeriodSeconds": 30,
            "securityContext": {},
            "enableServiceLinks": True,
            "containers": [
                {
                    "name": "c",
                    "image": "i",
                    "imagePullPolicy": "Always",
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                    "resources": {},
                }
            ],
        },
    }


def test_what_the_user_said_stays():
    spec = {
        "restartPolicy": "Never",
        "dnsPolicy": "Default",
        "terminationGracePeriodSeconds": 0,
        "schedulerName": "s",
        "enableServiceLinks": False,
        "securityContext": {"runAsUser": 1},
    }
    assert _defaulted(kinds.POD, {"spec": spec})["spec"] == spec


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("a:1", "IfNotPresent"),
        ("host:5000/a", "Always"),
        ("host:5000/a:1", "IfNotPresent"),
        ("a@sha256:00", "IfNotPresent"),
        ("a:latest@sha256:00", "IfNotPresent"),
    ],
)
def test_image_pull_policy(image, policy):
    assert _container(image=image)["imagePullPolicy"] == policy


@pytest.mark.parametrize(
    ("field", "given", "made"),
    [
        (
            "resources",
            {"limits": {"cpu": 0.5, "memory": "1024Mi"}},
            {"limits": {"cpu": "500m", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}},
        ),
        (
            "resources",
            {"limits": {"cpu": "2"}, "requests": {"cpu": "1000m"}},
            {"limits": {"cpu": "2"}, "requests": {"cpu": "1"}},
        ),
        ("resources", {"limits": {"cpu": "much"}}, {"limits": {"cpu": "much"}, "requests": {"cpu": "much"}}),
        ("ports", [{"containerPort": 80}], [{"containerPort": 80, "protocol": "TCP"}]),
        (
            "env",
            [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            [{"name": "A", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}],
        ),
        (
            "livenessProbe",
            {"httpGet": {"port": 80}, "periodSeconds": 5},
            {
                "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
                "periodSeconds": 5,
                "timeoutSeconds": 1,
                "successThreshold": 1,
                "failureThreshold": 3,
            },
        ),
        (
            "lifecycle",
            {"preStop": {"httpGet": {"port": 80}}},
            {"preStop": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}}},
        ),
    ],
)
def test_container(field, given, made):
    assert _container(**{field: given})[field] == made


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"name": "v"}, {"name": "v", "emptyDir": {}}),
        ({"name": "v", "configMap": {"name": "c"}}, {"name": "v", "configMap": {"name": "c", "defaultMode": 420}}),
        (
            {"name": "v", "secret": {"secretName": "s", "defaultMode": 256}},
            {"name": "v", "secret": {"secretName": "s", "defaultMode": 256}},
        ),
        (
            {"name": "v", "downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            {
                "name": "v",
                "downwardAPI": {
                    "defaultMode": 420,
                    "items": [{"path": "p", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}],
                },
            },
        ),
        ({"name": "v", "hostPath": {"path": "/"}}, {"name": "v", "hostPath": {"path": "/", "type": ""}}),
        (
            {"name": "v", "persistentVolumeClaim": {"claimName": "c"}},
            {"name": "v", "persistentVolumeClaim": {"claimName": "c"}},
        ),
        (
            {
                "name": "v",
                "projected": {
                    "sources": [
                        {"serviceAccountToken": {"path": "t"}},
                        {"downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                    ]
                },
            },
            {
                "name": "v",
                "projected": {
                    "defaultMode": 420,
                    "sources": [
                        {"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}},
                        {
                            "downwardAPI": {
                                "items": [{"path": "p", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}]
                            }
                        },
                    ],
                },
            },
        ),
    ],
)
def test_volume(given, made):
    assert _defaulted(kinds.POD, {"spec": {"volumes": [given]}})["spec"]["volumes"] == [made]


@pytest.mark.parametrize("field", ["serviceAccountName", "serviceAccount"])
def test_the_account_stands_under_both_of_its_names(field):
    spec = _defaulted(kinds.POD, {"spec": {field: "a"}})["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("a", "a")


def test_host_network_ports_are_host_ports():
    spec = {"hostNetwork": True, "containers": [{"name": "c", "ports": [{"containerPort": 80}]}]}
    made = _defaulted(kinds.POD, {"spec": spec})["spec"]["containers"][0]["ports"]
    assert made == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        ([{}], "BestEffort"),
        ([{"requests": {"cpu": "0"}}], "BestEffort"),
        ([{"requests": {"nvidia.com/gpu": "1"}}], "BestEffort"),
        ([{"requests": {"cpu": "1"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1"}, "requests": {"cpu": "1", "memory": "1"}}, {}], "Burstable"),
    ],
)
def test_quality_of_service(containers, expected):
    assert quality_of_service({"containers": [{"resources": r} for r in containers]}) == expected


def test_prepare_pod_ignores_the_status_that_a_user_gives():
    pod: dict[str, Any] = {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c"}]},
        "status": {"phase": "Running"},
    }
    prepare_create(kinds.POD, pod)
    assert pod["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert pod["spec"]["serviceAccountName"] == "default"


def test_job():
    job = {
        "metadata": {"name": "j", "uid": "u-1"},
        "spec": {
            "template": {"metadata": {"labels": {"mine": "1"}}, "spec": {"restartPolicy": "Never", "containers": []}}
        },
        "status": {"succeeded": 4},
    }
    job = _defaulted(kinds.JOB, job)
    prepare_create(kinds.JOB, job)
    template = job["spec"].pop("template")
    assert job["spec"] == {
        "completions": 1,
        "parallelism": 1,
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "suspend": False,
        "manualSelector": False,
        "podReplacementPolicy": "TerminatingOrFailed",
        "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}},
    }
    assert job["status"] == {}
    assert template["metadata"]["labels"] == {
        "mine": "1",
        "controller-uid": "u-1",
        "job-name": "j",
        "batch.kubernetes.io/controller-uid": "u-1",
        "batch.kubernetes.io/job-name": "j",
    }
    assert template["spec"]["dnsPolicy"] == "ClusterFirst"
    assert "enableServiceLinks" not in template["spec"]


@pytest.mark.parametrize(
    ("spec", "field", "made"),
    [
        ({"parallelism": 3}, "completions", None),
        ({"completions": 3}, "parallelism", 1),
        ({"backoffLimitPerIndex": 1}, "backoffLimit", 2147483647),
        ({"podFailurePolicy": {"rules": []}}, "podReplacementPolicy", "Failed"),
        ({"backoffLimit": 0}, "backoffLimit", 0),
    ],
)
def test_job_fields(spec, field, made):
    assert _defaulted(kinds.JOB, {"spec": spec})["spec"].get(field) == made


def test_a_job_with_its_own_selector_keeps_it():
    job: dict[str, Any] = {
        "metadata": {"name": "j", "uid": "u"},
        "spec": {"manualSelector": True, "selector": {"matchLabels": {"a": "b"}}, "template": {}},
    }
    prepare_create(kinds.JOB, job)
    assert job["spec"]["selector"] == {"matchLabels": {"a": "b"}}
    assert job["spec"]["template"] == {}


def test_an_update_makes_no_template_where_there_is_none():
    old: dict[str, Any] = {"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {}}}
    prepare_create(kinds.JOB, old)
    new: dict[str, Any] = {"spec": {}}
    prepare_update(kinds.JOB, new, old)
    assert new["spec"] == {"selector": old["spec"]["selector"]}


def test_an_applied_job_keeps_the_labels_and_the_selector_that_were_generated():
    old = {"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {"metadata": {"labels": {"mine": "1"}}}}}
    prepare_create(kinds.JOB, old)
    before = copy.deepcopy(old)
    new: dict[str, Any] = {
        "metadata": {"name": "j", "uid": "u"},
        "spec": {"template": {"metadata": {"labels": {"mine": "1"}}}},
    }
    prepare_update(kinds.JOB, new, old)
    assert new["spec"] == old["spec"]
    assert old == before


@pytest.mark.parametrize(
    ("spec", "made"),
    [
        (
            {"ports": [{"port": 80}]},
            {
                "type": "ClusterIP",
                "sessionAffinity": "None",
                "internalTrafficPolicy": "Cluster",
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
            },
        ),
        (
            {"ports": [{"port": 80, "targetPort": "http"}]},
            {
                "type": "ClusterIP",
                "sessionAffinity": "None",
                "internalTrafficPolicy": "Cluster",
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": "http"}],
            },
        ),
        (
            {"type": "ExternalName", "externalName": "e"},
            {"type": "ExternalName", "externalName": "e", "sessionAffinity": "None"},
        ),
        (
            {"sessionAffinity": "ClientIP"},
            {
                "type": "ClusterIP",
                "sessionAffinity": "ClientIP",
                "internalTrafficPolicy": "Cluster",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
            },
        ),
        (
            {"type": "NodePort"},
            {
                "type": "NodePort",
                "sessionAffinity": "None",
                "internalTrafficPolicy": "Cluster",
                "externalTrafficPolicy": "Cluster",
            },
        ),
    ],
)
def test_service(spec, made):
    assert _defaulted(kinds.SERVICE, {"spec": spec})["spec"] == made


@pytest.mark.parametrize(
    ("spec", "cluster_ip", "families"),
    [
        ({}, "127.1.0.1", ["IPv4"]),
        ({"clusterIP": ""}, "127.1.0.1", ["IPv4"]),
        ({"clusterIP": "None"}, "None", ["IPv4"]),
        ({"clusterIP": "127.1.0.7"}, "127.1.0.7", ["IPv4"]),
        ({"clusterIPs": ["None"]}, "None", ["IPv4"]),
        ({"type": "ExternalName"}, None, None),
    ],
)
def test_cluster_ip(spec, cluster_ip, families):
    service: dict[str, Any] = {"metadata": {"name": "s"}, "spec": spec}
    prepare_create(kinds.SERVICE, service, lambda: "127.1.0.1")
    assert service["spec"].get("clusterIP") == cluster_ip
    assert service["spec"].get("clusterIPs") == ([cluster_ip] if cluster_ip else None)
    assert service["spec"].get("ipFamilies") == families


def test_an_applied_service_keeps_its_address():
    new: dict[str, Any] = {"spec": {"type": "ClusterIP"}}
    prepare_update(kinds.SERVICE, new, {"spec": {"clusterIP": "127.1.0.1", "clusterIPs": ["127.1.0.1"]}})
    assert new["spec"]["clusterIP"] == "127.1.0.1"


@pytest.mark.parametrize(
    ("kind", "given", "made"),
    [
        (
            kinds.SECRET,
            {"stringData": {"a": "ü"}, "data": {"b": "eA=="}},
            {"type": "Opaque", "data": {"a": "w7w=", "b": "eA=="}},
        ),
        (kinds.SECRET, {"stringData": {"a": "new"}, "data": {"a": "eA=="}}, {"type": "Opaque", "data": {"a": "bmV3"}}),
        (kinds.SECRET, {"type": "t", "stringData": {"a": 1}}, {"type": "t", "stringData": {"a": 1}}),
        (kinds.SECRET, {}, {"type": "Opaque"}),
        (kinds.CONFIG_MAP, {"data": {"a": "b"}}, {"data": {"a": "b"}}),
        (
            kinds.PERSISTENT_VOLUME_CLAIM,
            {"spec": {"resources": {"requests": {"storage": "1024Mi"}}}},
            {
                "spec": {"volumeMode": "Filesystem", "resources": {"requests": {"storage": "1Gi"}}},
                "status": {"phase": "Pending"},
            },
        ),
        (
            kinds.NAMESPACE,
            {"metadata": {"name": "n", "labels": {"a": "b"}}},
            {
                "metadata": {"name": "n", "labels": {"a": "b", "kubernetes.io/metadata.name": "n"}},
                "status": {"phase": "Active"},
            },
        ),
        (
            kinds.CUSTOM_RESOURCE_DEFINITION,
            {"spec": {"names": {"kind": "TFJob", "plural": "tfjobs"}}},
            {
                "spec": {
                    "names": {"kind": "TFJob", "plural": "tfjobs", "singular": "tfjob", "listKind": "TFJobList"},
                    "conversion": {"strategy": "None"},
                }
            },
        ),
        (
            kinds.NODE,
            {"status": {"capacity": {"cpu": "2"}}},
            {"status": {"capacity": {"cpu": "2"}, "allocatable": {"cpu": "2"}}},
        ),
        (
            kinds.ENDPOINTS,
            {"subsets": [{"ports": [{"port": 1}]}]},
            {"subsets": [{"ports": [{"port": 1, "protocol": "TCP"}]}]},
        ),
        (kinds.PRIORITY_CLASS, {"value": 1}, {"value": 1, "preemptionPolicy": "PreemptLowerPriority"}),
        (kinds.TF_JOB, {"spec": {}}, {"spec": {}}),
    ],
)
def test_other_kinds(kind, given, made):
    assert _defaulted(kind, given) == made


def test_prepare_namespace():
    namespace: dict[str, Any] = {"metadata": {"name": "n"}, "status": {"phase": "Terminating"}}
    prepare_create(kinds.NAMESPACE, namespace)
    assert namespace["spec"] == {"finalizers": ["kubernetes"]}
    assert namespace["status"] == {"phase": "Active"}


@pytest.mark.parametrize(
    "kind", [kinds.POD, kinds.JOB, kinds.SERVICE, kinds.SECRET, kinds.PERSISTENT_VOLUME_CLAIM, kinds.ENDPOINTS]
)
@pytest.mark.parametrize(
    "spec",
    [
        None,
        [],
        "x",
        {"containers": "x"},
        {"containers": [1]},
        {"ports": [3]},
        {"template": 5},
        {"volumes": [{"secret": 1}]},
        {"containers": [{"resources": 5, "env": [1], "ports": {}, "lifecycle": [], "livenessProbe": 4, "image": 7}]},
        {"template": {"spec": {"containers": [{"resources": {"limits": 5, "requests": 6}}]}}},
    ],
)
def test_malformed_objects_are_left_for_the_checks(kind, spec):
    apply_defaults(kind, {"metadata": {"name": "x"}, "spec": spec, "data": 3, "stringData": [], "subsets": [4]})
