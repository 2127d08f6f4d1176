from datetime import UTC, datetime

import pytest

from beamhall.embedded.api.builtin.kinds import BUILT_INS
from beamhall.embedded.api.builtin.tables import human_duration, table_cells, table_columns
from beamhall.kernel import kinds

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
AN_HOUR_AGO = "2026-01-02T02:04:05Z"
META = {"name": "x", "namespace": "n", "creationTimestamp": AN_HOUR_AGO}
FIVE_MINUTES_AGO = "2026-01-02T02:59:05Z"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-2, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119.9, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (599, "9m59s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (3 * 3600 + 300, "3h5m"),
        (8 * 3600 + 60, "8h"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (49 * 3600, "2d1h"),
        (8 * 86400 + 3600, "8d"),
        (729 * 86400, "729d"),
        (3 * 3600 + 1, "3h"),
        (8 * 3600 - 1, "7h59m"),
        (48 * 3600 - 1, "47h"),
        (8 * 86400 - 1, "7d23h"),
        (730 * 86400 - 1, "729d"),
        (8 * 365 * 86400 - 1, "7y364d"),
        (8 * 365 * 86400, "8y"),
        (9 * 365 * 86400, "9y"),
        (730 * 86400, "2y"),
        (740 * 86400, "2y10d"),
        (8 * 365 * 86400 + 86400, "8y"),
    ],
)
def test_human_duration(seconds, text):
    assert human_duration(seconds) == text


def _running(name, *, ready=True, restarts=0, **more):
    return {"name": name, "ready": ready, "restartCount": restarts, "state": {"running": {}}, **more}


def _waiting(name, reason, restarts=0, **more):
    return {"name": name, "restartCount": restarts, "state": {"waiting": {"reason": reason}}, **more}


def _ended(name, code, reason="", restarts=0, **more):
    return {
        "name": name,
        "restartCount": restarts,
        "state": {"terminated": {"exitCode": code, "reason": reason}},
        **more,
    }


LAST = {"lastState": {"terminated": {"exitCode": 1, "finishedAt": FIVE_MINUTES_AGO}}}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"phase": "Pending"}, ["0/2", "Pending", "0"]),
        (
            {"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "Unschedulable"}]},
            ["0/2", "Pending", "0"],
        ),
        ({"phase": "Failed", "reason": "Evicted"}, ["0/2", "Evicted", "0"]),
        (
            {"phase": "Pending", "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}]},
            ["0/2", "SchedulingGated", "0"],
        ),
        (
            {"phase": "Pending", "containerStatuses": [_waiting("a", "ContainerCreating")]},
            ["0/2", "ContainerCreating", "0"],
        ),
        (
            {"phase": "Pending", "containerStatuses": [_waiting("a", "ImagePullBackOff")]},
            ["0/2", "ImagePullBackOff", "0"],
        ),
        ({"phase": "Running", "containerStatuses": [_running("a"), _running("b")]}, ["2/2", "Running", "0"]),
        (
            {"phase": "Running", "containerStatuses": [_running("a"), _running("b", ready=False)]},
            ["1/2", "Running", "0"],
        ),
        (
            {"phase": "Running", "containerStatuses": [_waiting("a", "CrashLoopBackOff", 3, **LAST), _running("b")]},
            ["1/2", "CrashLoopBackOff", "3 (5m ago)"],
        ),
        ({"phase": "Succeeded", "containerStatuses": [_ended("a", 0, "Completed")]}, ["0/2", "Completed", "0"]),
        ({"phase": "Failed", "containerStatuses": [_ended("a", 1, "Error", 2)]}, ["0/2", "Error", "2"]),
        ({"phase": "Failed", "containerStatuses": [_ended("a", 3)]}, ["0/2", "ExitCode:3", "0"]),
        (
            {
                "phase": "Failed",
                "containerStatuses": [{"name": "a", "state": {"terminated": {"exitCode": 137, "signal": 9}}}],
            },
            ["0/2", "Signal:9", "0"],
        ),
        (
            {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [_ended("a", 0, "Completed"), _running("b")],
            },
            ["1/2", "Running", "0"],
        ),
        (
            {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "False"}, {"type": "Initialized", "status": "True"}],
                "containerStatuses": [_ended("a", 0, "Completed"), _running("b")],
            },
            ["1/2", "NotReady", "0"],
        ),
        (
            {"phase": "Running", "containerStatuses": [_ended("a", 2, "Error"), _ended("b", 0, "Completed")]},
            ["0/2", "Error", "0"],
        ),
    ],
)
def test_pod_status(status, expected):
    pod = {"metadata": META, "spec": {"containers": [{"name": "a"}, {"name": "b"}]}, "status": status}
    cells = table_cells(kinds.POD, pod, NOW)
    assert cells[1:4] == expected
    assert (cells[0], cells[4]) == ("x", "60m")


