"""What the API says to Deployments, StatefulSets, CronJobs and Jobs that are not right, in upstream's words."""

import copy

import pytest

from beamhall.embedded.api.builtin.defaults import apply_defaults, prepare_create
from beamhall.embedded.api.builtin.validation import validate_create, validate_update
from beamhall.kernel import kinds

POD = {"containers": [{"name": "c", "image": "i"}]}
TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": POD}
SELECTOR = {"matchLabels": {"app": "a"}}
LASTING = {"selector": SELECTOR, "template": TEMPLATE}
JOB = {"template": {"spec": POD | {"restartPolicy": "Never"}}}
INDEXED = JOB | {"completionMode": "Indexed", "completions": 3}
CRON = {"schedule": "*/5 * * * *", "jobTemplate": {"spec": JOB}}
CODES = {"operator": "In", "values": [1]}


def _made(kind, spec, name="x"):
    obj = copy.deepcopy({"metadata": {"name": name, "namespace": "n", "uid": "u"}, "spec": spec})
    apply_defaults(kind, obj)
    prepare_create(kind, obj)
    return obj


def _check(found, starts):
    lines = [f"{cause.field}: {cause.message}" for cause in found]
    assert len(lines) == len(starts), lines
    for line, start in zip(lines, starts, strict=True):
        assert line.startswith(start), lines


