import copy

import pytest

from beamhall.embedded.api.builtin.defaults import apply_defaults, prepare_create
from beamhall.embedded.api.builtin.validation import validate_create, validate_update
from beamhall.kernel import kinds

META = {"name": "x", "namespace": "n", "uid": "u-1"}
TEMPLATE = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}


def _lines(causes):
    return [f"{cause.field}: {cause.message}" for cause in causes]


def _create(kind, obj):
    obj = copy.deepcopy({"metadata": META} | obj)
    apply_defaults(kind, obj)
    prepare_create(kind, obj, lambda: "127.1.0.1")
    return obj, _lines(validate_create(kind, obj))


def _pod(spec=None):
    return {"spec": {"containers": [{"name": "c", "image": "i"}], **(spec or {})}}


def _expect(found, starts):
    assert len(found) == len(starts), found
    for line, start in zip(found, starts, strict=True):
        assert line.startswith(start), found


CLAIM = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}


def _set(obj, path, value):
    *way, last = path.split("/")
    for step in way:
        obj = obj[int(step)] if isinstance(obj, list) else obj.setdefault(step, {})
    obj[int(last) if isinstance(obj, list) else last] = value


@pytest.mark.parametrize(
    ("kind", "base", "changes", "lines"),
    [
        (kinds.POD, _pod(), {}, []),
        (kinds.POD, _pod(), {"spec/containers/0/image": "j"}, []),
        (kinds.POD, _pod(), {"spec/nodeName": "here"}, []),
        (kinds.POD, _pod(), {"spec/tolerations": [{"operator": "Exists"}]}, []),
        (kinds.POD, _pod(), {"spec/activeDeadlineSeconds": 10}, []),
        (kinds.POD, _pod(), {"metadata/labels": {"a": "b"}}, []),
        (kinds.POD, _pod(), {"spec/containers/0/command": ["a"]}, ["spec: Forbidden: pod updates may not change"]),
        (kinds.POD, _pod(), {"spec/restartPolicy": "Never"}, ["spec: Forbidden"]),
        (kinds.POD, _pod(), {"spec/containers/0/image": ""}, ["spec.containers[0].image: Required value"]),
        (kinds.POD, _pod({"nodeName": "here"}), {"spec/nodeName": "there"}, ["spec.nodeName: Forbidden"]),
        (
            kinds.POD,
            _pod({"activeDeadlineSeconds": 5}),
            {"spec/activeDeadlineSeconds": 6},
            ["spec.activeDeadlineSeconds"],
        ),
        (kinds.POD, _pod({"activeDeadlineSeconds": 5}), {"spec/activeDeadlineSeconds": 4}, []),
        (kinds.POD, _pod({"activeDeadlineSeconds": 5}), {"metadata/labels": {"a": "b"}}, []),
        (
            kinds.POD,
            _pod({"activeDeadlineSeconds": 5}),
            {"spec/activeDeadlineSeconds": None},
            ["spec.activeDeadlineSeconds"],
        ),
        (kinds.POD, _pod({"tolerations": [{"operator": "Exists"}]}), {"spec/tolerations": []}, ["spec.tolerations"]),
        (kinds.JOB, {"spec": {"template": TEMPLATE}}, {"spec/parallelism": 3, "spec/backoffLimit": 9}, []),
        (kinds.JOB, {"spec": {"template": TEMPLATE}}, {"spec/suspend": True}, []),
        (kinds.JOB, {"spec": {"template": TEMPLATE}}, {"spec/parallelism": -1}, ["spec.parallelism: Invalid"]),
        (
            kinds.JOB,
            {"spec": {"template": TEMPLATE}},
            {"spec/completions": 2},
            ["spec.completions: Invalid value: 2: field is immutable"],
        ),
        (
            kinds.JOB,
            {"spec": {"template": TEMPLATE, "completionMode": "Indexed", "completions": 1}},
            {"spec/completions": 2, "spec/parallelism": 2},
            [],
        ),
        (
            kinds.JOB,
            {"spec": {"template": TEMPLATE, "completionMode": "Indexed", "completions": 1}},
            {"spec/completions": 2},
            ["spec.completions: Invalid value: 2: field is immutable"],
        ),
        (
            kinds.JOB,
            {"spec": {"template": TEMPLATE, "completions": 2, "parallelism": 2}},
            {"spec/completions": 3, "spec/parallelism": 3},
            ["spec.completions: Invalid value: 3: field is immutable"],
        ),
        (kinds.JOB, {"spec": {"template": TEMPLATE}}, {"spec/selector": {}}, ["spec.selector: Invalid"]),
        (
            kinds.JOB,
            {"spec": {"template": TEMPLATE}},
            {"spec/template/spec/containers/0/image": "j"},
            ["spec.template: Invalid"],
        ),
        (
            kinds.JOB,
            {"spec": {"template": TEMPLATE}},
            {"spec/template/spec/nodeSelector": {"a": "b"}},
            ["spec.template"],
        ),
        (
            kinds.JOB,
            {"spec": {"template": TEMPLATE, "suspend": True}},
            {"spec/template/spec/nodeSelector": {"a": "b"}},
            [],
        ),
        (kinds.CONFIG_MAP, {"data": {"a": "1"}}, {"data/a": "2"}, []),
        (kinds.CONFIG_MAP, {"data": {"a": "1"}}, {"data/a b": "2"}, ["data[a b]: Invalid"]),
        (
            kinds.CONFIG_MAP,
            {"immutable": True, "data": {"a": "1"}},
            {"data/a": "2"},
            ["data: Forbidden: field is immut"],
        ),
        (kinds.CONFIG_MAP, {"immutable": True}, {"immutable": False}, ["immutable: Forbidden"]),
        (kinds.CONFIG_MAP, {"immutable": True}, {"metadata/labels": {"a": "b"}}, []),
        (kinds.SECRET, {"immutable": True, "data": {}}, {"data/a": ""}, ["data: Forbidden"]),
        (kinds.SECRET, {}, {"type": "other"}, ['type: Invalid value: "other": field is immutable']),
        (
            kinds.SERVICE,
            {"spec": {"ports": [{"port": 1}]}},
            {"spec/clusterIP": "127.1.0.2"},
            ["spec.clusterIP: Invalid"],
        ),
        (kinds.SERVICE, {"spec": {"ports": [{"port": 1}]}}, {"spec/ports/0/port": 2}, []),
        (kinds.PERSISTENT_VOLUME_CLAIM, CLAIM, {"spec/resources/requests/storage": "2Gi"}, []),
        (
            kinds.PERSISTENT_VOLUME_CLAIM,
            CLAIM,
            {"spec/resources/requests/storage": "1Mi"},
            ["spec.resources.requests.storage: Forbidden: field can not be less than previous value"],
        ),
        (kinds.PERSISTENT_VOLUME_CLAIM, CLAIM, {"spec/volumeName": "v", "spec/storageClassName": "s"}, []),
        (
            kinds.PERSISTENT_VOLUME_CLAIM,
            {"spec": CLAIM["spec"] | {"volumeName": "v"}},
            {"spec/volumeName": "w"},
            ["spec: Forbidden: spec is immutable after creation"],
        ),
        (
            kinds.PERSISTENT_VOLUME_CLAIM,
            CLAIM,
            {"spec/accessModes": ["ReadWriteMany"]},
            ["spec: Forbidden: spec is immutable after creation"],
        ),
        (kinds.PRIORITY_CLASS, {"value": 1}, {"value": 2}, ["value: Forbidden: may not be changed in an update."]),
        (kinds.NAMESPACE, {}, {"metadata/labels": {"a b": "c"}}, ["metadata.labels: "]),
        (kinds.TF_JOB, {"spec": {}}, {"spec/x": 1}, []),
    ],
)
def test_update(kind, base, changes, lines):
    old, found = _create(kind, base)
    assert found == []
    new = copy.deepcopy(old)
    for path, value in changes.items():
        _set(new, path, value)
    apply_defaults(kind, new)
    _expect(_lines(validate_update(kind, new, old)), lines)


def test_a_suspended_job_that_has_started_stays_where_it_is():
    old, _ = _create(kinds.JOB, {"spec": {"template": TEMPLATE, "suspend": True}})
    old["status"]["startTime"] = "2026-01-01T00:00:00Z"
    new = copy.deepcopy(old)
    _set(new, "spec/template/spec/nodeSelector", {"a": "b"})
    _expect(_lines(validate_update(kinds.JOB, new, old)), ["spec.template: Invalid"])