@pytest.mark.parametrize(
    ("inits", "expected"),
    [
        ([_waiting("i", "PodInitializing")], "Init:0/2"),
        ([_ended("i", 0, "Completed"), _running("j")], "Init:1/2"),
        ([_waiting("i", "CrashLoopBackOff", 2)], "Init:CrashLoopBackOff"),
        ([_ended("i", 1, "Error")], "Init:Error"),
        ([_ended("i", 4)], "Init:ExitCode:4"),
        ([{"name": "i", "state": {"terminated": {"exitCode": 1, "signal": 15}}}], "Init:Signal:15"),
    ],
)
def test_status_of_a_pod_that_initializes(inits, expected):
    pod = {
        "metadata": META,
        "spec": {"initContainers": [{"name": "i"}, {"name": "j"}], "containers": [{"name": "a"}]},
        "status": {
            "phase": "Pending",
            "initContainerStatuses": inits,
            "containerStatuses": [_waiting("a", "PodInitializing")],
        },
    }
    assert table_cells(kinds.POD, pod, NOW)[2] == expected


def test_a_sidecar_counts_as_a_container_and_does_not_hold_up_the_status():
    pod = {
        "metadata": META,
        "spec": {"initContainers": [{"name": "side", "restartPolicy": "Always"}], "containers": [{"name": "a"}]},
        "status": {
            "phase": "Running",
            "initContainerStatuses": [_running("side", started=True, restarts=1)],
            "containerStatuses": [_running("a", restarts=1)],
        },
    }
    assert table_cells(kinds.POD, pod, NOW)[1:4] == ["2/2", "Running", "2"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"phase": "Running", "containerStatuses": [_running("a")]}, "Terminating"),
        ({"phase": "Succeeded", "containerStatuses": [_ended("a", 0, "Completed")]}, "Completed"),
        ({"phase": "Running", "reason": "NodeLost"}, "Unknown"),
    ],
)
def test_status_of_a_pod_that_is_deleted(status, expected):
    pod = {"metadata": META | {"deletionTimestamp": AN_HOUR_AGO}, "spec": {}, "status": status}
    assert table_cells(kinds.POD, pod, NOW)[2] == expected


def test_wide_pod():
    pod = {
        "metadata": META,
        "spec": {"nodeName": "here", "readinessGates": [{"conditionType": "g"}]},
        "status": {"podIP": "127.0.0.9", "conditions": [{"type": "g", "status": "True"}]},
    }
    assert table_cells(kinds.POD, pod, NOW)[5:] == ["127.0.0.9", "here", "<none>", "1/1"]
    assert [c["name"] for c in table_columns(kinds.POD) if c["priority"]] == [
        "IP",
        "Node",
        "Nominated Node",
        "Readiness Gates",
    ]


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        (
            {"completions": 3, "parallelism": 1},
            {"succeeded": 1, "startTime": FIVE_MINUTES_AGO},
            ["Running", "1/3", "5m"],
        ),
        ({"parallelism": 4}, {}, ["Running", "0/1 of 4", ""]),
        ({"parallelism": 1}, {}, ["Running", "0/1", ""]),
        (
            {"completions": 1},
            {
                "succeeded": 1,
                "startTime": AN_HOUR_AGO,
                "completionTime": "2026-01-02T02:04:15Z",
                "conditions": [{"type": "Complete", "status": "True"}],
            },
            ["Complete", "1/1", "10s"],
        ),
        ({"completions": 1}, {"conditions": [{"type": "Failed", "status": "True"}]}, ["Failed", "0/1", ""]),
        ({"completions": 1}, {"conditions": [{"type": "Suspended", "status": "True"}]}, ["Suspended", "0/1", ""]),
        ({"completions": 1}, {"conditions": [{"type": "Suspended", "status": "False"}]}, ["Running", "0/1", ""]),
    ],
)
def test_job(spec, status, expected):
    assert table_cells(kinds.JOB, {"metadata": META, "spec": spec, "status": status}, NOW)[1:4] == expected