APPS = [
    ({}, []),
    ({"selector": None}, ["spec.selector: Required value"]),
    ({"selector": {}}, ["spec.selector: Invalid value: {}: empty selector is invalid for "]),
    (
        {"selector": {"matchLabels": {"app": "b"}}},
        ['spec.template.metadata.labels: Invalid value: {"app":"a"}: `selector` does not match template `labels`'],
    ),
    (
        {"selector": {"matchExpressions": [{"key": "app", "operator": "Is", "values": ["a"]}]}},
        ['spec.selector.matchExpressions[0].operator: Invalid value: "Is": not a valid selector operator'],
    ),
    (
        {"selector": {"matchExpressions": [{"key": "app", "operator": "In"}]}},
        ["spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is"],
    ),
    ({"selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["a"]}]}}, []),
    ({"replicas": -1}, ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]),
    ({"template": None}, ["spec.template.metadata.labels: Invalid value", "spec.template: Required value"]),
    (
        {"template": TEMPLATE | {"spec": POD | {"restartPolicy": "Never"}}},
        ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
    ),
    (
        {"template": TEMPLATE | {"spec": POD | {"activeDeadlineSeconds": 1}}},
        ["spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in "],
    ),
]


@pytest.mark.parametrize("kind", [kinds.DEPLOYMENT, kinds.REPLICA_SET, kinds.STATEFUL_SET], ids=lambda kind: kind.kind)
@pytest.mark.parametrize(("spec", "starts"), APPS)
def test_what_runs_for_ever(kind, spec, starts):
    obj = _made(kind, LASTING | spec)
    _check(validate_create(kind, obj), starts)


@pytest.mark.parametrize(
    ("kind", "spec", "starts"),
    [
        (kinds.DEPLOYMENT, {"strategy": {"type": "Recreate"}}, []),
        (
            kinds.DEPLOYMENT,
            {"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}},
            ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
        ),
        (kinds.DEPLOYMENT, {"strategy": {"type": "Blue"}}, ['spec.strategy.type: Unsupported value: "Blue"']),
        (
            kinds.DEPLOYMENT,
            {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}},
            ['spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0'],
        ),
        (
            kinds.DEPLOYMENT,
            {"strategy": {"rollingUpdate": {"maxSurge": "a lot", "maxUnavailable": "101%"}}},
            [
                'spec.strategy.rollingUpdate.maxSurge: Invalid value: "a lot": a valid percent string must be',
                'spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%',
            ],
        ),
        (
            kinds.DEPLOYMENT,
            {"minReadySeconds": 600},
            ["spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds"],
        ),
        (kinds.STATEFUL_SET, {"updateStrategy": {"type": "OnDelete"}, "ordinals": {"start": 3}}, []),
        (
            kinds.STATEFUL_SET,
            {"updateStrategy": {"type": "OnDelete", "rollingUpdate": {"partition": 1}}},
            ["spec.updateStrategy.rollingUpdate: Invalid value"],
        ),
        (kinds.STATEFUL_SET, {"updateStrategy": {"type": "Canary"}}, ["spec.updateStrategy: Invalid value"]),
        (kinds.STATEFUL_SET, {"updateStrategy": {"rollingUpdate": {"partition": -1}}}, ["spec.updateStrategy.rolling"]),
        (kinds.STATEFUL_SET, {"podManagementPolicy": "Random"}, ["spec.podManagementPolicy: Invalid value"]),
        (kinds.STATEFUL_SET, {"ordinals": {"start": -1}}, ["spec.ordinals.start: Invalid value"]),
        (
            kinds.STATEFUL_SET,
            {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Keep"}},
            ["spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value"],
        ),
    ],
)
def test_strategies(kind, spec, starts):
    _check(validate_create(kind, _made(kind, LASTING | spec)), starts)


@pytest.mark.parametrize(
    ("spec", "starts"),
    [
        ({}, []),
        ({"schedule": "@hourly"}, []),
        ({"schedule": "@every 1h30m"}, []),
        ({"schedule": "0 9 * * MON-FRI", "timeZone": "Europe/Zurich"}, []),
        ({"schedule": ""}, ["spec.schedule: Required value"]),
        ({"schedule": "* * * *"}, ['spec.schedule: Invalid value: "* * * *": expected exactly 5 fields, found 4']),
        ({"schedule": "* 25 * * *"}, ['spec.schedule: Invalid value: "* 25 * * *": bad hour']),
        ({"schedule": "@now"}, ['spec.schedule: Invalid value: "@now": unrecognized descriptor: @now']),
        ({"schedule": "@every day"}, ['spec.schedule: Invalid value: "@every day": failed to parse duration']),
        ({"schedule": "TZ=UTC 0 * * * *"}, ["spec.schedule: Invalid value"]),
        (
            {"timeZone": "Mars/Olympus"},
            ['spec.timeZone: Invalid value: "Mars/Olympus": unknown time zone Mars/Olympus'],
        ),
        ({"timeZone": "Local"}, ['spec.timeZone: Invalid value: "Local": timeZone must be an explicit']),
        ({"timeZone": ""}, ["spec.timeZone: Invalid value"]),
        ({"timeZone": "../etc"}, ["spec.timeZone: Invalid value"]),
        ({"concurrencyPolicy": "Maybe"}, ["spec.concurrencyPolicy: Unsupported value"]),
        ({"startingDeadlineSeconds": -1}, ["spec.startingDeadlineSeconds: Invalid value"]),
        (
            {"jobTemplate": {"spec": {"template": {"spec": POD}}}},
            ["spec.jobTemplate.spec.template.spec.restartPolicy: Required value"],
        ),
        ({"jobTemplate": {"spec": JOB | {"selector": SELECTOR}}}, ["spec.jobTemplate.spec.selector: Invalid value"]),
    ],
)
def test_cron_jobs(spec, starts):
    _check(validate_create(kinds.CRON_JOB, _made(kinds.CRON_JOB, CRON | spec)), starts)


@pytest.mark.parametrize(("length", "n_wrong"), [(52, 0), (53, 1)])
def test_the_name_of_a_cron_job_leaves_room_for_its_jobs(length, n_wrong):
    found = validate_create(kinds.CRON_JOB, _made(kinds.CRON_JOB, CRON, "a" * length))
    _check(found, ["metadata.name: Invalid value"] * n_wrong)


def _policy(*rules, **spec):
    return JOB | {"podFailurePolicy": {"rules": list(rules)}} | spec


@pytest.mark.parametrize(
    ("spec", "starts"),
    [
        (_policy({"action": "FailJob", "onExitCodes": CODES}), []),
        (_policy({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}), []),
        (_policy({"action": "FailIndex", "onExitCodes": CODES}), ["spec.podFailurePolicy.rules[0].action: Invalid"]),
        (_policy({"action": "Explode", "onExitCodes": CODES}), ["spec.podFailurePolicy.rules[0].action: Unsupported"]),
        (_policy({"action": "Count"}), ["spec.podFailurePolicy.rules[0]: Invalid value"]),
        (
            _policy({"action": "Count", "onExitCodes": {"operator": "In", "values": [0, 0]}}),
            ["spec.podFailurePolicy.rules[0].onExitCodes.values: Inv", "spec.podFailurePolicy.rules[0].onExitCodes.va"],
        ),
        (
            _policy({"action": "Count", "onExitCodes": CODES | {"containerName": "z"}}),
            ["spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value"],
        ),
        (
            _policy({"action": "Count", "onExitCodes": CODES}, podReplacementPolicy="TerminatingOrFailed"),
            ["spec.podReplacementPolicy: Unsupported value"],
        ),
        (
            _policy({"action": "Count", "onExitCodes": CODES}, template={"spec": POD | {"restartPolicy": "OnFailure"}}),
            ["spec.template.spec.restartPolicy: Invalid value"],
        ),
        (INDEXED | {"successPolicy": {"rules": [{"succeededIndexes": "0,2"}]}}, []),
        (INDEXED | {"successPolicy": {"rules": []}}, ["spec.successPolicy.rules: Required value"]),
        (INDEXED | {"successPolicy": {"rules": [{}]}}, ["spec.successPolicy.rules[0]: Required value"]),
        (
            INDEXED | {"successPolicy": {"rules": [{"succeededIndexes": "0-3"}]}},
            ["spec.successPolicy.rules[0].succeededIndexes: Invalid value"],
        ),
        (
            INDEXED | {"successPolicy": {"rules": [{"succeededIndexes": "2,1"}]}},
            ["spec.successPolicy.rules[0].succeededIndexes: Invalid value"],
        ),
        (
            INDEXED | {"successPolicy": {"rules": [{"succeededIndexes": "0", "succeededCount": 2}]}},
            ["spec.successPolicy.rules[0].succeededCount: Invalid value"],
        ),
        (JOB | {"successPolicy": {"rules": [{"succeededCount": 1}]}}, ["spec.successPolicy: Invalid value"]),
        (INDEXED | {"backoffLimitPerIndex": 1, "maxFailedIndexes": 3}, []),
        (INDEXED | {"backoffLimitPerIndex": 1, "maxFailedIndexes": 4}, ["spec.maxFailedIndexes: Invalid value"]),
        (INDEXED | {"maxFailedIndexes": 1}, ["spec.backoffLimitPerIndex: Required value"]),
        (JOB | {"managedBy": "kueue.x-k8s.io/multikueue"}, []),
        (JOB | {"managedBy": "me"}, ["spec.managedBy: Invalid value"]),
    ],
)
def test_job_policies(spec, starts):
    _check(validate_create(kinds.JOB, _made(kinds.JOB, spec)), starts)


def test_the_hostnames_of_an_indexed_job_must_fit():
    found = validate_create(kinds.JOB, _made(kinds.JOB, INDEXED, "a" * 62))
    _check(found, ["metadata.name: Invalid value"])


@pytest.mark.parametrize("kind", [kinds.DEPLOYMENT, kinds.REPLICA_SET], ids=lambda kind: kind.kind)
def test_a_selector_stays(kind):
    old = _made(kind, LASTING)
    new = copy.deepcopy(old)
    new["spec"]["template"]["metadata"]["labels"]["tier"] = "web"
    new["spec"]["replicas"] = 3
    assert validate_update(kind, new, old) == []
    new["spec"]["selector"]["matchLabels"]["tier"] = "web"
    _check(validate_update(kind, new, old), ["spec.selector: Invalid value: "])
    assert validate_update(kind, new, old)[0].message.endswith("field is immutable")


@pytest.mark.parametrize(
    ("change", "n_wrong"), [({"replicas": 2}, 0), ({"serviceName": "s"}, 1), ({"podManagementPolicy": "Parallel"}, 1)]
)
def test_what_of_a_stateful_set_may_change(change, n_wrong):
    old = _made(kinds.STATEFUL_SET, LASTING)
    new = copy.deepcopy(old)
    new["spec"] |= change
    start = "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template'"
    _check(validate_update(kinds.STATEFUL_SET, new, old), [start] * n_wrong)


def test_a_revision_keeps_its_data():
    old = {"metadata": {"name": "x", "namespace": "n"}, "data": {"a": 1}, "revision": 1}
    assert validate_update(kinds.CONTROLLER_REVISION, old | {"revision": 2}, old) == []
    _check(validate_update(kinds.CONTROLLER_REVISION, old | {"data": {}}, old), ["data: Invalid value"])
    _check(validate_create(kinds.CONTROLLER_REVISION, {"metadata": old["metadata"]}), ["data: Required value"])


@pytest.mark.parametrize(("name", "n_wrong"), [("data", 0), ("date", 1)])
def test_a_stateful_set_mounts_its_claims(name, n_wrong):
    pod = {"containers": [POD["containers"][0] | {"volumeMounts": [{"name": name, "mountPath": "/data"}]}]}
    claims = [{"metadata": {"name": "data"}}]
    spec = LASTING | {"template": TEMPLATE | {"spec": pod}, "volumeClaimTemplates": claims}
    start = 'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "date"'
    _check(validate_create(kinds.STATEFUL_SET, _made(kinds.STATEFUL_SET, spec)), [start] * n_wrong)


def test_defaults():
    deployment = _made(kinds.DEPLOYMENT, LASTING)["spec"]
    assert deployment["replicas"] == 1
    assert deployment["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
    }
    assert (deployment["revisionHistoryLimit"], deployment["progressDeadlineSeconds"]) == (10, 600)
    assert deployment["template"]["spec"]["restartPolicy"] == "Always"
    stateful = _made(kinds.STATEFUL_SET, LASTING | {"volumeClaimTemplates": [{"metadata": {"name": "data"}}]})["spec"]
    assert stateful["updateStrategy"] == {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert stateful["volumeClaimTemplates"][0]["spec"] == {"volumeMode": "Filesystem"}
    cron = _made(kinds.CRON_JOB, CRON)["spec"]
    assert (cron["concurrencyPolicy"], cron["successfulJobsHistoryLimit"], cron["failedJobsHistoryLimit"]) == (
        "Allow",
        3,
        1,
    )
    assert "completions" not in cron["jobTemplate"]["spec"]
    assert cron["jobTemplate"]["spec"]["template"]["spec"]["dnsPolicy"] == "ClusterFirst"
