import copy
from typing import Any

import pytest

from beamhall.embedded.api.builtin.defaults import apply_defaults, prepare_create
from beamhall.embedded.api.builtin.kinds import BUILT_INS
from beamhall.embedded.api.builtin.validation import summary, validate_create, validate_status, validate_update
from beamhall.kernel import kinds

META = {"name": "x", "namespace": "n", "uid": "u-1"}
UNSET = object()


def _lines(causes):
    return [f"{cause.field}: {cause.message}" for cause in causes]


def _create(kind, obj):
    obj = copy.deepcopy({"metadata": META} | obj)
    apply_defaults(kind, obj)
    prepare_create(kind, obj, lambda: "127.1.0.1")
    return obj, _lines(validate_create(kind, obj))


def _pod(spec=None, **container):
    container = {"name": "c", "image": "i", **container}
    return {"spec": {"containers": [{k: v for k, v in container.items() if v is not UNSET}], **(spec or {})}}


VOLUMES = {"volumes": [{"name": "v", "emptyDir": {}}]}


def test_a_good_pod():
    _, lines = _create(
        kinds.POD,
        _pod(
            VOLUMES
            | {
                "restartPolicy": "OnFailure",
                "activeDeadlineSeconds": 5,
                "nodeSelector": {"kubernetes.io/hostname": "here"},
                "tolerations": [{"operator": "Exists"}, {"key": "a", "value": "b", "effect": "NoSchedule"}],
                "initContainers": [{"name": "i", "image": "i"}],
                "hostname": "h",
            },
            ports=[{"containerPort": 2222, "name": "tfjob-port"}],
            env=[
                {"name": "A.b-c", "value": "1"},
                {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a/b']"}}},
                {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            ],
            envFrom=[{"configMapRef": {"name": "c"}}],
            volumeMounts=[{"name": "v", "mountPath": "/v", "subPath": "a/b"}],
            resources={"limits": {"cpu": "1", "nvidia.com/gpu": 1}, "requests": {"cpu": "500m"}},
            livenessProbe={"httpGet": {"port": "tfjob-port"}},
            lifecycle={"preStop": {"exec": {"command": ["true"]}}},
        ),
    )
    assert lines == []


@pytest.mark.parametrize(
    ("spec", "lines"),
    [
        ({"containers": []}, ["spec.containers: Required value"]),
        ({"containers": [{}]}, ["spec.containers[0].name: Required value", "spec.containers[0].image: Required value"]),
        (
            {"restartPolicy": "Foo"},
            ['spec.restartPolicy: Unsupported value: "Foo": supported values: "Always", "OnFailure", "Never"'],
        ),
        ({"dnsPolicy": "no"}, ['spec.dnsPolicy: Unsupported value: "no": supported values: "ClusterFirst"']),
        (
            {"activeDeadlineSeconds": 0},
            ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
        ),
        (
            {"terminationGracePeriodSeconds": -1},
            ["spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0"],
        ),
        ({"nodeSelector": {"a b": "c"}}, ["spec.nodeSelector: "]),
        ({"hostname": "A"}, ['spec.hostname: Invalid value: "A"']),
        ({"volumes": [{"name": "v"}, {"name": "v"}]}, ['spec.volumes[1].name: Duplicate value: "v"']),
        ({"volumes": [{"name": "V"}]}, ['spec.volumes[0].name: Invalid value: "V"']),
        ({"volumes": [{"emptyDir": {}}]}, ["spec.volumes[0].name: Required value"]),
        (
            {"volumes": [{"name": "v", "emptyDir": {}, "configMap": {"name": "c"}}]},
            ["spec.volumes[0].configMap: Forbidden: may not specify more than 1 volume type"],
        ),
        ({"volumes": [{"name": "v", "configMap": {}}]}, ["spec.volumes[0].configMap.name: Required value"]),
        ({"volumes": [{"name": "v", "secret": {"secretName": "s", "defaultMode": 0o777}}]}, []),
        (
            {"volumes": [{"name": "v", "secret": {"secretName": "s", "defaultMode": 0o1000}}]},
            ["spec.volumes[0].secret.defaultMode: Invalid value: 512: must be between 0 and 511, inclusive"],
        ),
        (
            {
                "volumes": [
                    {"name": "v", "secret": {"secretName": "s", "items": [{"key": "a", "path": "b", "mode": -1}]}}
                ]
            },
            ["spec.volumes[0].secret.items[0].mode: Invalid value: -1"],
        ),
        ({"volumes": [{"name": "v", "secret": {}}]}, ["spec.volumes[0].secret.secretName: Required value"]),
        (
            {"volumes": [{"name": "v", "persistentVolumeClaim": {}}]},
            ["spec.volumes[0].persistentVolumeClaim.claimName: Required value"],
        ),
        (
            {"volumes": [{"name": "v", "hostPath": {"path": "/a/../b"}}]},
            ["spec.volumes[0].hostPath.path: Invalid value"],
        ),
        (
            {"volumes": [{"name": "v", "configMap": {"name": "c", "items": [{"key": "k", "path": "/p"}]}}]},
            ['spec.volumes[0].configMap.items[0].path: Invalid value: "/p": must be a relative path'],
        ),
        (
            {"volumes": [{"name": "v", "configMap": {"name": "c", "items": [{"key": "k"}]}}]},
            ["spec.volumes[0].configMap.items[0].path: Required value"],
        ),
        (
            {"volumes": [{"name": "v", "projected": {"sources": [{"secret": {}}, {}]}}]},
            [
                "spec.volumes[0].projected.sources[0].secret.name: Required value",
                "spec.volumes[0].projected.sources[1]: Required value: must specify a projection type",
            ],
        ),
        ({"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "x"}}]}, ["spec.volumes[0].emptyDir.sizeLimit: Invalid"]),
        ({"tolerations": [{"operator": "Is", "key": "a"}]}, ["spec.tolerations[0].operator: Unsupported value"]),
        ({"tolerations": [{"value": "a"}]}, ["spec.tolerations[0].operator: Invalid value"]),
        (
            {"initContainers": [{"name": "c", "image": "i"}]},
            ['spec.containers[0].name: Duplicate value: "c"'],
        ),
        (
            {"initContainers": [{"name": "i", "image": "i", "livenessProbe": {"exec": {"command": ["a"]}}}]},
            ["spec.initContainers[0].livenessProbe: Forbidden"],
        ),
        (
            {"initContainers": [{"name": "i", "image": "i", "restartPolicy": "Foo"}]},
            ["spec.initContainers[0].restartP"],
        ),
        (
            {
                "initContainers": [
                    {"name": "i", "image": "i", "restartPolicy": "Always", "livenessProbe": {"tcpSocket": {"port": 1}}}
                ]
            },
            [],
        ),
        ({"serviceAccountName": "A"}, ['spec.serviceAccountName: Invalid value: "A"']),
    ],
)
def test_pod_spec(spec, lines):
    _expect(_create(kinds.POD, _pod(spec))[1], lines)


def _expect(found, starts):
    assert len(found) == len(starts), found
    for line, start in zip(found, starts, strict=True):
        assert line.startswith(start), found


@pytest.mark.parametrize(
    ("container", "lines"),
    [
        ({"name": "C"}, ['name: Invalid value: "C"']),
        ({"name": UNSET, "image": UNSET}, ["name: Required value", "image: Required value"]),
        ({"image": " i"}, ['image: Invalid value: " i": must not have leading or trailing whitespace']),
        (
            {"imagePullPolicy": "Foo"},
            ['imagePullPolicy: Unsupported value: "Foo": supported values: "Always", "IfNotPresent", "Never"'],
        ),
        ({"restartPolicy": "Always"}, ["restartPolicy: Forbidden"]),
        ({"ports": [{}]}, ["ports[0].containerPort: Required value"]),
        ({"ports": [{"containerPort": 0}]}, ["ports[0].containerPort: Invalid value: 0: must be between 1 and 65535"]),
        ({"ports": [{"containerPort": 1}, {"containerPort": 65535, "hostPort": 65535}]}, []),
        ({"ports": [{"containerPort": 1, "hostPort": 65536}]}, ["ports[0].hostPort: Invalid"]),
        ({"ports": [{"containerPort": 70000}]}, ["ports[0].containerPort: Invalid value: 70000"]),
        ({"ports": [{"containerPort": 1, "protocol": "ICMP"}]}, ["ports[0].protocol: Unsupported value"]),
        ({"ports": [{"containerPort": 1, "name": "a_b"}]}, ['ports[0].name: Invalid value: "a_b"']),
        ({"ports": [{"containerPort": 1, "name": "12"}]}, ['ports[0].name: Invalid value: "12"']),
        (
            {"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]},
            ['ports[1].name: Duplicate value: "a"'],
        ),
        ({"env": [{"value": "1"}]}, ["env[0].name: Required value"]),
        ({"env": [{"name": "A=B", "value": "1"}]}, ['env[0].name: Invalid value: "A=B"']),
        ({"env": [{"name": "A", "valueFrom": {}}]}, ['env[0].valueFrom: Invalid value: "": must specify one of']),
        (
            {"env": [{"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
            ['env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty'],
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nope"}}}]},
            ['env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "spec.nope"'],
        ),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"key": "k"}}}]}, ["env[0].valueFrom.secretKeyRef.name"]),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "k"}}}]}, ["env[0].valueFrom.secretKeyRef.key"]),
        ({"envFrom": [{}]}, ["envFrom[0]: Invalid value"]),
        ({"envFrom": [{"secretRef": {}}]}, ["envFrom[0].secretRef.name: Required value"]),
        ({"volumeMounts": [{"name": "w", "mountPath": "/w"}]}, ['volumeMounts[0].name: Not found: "w"']),
        ({"volumeMounts": [{"name": "v"}]}, ["volumeMounts[0].mountPath: Required value"]),
        (
            {"volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}]},
            ['volumeMounts[1].mountPath: Invalid value: "/a": must be unique'],
        ),
        ({"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "../b"}]}, ["volumeMounts[0].subPath: Invalid"]),
        (
            {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}},
            ['resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
        ),
        ({"resources": {"limits": {"cpu": "much"}}}, ["resources.limits[cpu]", "resources.requests[cpu]"]),
        ({"resources": {"requests": {"memory": "-1"}}}, ['resources.requests[memory]: Invalid value: "-1"']),
        ({"resources": {"limits": {"a b/c": "1"}}}, ["resources.limits[a b/c]: Inv", "resources.requests[a b/c]: Inv"]),
        ({"resources": {"requests": {"gpu": "1"}}}, ['resources.requests[gpu]: Invalid value: "gpu"']),
        (
            {"resources": {"requests": {"nvidia.com/gpu": "1"}}},
            ["resources.limits[nvidia.com/gpu]: Required value: Limit must be set"],
        ),
        (
            {"resources": {"limits": {"nvidia.com/gpu": "2"}, "requests": {"nvidia.com/gpu": "1"}}},
            ['resources.requests: Invalid value: "1": must be equal to nvidia.com/gpu limit of 2'],
        ),
        (
            {"resources": {"limits": {"nvidia.com/gpu": "500m"}}},
            ["resources.limits[nvidia.com/gpu]: Invalid", "resources.requests[nvidia.com/gpu]: Invalid"],
        ),
        ({"livenessProbe": {}}, ["livenessProbe: Required value: must specify a handler type"]),
        (
            {"livenessProbe": {"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}}},
            ["livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"],
        ),
        ({"livenessProbe": {"exec": {}}}, ["livenessProbe.exec.command: Required value"]),
        (
            {"readinessProbe": {"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 5}},
            ["readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: must not be set for readinessProbes"],
        ),
        (
            {"startupProbe": {"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 0}},
            ["startupProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0"],
        ),
        ({"livenessProbe": {"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 5}}, []),
        ({"lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}, []),
        (
            {"lifecycle": {"preStop": {"grpc": {"port": 1}}}},
            ["lifecycle.preStop: Required value: must specify a handler type"],
        ),
        ({"livenessProbe": {"httpGet": {"port": 1, "scheme": "FTP"}}}, ["livenessProbe.httpGet.scheme: Unsupported"]),
        ({"livenessProbe": {"tcpSocket": {}}}, ["livenessProbe.tcpSocket.port: Required value"]),
        ({"livenessProbe": {"tcpSocket": {"port": 0}}}, ["livenessProbe.tcpSocket.port: Invalid value: 0"]),
        ({"livenessProbe": {"tcpSocket": {"port": 1}, "successThreshold": 2}}, ["livenessProbe.successThreshold"]),
        ({"readinessProbe": {"tcpSocket": {"port": 1}, "periodSeconds": -1}}, ["readinessProbe.periodSeconds"]),
        ({"readinessProbe": {"tcpSocket": {"port": 1}, "successThreshold": 2}}, []),
        ({"lifecycle": {"postStart": {}}}, ["lifecycle.postStart: Required value"]),
    ],
)
def test_container(container, lines):
    _expect(_create(kinds.POD, _pod(VOLUMES, **container))[1], [f"spec.containers[0].{line}" for line in lines])


TEMPLATE = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}


@pytest.mark.parametrize(
    ("spec", "lines"),
    [
        ({}, []),
        ({"template": None}, ["spec.template: Required value"]),
        ({"parallelism": -1}, ["spec.parallelism: Invalid value: -1: must be greater than or equal to 0"]),
        ({"completions": -1}, ["spec.completions: Invalid"]),
        ({"backoffLimit": -1}, ["spec.backoffLimit: Invalid"]),
        ({"ttlSecondsAfterFinished": -1}, ["spec.ttlSecondsAfterFinished: Invalid"]),
        ({"activeDeadlineSeconds": -1}, ["spec.activeDeadlineSeconds: Invalid"]),
        ({"completionMode": "Foo"}, ['spec.completionMode: Unsupported value: "Foo"']),
        (
            {"completionMode": "Indexed", "parallelism": 2},
            ["spec.completions: Required value: when completion mode is Indexed"],
        ),
        ({"completionMode": "Indexed", "completions": 2, "parallelism": 100_000}, []),
        ({"completionMode": "Indexed", "completions": 2, "parallelism": 100_001}, ["spec.parallelism: Invalid value"]),
        ({"parallelism": 100_001}, []),
        ({"backoffLimitPerIndex": 1}, ["spec.backoffLimitPerIndex: Invalid value"]),
        ({"podReplacementPolicy": "Never"}, ["spec.podReplacementPolicy: Unsupported value"]),
        (
            {"template": {"spec": TEMPLATE["spec"] | {"restartPolicy": "Always"}}},
            ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
        ),
        (
            {"template": {"spec": TEMPLATE["spec"] | {"restartPolicy": "Foo"}}},
            ["spec.template.spec.restartPolicy: Unsup"],
        ),
        ({"template": {"spec": {"restartPolicy": "Never"}}}, ["spec.template.spec.containers: Required value"]),
        ({"template": TEMPLATE | {"metadata": {"labels": {"a": "b c"}}}}, ["spec.template.metadata.labels: "]),
        (
            {"selector": {"matchLabels": {"a": "b"}}},
            ["spec.selector: Invalid", "spec.template.metadata.labels: Invalid"],
        ),
        ({"manualSelector": True}, ["spec.selector: Required value"]),
        (
            {"manualSelector": True, "selector": {"matchLabels": {"a": "b"}}},
            ["spec.template.metadata.labels: Invalid value: {}: `selector` does not match template `labels`"],
        ),
    ],
)
def test_job(spec, lines):
    _expect(_create(kinds.JOB, {"spec": {"template": copy.deepcopy(TEMPLATE)} | spec})[1], lines)


@pytest.mark.parametrize(
    ("kind", "obj", "lines"),
    [
        (kinds.SERVICE, {"spec": {"ports": [{"port": 80}]}}, []),
        (kinds.SERVICE, {"spec": {}}, ["spec.ports: Required value"]),
        (kinds.SERVICE, {"spec": {"clusterIP": "None"}}, []),
        (kinds.SERVICE, {"spec": {"type": "Foo", "ports": [{"port": 1}]}}, ['spec.type: Unsupported value: "Foo"']),
        (
            kinds.SERVICE,
            {"spec": {"ports": [{"port": 0}]}},
            ["spec.ports[0].port: Invalid value: 0", "spec.ports[0].targetPort: Invalid"],
        ),
        (kinds.SERVICE, {"spec": {"ports": [{"port": 65535}]}}, []),
        (kinds.SERVICE, {"spec": {"ports": [{"port": 65536, "targetPort": 1}]}}, ["spec.ports[0].port: Invalid"]),
        (kinds.SERVICE, {"spec": {"ports": [{}]}}, ["spec.ports[0].port: Required value"]),
        (
            kinds.SERVICE,
            {"spec": {"ports": [{"port": 1}, {"port": 2}]}},
            ["spec.ports[0].name: Required value", "spec.ports[1].name: Required value"],
        ),
        (
            kinds.SERVICE,
            {"spec": {"ports": [{"port": 1, "name": "a"}, {"port": 1, "name": "a"}]}},
            ['spec.ports[1].name: Duplicate value: "a"', "spec.ports[1]: Duplicate value"],
        ),
        (kinds.SERVICE, {"spec": {"ports": [{"port": 1, "targetPort": "A"}]}}, ["spec.ports[0].targetPort: Invalid"]),
        (kinds.SERVICE, {"spec": {"ports": [{"port": 1}], "selector": {"a": "b c"}}}, ["spec.selector: "]),
        (kinds.SERVICE, {"spec": {"ports": [{"port": 1}], "clusterIP": "x"}}, ['spec.clusterIP: Invalid value: "x"']),
        (kinds.SERVICE, {"spec": {"ports": [{"port": 1}], "sessionAffinity": "x"}}, ["spec.sessionAffinity: Unsup"]),
        (kinds.SERVICE, {"spec": {"type": "ExternalName"}}, ["spec.externalName: Required value"]),
        (kinds.SERVICE, {"metadata": {"name": "1a"}, "spec": {"clusterIP": "None"}}, ["metadata.name: Invalid"]),
        (
            kinds.ENDPOINTS,
            {"subsets": [{"addresses": [{"ip": "x"}], "ports": [{"port": 0}]}]},
            ["subsets[0].addr", "subs"],
        ),
        (
            kinds.CONFIG_MAP,
            {"data": {"a.b-c_D": "x", "..a": "", "a/b": ""}},
            ["data[..a]: Invalid", "data[a/b]: Invalid"],
        ),
        (kinds.CONFIG_MAP, {"data": {"a": ""}, "binaryData": {"a": ""}}, ["data[a]: Invalid value"]),
        (kinds.CONFIG_MAP, {"data": {"a": "x" * (1 << 20)}}, []),
        (
            kinds.CONFIG_MAP,
            {"data": {"a": "x" * (1 << 20), "b": "x"}},
            [": Too long: may not be more than 1048576 bytes"],
        ),
        (kinds.SECRET, {"data": {"a b": ""}}, ["data[a b]: Invalid value"]),
        (kinds.SECRET, {"stringData": {"a": "x" * ((1 << 20) + 1)}}, ["data: Too long"]),
        (kinds.SECRET, {"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}, ["data[tls.key]: Required value"]),
        (
            kinds.PERSISTENT_VOLUME_CLAIM,
            {"spec": {}},
            ["spec.accessModes: Required value: at least 1 access mode", "spec.resources[storage]: Required value"],
        ),
        (
            kinds.PERSISTENT_VOLUME_CLAIM,
            {"spec": {"accessModes": ["Foo"], "resources": {"requests": {"storage": "0"}}}},
            ["spec.accessModes[0]: Unsupported value", "spec.resources[storage]: Invalid value"],
        ),
        (kinds.PERSISTENT_VOLUME, {"spec": {"accessModes": ["ReadWriteOnce"]}}, ["spec.capacity: Required value"]),
        (kinds.EVENT, {"involvedObject": {"namespace": "m"}}, ['involvedObject.namespace: Invalid value: "m"']),
        (kinds.LEASE, {"spec": {"leaseDurationSeconds": 1, "leaseTransitions": 0}}, []),
        (kinds.LEASE, {"spec": {"leaseTransitions": -1}}, ["spec.leaseTransitions: Invalid value: -1"]),
        (kinds.ENDPOINTS, {"subsets": [{"addresses": [{"ip": "127.0.0.1"}], "ports": [{"port": 65535}]}]}, []),
        (kinds.LEASE, {"spec": {"leaseDurationSeconds": 0}}, ["spec.leaseDurationSeconds: Invalid value: 0"]),
        (kinds.NODE, {"spec": {"taints": [{"key": "a", "effect": "x"}]}}, ["spec.taints[0].effect: Unsupported"]),
        (kinds.PRIORITY_CLASS, {"value": 2_000_000_000}, ["value: Forbidden: maximum allowed value"]),
        (kinds.PRIORITY_CLASS, {"value": 1, "preemptionPolicy": "x"}, ["preemptionPolicy: Unsupported"]),
        (kinds.NAMESPACE, {"metadata": {"name": "a.b"}}, ['metadata.name: Invalid value: "a.b"']),
        (kinds.TF_JOB, {"metadata": {"name": "A"}}, ['metadata.name: Invalid value: "A"']),
    ],
)
def test_other_kinds(kind, obj, lines):
    _expect(_create(kind, obj)[1], lines)


@pytest.mark.parametrize(
    ("metadata", "lines"),
    [
        ({}, []),
        ({"name": ""}, ["metadata.name: Required value: name or generateName is required"]),
        ({"name": "a" * 254}, ["metadata.name: Invalid"]),
        ({"name": "a.b"}, []),
        ({"generateName": "a-"}, []),
        ({"generateName": "A"}, ["metadata.generateName: Invalid"]),
        ({"labels": {"a/b/c": "d"}}, ["metadata.labels: "]),
        ({"labels": {"a": "é"}}, ["metadata.labels: "]),
        ({"annotations": {"a": "x" * (256 << 10)}}, ["metadata.annotations: "]),
        ({"finalizers": ["a b"]}, ["metadata.finalizers[0]: Invalid"]),
        ({"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]}, ["metadata.ownerReferences[0].uid"]),
        ({"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": True}]}, []),
        (
            {
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": name, "controller": True} for name in "ab"
                ]
            },
            ["metadata.ownerReferences: Invalid"],
        ),
    ],
)
def test_metadata(metadata, lines):
    _expect(_lines(validate_create(kinds.CONFIG_MAP, {"metadata": META | metadata})), lines)


@pytest.mark.parametrize(("phase", "count"), [("Running", 0), ("running", 1), (None, 0)])
def test_status(phase, count):
    obj = {"metadata": META, "status": {"phase": phase}}
    assert len(validate_status(kinds.POD, obj, obj)) == count
    assert validate_status(kinds.JOB, obj, obj) == []


def test_long_values_are_shown_shortened():
    [line] = _lines(validate_create(kinds.CONFIG_MAP, {"metadata": META | {"name": "A" * 5000}}))
    assert 500 < len(line) < 900
    [line] = _lines(validate_create(kinds.CONFIG_MAP, {"metadata": META | {"name": "A" * 498}}))
    assert f'"{"A" * 498}"' in line


def test_summary():
    causes = validate_create(kinds.POD, {"metadata": META, "spec": {}})
    assert summary(causes) == "spec.containers: Required value"
    causes = validate_create(kinds.JOB, {"metadata": META, "spec": {"parallelism": -1}})
    assert summary(causes) == (
        "[spec.parallelism: Invalid value: -1: must be greater than or equal to 0, spec.template: Required value]"
    )


@pytest.mark.parametrize("entry", BUILT_INS.values(), ids=lambda entry: entry.kind.kind)
def test_bare_objects_are_judged_and_never_crash(entry):
    bare: dict[str, Any] = {"metadata": {}}
    assert "metadata.name" in {cause.field for cause in validate_create(entry.kind, bare)}
    assert "metadata.name" in {cause.field for cause in validate_update(entry.kind, bare, bare)}