def test_wide_job():
    expressions = [
        {"key": "a", "operator": "In", "values": ["1", "2"]},
        {"key": "b", "operator": "DoesNotExist"},
        {"key": "c", "operator": "Exists"},
    ]
    job = {
        "metadata": META,
        "spec": {
            "selector": {"matchLabels": {"z": "1"}, "matchExpressions": expressions},
            "template": {"spec": {"containers": [{"name": "m", "image": "i"}, {"name": "n", "image": "j"}]}},
        },
    }
    assert table_cells(kinds.JOB, job, NOW)[5:] == ["m,n", "i,j", "z=1,a in (1,2),!b,c"]


TEMPLATE = {"spec": {"containers": [{"name": "c", "image": "i"}]}}
CELLS = [
    (
        kinds.SERVICE,
        {
            "spec": {
                "type": "NodePort",
                "clusterIP": "127.1.0.1",
                "ports": [{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP"}],
                "selector": {"app": "a"},
            }
        },
        ["x", "NodePort", "127.1.0.1", "<none>", "80:30080/TCP,53/UDP", "60m", "app=a"],
    ),
    (kinds.SERVICE, {"spec": {"clusterIP": "None"}}, ["x", "ClusterIP", "None", "<none>", "<none>", "60m", "<none>"]),
    (
        kinds.SERVICE,
        {"spec": {"type": "ExternalName", "externalName": "example.org"}},
        ["x", "ExternalName", "<none>", "example.org", "<none>", "60m", "<none>"],
    ),
    (
        kinds.SERVICE,
        {"spec": {"type": "LoadBalancer"}},
        ["x", "LoadBalancer", "<none>", "<pending>", "<none>", "60m", "<none>"],
    ),
    (
        kinds.ENDPOINTS,
        {"subsets": [{"addresses": [{"ip": f"127.0.0.{n}"} for n in range(1, 6)], "ports": [{"port": 80}]}]},
        ["x", "127.0.0.1:80,127.0.0.2:80,127.0.0.3:80 + 2 more...", "60m"],
    ),
    (kinds.NAMESPACE, {"status": {"phase": "Active"}}, ["x", "Active", "60m"]),
    (kinds.CONFIG_MAP, {"data": {"a": "1"}, "binaryData": {"b": ""}}, ["x", 2, "60m"]),
    (kinds.SECRET, {"type": "Opaque", "data": {"a": ""}}, ["x", "Opaque", 1, "60m"]),
    (kinds.SERVICE_ACCOUNT, {}, ["x", 0, "60m"]),
    (
        kinds.PERSISTENT_VOLUME_CLAIM,
        {
            "spec": {"volumeName": "v", "storageClassName": "local", "volumeMode": "Filesystem"},
            "status": {
                "phase": "Bound",
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
            },
        },
        ["x", "Bound", "v", "1Gi", "RWO,RWX", "local", "<unset>", "60m", "Filesystem"],
    ),
    (
        kinds.PERSISTENT_VOLUME_CLAIM,
        {"spec": {}, "status": {"phase": "Pending"}},
        ["x", "Pending", "", "", "", "", "<unset>", "60m", "<unset>"],
    ),
    (
        kinds.NODE,
        {
            "spec": {"unschedulable": True},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                "nodeInfo": {"kubeletVersion": "v1"},
            },
        },
        [
            "x",
            "Ready,SchedulingDisabled",
            "<none>",
            "60m",
            "v1",
            "127.0.0.1",
            "<none>",
            "<unknown>",
            "<unknown>",
            "<unknown>",
        ],
    ),
    (
        kinds.EVENT,
        {
            "type": "Warning",
            "reason": "Why",
            "message": " what \n",
            "count": 3,
            "firstTimestamp": AN_HOUR_AGO,
            "lastTimestamp": FIVE_MINUTES_AGO,
            "involvedObject": {"kind": "Pod", "name": "p"},
            "source": {"component": "agent", "host": "here"},
        },
        ["5m", "Warning", "Why", "pod/p", "", "agent, here", "what", "60m", 3, "x"],
    ),
    (
        kinds.PERSISTENT_VOLUME,
        {
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadOnlyMany"],
                "persistentVolumeReclaimPolicy": "Retain",
                "claimRef": {"namespace": "n", "name": "c"},
            },
            "status": {"phase": "Bound"},
        },
        ["x", "1Gi", "ROX", "Retain", "Bound", "n/c", "", "<unset>", "", "60m", "<unset>"],
    ),
    (kinds.EVENT, {"eventTime": AN_HOUR_AGO}, ["60m", "", "", "/", "", "", "", "60m", 1, "x"]),
    (
        kinds.EVENT,
        {"firstTimestamp": AN_HOUR_AGO, "series": {"count": 7, "lastObservedTime": FIVE_MINUTES_AGO}},
        ["5m", "", "", "/", "", "", "", "60m", 7, "x"],
    ),
    (kinds.LEASE, {"spec": {"holderIdentity": "me"}}, ["x", "me", "60m"]),
    (kinds.CUSTOM_RESOURCE_DEFINITION, {}, ["x", AN_HOUR_AGO]),
    (kinds.PRIORITY_CLASS, {"value": 5}, ["x", 5, False, "60m", ""]),
    (kinds.TF_JOB, {}, ["x", "60m"]),
    (
        kinds.DEPLOYMENT,
        {
            "spec": {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE},
            "status": {"readyReplicas": 1, "updatedReplicas": 2},
        },
        ["x", "1/3", 2, 0, "60m", "c", "i", "a=b"],
    ),
    (
        kinds.REPLICA_SET,
        {"spec": {"replicas": 2, "template": TEMPLATE}, "status": {"replicas": 1}},
        ["x", 2, 1, 0, "60m", "c", "i", "<none>"],
    ),
    (
        kinds.STATEFUL_SET,
        {"spec": {"replicas": 2, "template": TEMPLATE}, "status": {"readyReplicas": 2}},
        ["x", "2/2", "60m", "c", "i"],
    ),
    (
        kinds.CRON_JOB,
        {
            "spec": {"schedule": "@daily", "suspend": True, "jobTemplate": {"spec": {"template": TEMPLATE}}},
            "status": {"active": [{}], "lastScheduleTime": FIVE_MINUTES_AGO},
        },
        ["x", "@daily", "<none>", "True", 1, "5m", "60m", "c", "i", "<none>"],
    ),
    (kinds.CONTROLLER_REVISION, {"revision": 4}, ["x", "<none>", 4, "60m"]),
    (
        kinds.RESOURCE_QUOTA,
        {"status": {"hard": {"pods": "4", "limits.cpu": "2"}, "used": {"pods": "1"}}},
        ["x", "60m", "pods: 1/4", "limits.cpu: 0/2"],
    ),
    (
        kinds.ROLE_BINDING,
        {
            "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [
                {"kind": "User", "name": "u"},
                {"kind": "ServiceAccount", "name": "s", "namespace": "n"},
            ],
        },
        ["x", "Role/r", "60m", "u", "", "n/s"],
    ),
    (
        kinds.ENDPOINT_SLICE,
        {
            "addressType": "IPv4",
            "ports": [{"port": 80}],
            "endpoints": [{"addresses": [f"127.0.0.{n}"]} for n in range(5)],
        },
        ["x", "IPv4", "80", "127.0.0.0,127.0.0.1,127.0.0.2 + 2 more...", "60m"],
    ),
    (kinds.STORAGE_CLASS, {"provisioner": "p"}, ["x", "p", "Delete", "Immediate", "false", "60m"]),
]


@pytest.mark.parametrize(("kind", "obj", "cells"), CELLS, ids=lambda value: getattr(value, "kind", None))
def test_cells(kind, obj, cells):
    assert table_cells(kind, {"metadata": META, **obj}, NOW) == cells


@pytest.mark.parametrize("entry", BUILT_INS.values(), ids=lambda entry: entry.kind.kind)
def test_every_kind_gives_a_cell_for_every_column_even_of_a_bare_object(entry):
    columns = table_columns(entry.kind)
    assert len(table_cells(entry.kind, {"metadata": {"name": "x"}}, NOW)) == len(columns)
    assert [c["name"] for c in columns] != ["Name", "Age"], "falls back to the plain table"


def test_columns_say_types_and_the_format_of_names():
    name, data, _ = table_columns(kinds.CONFIG_MAP)
    assert (name["format"], data["name"], data["type"]) == ("name", "Data", "integer")
