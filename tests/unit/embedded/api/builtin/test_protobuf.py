"""The captured bodies are what kubectl 1.32 sends for ``kubectl create <kind> …``."""

import struct

import pytest

from beamhall.embedded.api.builtin.defaults import apply_defaults, prepare_create
from beamhall.embedded.api.builtin.fields import check_fields
from beamhall.embedded.api.builtin.kinds import BUILT_INS
from beamhall.embedded.api.builtin.protobuf import MEDIA_TYPE, decode
from beamhall.embedded.api.builtin.validation import validate_create
from beamhall.embedded.api.builtin.wire import Malformed, double_of, fields_in, integer_of, integers_of
from beamhall.kernel.errors import BadRequest, UnsupportedMediaType

CAPTURED = {
    "namespace": (
        "6b3873000a0f0a02763112094e616d657370616365121c0a140a0464656d6f12001a0022002a0032003800420012001a"
        "020a001a002200",
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}, "spec": {}, "status": {}},
    ),
    "configmap": (
        "6b3873000a0f0a0276311209436f6e6669674d6170122f0a150a016312001a0464656d6f22002a003200380042001206"
        "0a0161120131120e0a0762696e2e64617412036100621a002200",
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "c", "namespace": "demo"},
            "data": {"a": "1", "bin.dat": "a\x00b"},
        },
    ),
    "secret": (
        "6b3873000a0c0a027631120653656372657412210a150a017312001a0464656d6f22002a0032003800420012060a0170"
        "1201711a001a002200",
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "demo"}, "data": {"p": "cQ=="}},
    ),
    "serviceaccount": (
        "6b3873000a140a027631120e536572766963654163636f756e7412170a150a016112001a0464656d6f22002a00320038"
        "0042001a002200",
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a", "namespace": "demo"}},
    ),
    "job": (
        "6b3873000a0f0a0862617463682f763112034a6f62128d010a150a016a12001a0464656d6f22002a0032003800420012"
        "6a32680a100a0012001a0022002a00320038004200125412310a016a120762757379626f781a046563686f1a0268691a"
        "0574686572652a0042006a007200800100880100900100a201001a054e65766572320042004a00520058006000680082"
        "01008a01009a0100c201001a082000280030003a001a002200",
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "j", "namespace": "demo"},
            "spec": {
                "template": {
                    "metadata": {},
                    "spec": {
                        "containers": [
                            {"name": "j", "image": "busybox", "command": ["echo", "hi", "there"], "resources": {}}
                        ],
                        "restartPolicy": "Never",
                    },
                }
            },
            "status": {},
        },
    ),
    "service": (
        "6b3873000a0d0a02763112075365727669636512670a1f0a017312001a0464656d6f22002a003200380042005a080a03"
        "61707012017312400a1b0a0738302d38303830120354435018502207080010903f1a00280012080a036170701201731a"
        "002209436c757374657249503a00420052005a00600068001a020a001a002200",
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "s", "namespace": "demo", "labels": {"app": "s"}},
            "spec": {
                "ports": [{"name": "80-8080", "protocol": "TCP", "port": 80, "targetPort": 8080}],
                "selector": {"app": "s"},
                "type": "ClusterIP",
            },
            "status": {"loadBalancer": {}},
        },
    ),
    "priorityclass": (
        "6b3873000a250a147363686564756c696e672e6b38732e696f2f7631120d5072696f72697479436c617373122f0a110a"
        "017012001a0022002a003200380042001003180022002a14507265656d70744c6f7765725072696f726974791a002200",
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": "p"},
            "value": 3,
            "preemptionPolicy": "PreemptLowerPriority",
        },
    ),
}


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number, value):
    """Encode a field: an integer as a varint, a float as 64 bits, everything else as bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def envelope(api_version, kind, *parts):
    return b"k8s\0" + field(1, field(1, api_version) + field(2, kind)) + field(2, b"".join(parts))


@pytest.mark.parametrize(
    ("name", "hexadecimal", "made"), [(n, h, m) for n, (h, m) in CAPTURED.items()], ids=CAPTURED.keys()
)
def test_what_kubectl_sends(name, hexadecimal, made):
    obj = decode(bytes.fromhex(hexadecimal))
    assert obj == made
    kind = next(entry.kind for entry in BUILT_INS.values() if entry.kind.kind == obj["kind"])
    assert check_fields(kind, obj) == check_fields(kind, {})
    obj["metadata"]["uid"] = "u"
    apply_defaults(kind, obj)
    prepare_create(kind, obj, lambda: "127.1.0.1")
    assert validate_create(kind, obj) == []


@pytest.mark.parametrize(
    ("hexadecimal", "made"),
    [
        (
            "6b3873000a320a17617574686f72697a6174696f6e2e6b38732e696f2f7631121753656c665375626a65637441636365"
            "7373526576696577123f0a100a0012001a0022002a0032003800420012210a1f0a0464656d6f12036765741a0022002a"
            "04706f647332036c6f673a036c6f671a08080012001a0020001a002200",
            {
                "spec": {
                    "resourceAttributes": {
                        "namespace": "demo",
                        "verb": "get",
                        "resource": "pods",
                        "subresource": "log",
                        "name": "log",
                    }
                }
            },
        ),
        (
            "6b3873000a320a17617574686f72697a6174696f6e2e6b38732e696f2f7631121753656c665375626a65637441636365"
            "7373526576696577122f0a100a0012001a0022002a003200380042001211120f0a082f6865616c74687a12036765741a"
            "08080012001a0020001a002200",
            {"spec": {"nonResourceAttributes": {"path": "/healthz", "verb": "get"}}},
        ),
        (
            "6b3873000a310a17617574686f72697a6174696f6e2e6b38732e696f2f7631121653656c665375626a65637452756c65"
            "7352657669657712200a100a0012001a0022002a0032003800420012060a0464656d6f1a04180022001a002200",
            {"spec": {"namespace": "demo"}},
        ),
        (
            "6b3873000a2d0a1861757468656e7469636174696f6e2e6b38732e696f2f7631121153656c665375626a656374526576"
            "696577121a0a100a0012001a0022002a0032003800420012060a040a0012001a002200",
            {"status": {"userInfo": {}}},
        ),
        (
            "6b3873000a280a1861757468656e7469636174696f6e2e6b38732e696f2f7631120c546f6b656e526571756573741231"
            "0a100a0012001a0022002a0032003800420012170a01781a0f0a03506f64120276311a017022017520901c1a040a0012"
            "001a002200",
            {
                "spec": {
                    "audiences": ["x"],
                    "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "u"},
                    "expirationSeconds": 3600,
                }
            },
        ),
    ],
    ids=["can-i get pods/log", "can-i get /healthz", "can-i --list", "whoami", "create token"],
)
def test_what_kubectl_asks(hexadecimal, made):
    obj = decode(bytes.fromhex(hexadecimal))
    assert {name: obj.get(name) for name in made} == made


def _metadata(*parts):
    return decode(envelope("v1", "ConfigMap", field(1, b"".join(parts)))).get("metadata")


def _pod_spec(*parts):
    return decode(envelope("v1", "Pod", field(2, b"".join(parts))))["spec"]


def _container(*parts):
    return _pod_spec(field(2, b"".join(parts)))["containers"][0]


def test_metadata():
    owner = field(5, "v1") + field(1, "Pod") + field(3, "p") + field(4, "u") + field(6, 1) + field(7, 0)
    assert _metadata(
        field(1, "n"),
        field(2, ""),
        field(8, field(1, 1_700_000_000) + field(2, 5)),
        field(10, 0),
        field(7, 0),
        field(11, field(1, "a") + field(2, "b")),
        field(11, field(1, "c")),
        field(13, owner),
        field(14, "f/1"),
        field(14, "f/2"),
        field(17, field(1, "kubectl") + field(7, field(1, b'{"f:a":{}}'))),
    ) == {
        "name": "n",
        "creationTimestamp": "2023-11-14T22:13:20Z",
        "deletionGracePeriodSeconds": 0,
        "labels": {"a": "b", "c": ""},
        "ownerReferences": [
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": "p",
                "uid": "u",
                "blockOwnerDeletion": False,
                "controller": True,
            }
        ],
        "finalizers": ["f/1", "f/2"],
        "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:a": {}}}],
    }


def test_embedded_messages_stand_in_their_place():
    assert _pod_spec(field(1, field(1, "v") + field(2, field(2, field(1, "Memory"))))) == {
        "volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}]
    }
    probe = field(1, field(2, field(2, field(1, 1) + field(3, "http")))) + field(2, 3) + field(6, 0)
    assert _container(field(10, probe)) == {"livenessProbe": {"httpGet": {"port": "http"}, "initialDelaySeconds": 3}}


def test_quantities_and_zeros():
    resources = field(1, field(1, "cpu") + field(2, field(1, "500m")))
    assert _container(field(8, resources), field(16, 0)) == {"resources": {"limits": {"cpu": "500m"}}}
    assert _pod_spec(field(4, 0), field(11, 0), field(25, -5)) == {"terminationGracePeriodSeconds": 0, "priority": -5}
    job = decode(envelope("batch/v1", "Job", field(2, field(7, 0) + field(10, 0))))
    assert job["spec"] == {"backoffLimit": 0, "suspend": False}


def test_an_empty_storage_class_is_none_at_all_and_so_is_kept():
    claim = decode(envelope("v1", "PersistentVolumeClaim", field(2, field(5, "") + field(3, ""))))
    assert claim["spec"] == {"storageClassName": ""}


def test_a_message_in_two_parts_is_put_together():
    assert decode(envelope("v1", "Pod", field(2, field(3, "Never")), field(2, field(10, "n"))))["spec"] == {
        "restartPolicy": "Never",
        "nodeName": "n",
    }


def test_other_readers():
    lease = field(3, field(1, 1) + field(2, 5000)) + field(1, "me")
    assert decode(envelope("coordination.k8s.io/v1", "Lease", field(2, lease)))["spec"] == {
        "acquireTime": "1970-01-01T00:00:01.000005Z",
        "holderIdentity": "me",
    }
    assert _metadata(field(8, field(2, 5))) == {"creationTimestamp": "1970-01-01T00:00:00Z"}
    policy = field(1, field(1, "FailJob") + field(2, field(3, varint(1) + varint(300)) + field(3, 7)))
    job = decode(envelope("batch/v1", "Job", field(2, field(11, policy))))
    assert job["spec"]["podFailurePolicy"]["rules"][0]["onExitCodes"] == {"values": [1, 300, 7]}
    assert decode(envelope("v1", "DeleteOptions", field(1, 0))) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
    }
    assert decode(envelope("v1", "Binding", field(2, field(3, "node"))))["target"] == {"name": "node"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (envelope("v1", "Pod", field(99, "x")), "field 99 of core/v1.Pod is not read"),
        (envelope("v1", "Pod", field(2, field(99, 1))), "field 99 of core/v1.PodSpec is not read"),
        (envelope("apps/v1", "DaemonSet"), "DaemonSet of apps/v1 is not read as protobuf; send it as JSON"),
        (envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition"), "CustomResourceDefinition"),
        (envelope("v2", "Pod"), "Pod of v2"),
        (envelope("v1", "Pod") + field(3, "gzip"), "encoded once more"),
        (envelope("v1", "Pod") + field(4, "application/json"), "encoded once more"),
    ],
)
def test_what_is_not_read(body, message):
    with pytest.raises(UnsupportedMediaType, match=message):
        decode(body)


def test_the_type_of_the_content_may_be_said():
    assert decode(envelope("v1", "Pod") + field(3, "") + field(4, MEDIA_TYPE)) == {"apiVersion": "v1", "kind": "Pod"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"k8s",
        b"k8s\0\x08\x01",
        b"k8s\0" + field(9, "x"),
        b"k8s\0" + field(1, field(1, b"\xff") + field(2, "Pod")),
        envelope("v1", "Pod")[:-1] + b"\x05",
        envelope("v1", "Pod", b"\x00\x01"),
        envelope("v1", "Pod", b"\x0b"),
        envelope("v1", "Pod", field(1, 5)),
        envelope("v1", "Pod", field(1, field(1, b"\xff"))),
        envelope("v1", "Pod", field(1, field(1, 5))),
        envelope("v1", "Pod", field(2, field(25, 1 << 31))),
        envelope("v1", "Pod", field(2, field(25, "x"))),
        envelope("v1", "Pod", field(1, field(8, field(1, 1 << 62)))),
        envelope("v1", "Pod", field(1, field(8, field(2, -1)))),
        envelope("v1", "Pod", field(1, field(8, field(3, 1)))),
        envelope("v1", "Pod", field(1, field(11, field(3, "x")))),
        envelope("v1", "Pod", field(1, field(17, field(7, field(1, b"{"))))),
        envelope("v1", "Pod", b"\x0a" + b"\xff" * 11),
        envelope("v1", "Pod", b"\x0a" + b"\xff" * 9 + b"\x7f"),
    ],
)
def test_what_is_malformed(body):
    with pytest.raises(BadRequest):
        decode(body)


def test_wire():
    assert list(fields_in(b"\x0d\x01\x02\x03\x04" + field(2, 1.5))) == [
        (1, 5, b"\x01\x02\x03\x04"),
        (2, 1, struct.pack("<d", 1.5)),
    ]
    assert double_of((1, struct.pack("<d", 1.5))) == 1.5
    assert integer_of((0, (1 << 64) - 1)) == -1
    assert list(integers_of((2, varint(3) + varint(-1)))) == [3, -1]
    for value in ((2, b""), (5, b"1234")):
        with pytest.raises(Malformed):
            double_of(value)
        with pytest.raises(Malformed):
            integer_of(value)
