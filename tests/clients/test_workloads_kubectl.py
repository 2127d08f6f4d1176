"""The real kubectl on Deployments, StatefulSets, Jobs and CronJobs, with their Pods as processes."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.service import ServiceProcess, needs_kubectl, wait_for

pytestmark = needs_kubectl
WAIT = "--timeout=80s"


class Namespace:
    """kubectl in one namespace."""

    def __init__(self, service: ServiceProcess, name: str) -> None:
        self._service = service
        self.name = name

    def __call__(self, *args: str, stdin: str | None = None, check: bool = True) -> str:
        return self._service.kubectl("-n", self.name, *args, stdin=stdin, check=check)

    def apply(self, *objects: dict[str, Any]) -> None:
        self("apply", "-f", "-", stdin=yaml.safe_dump_all(copy.deepcopy(objects)))

    def json(self, *args: str) -> Any:
        return json.loads(self("get", *args, "-o", "json"))

    def names(self, kind: str, *args: str) -> list[str]:
        return [item["metadata"]["name"] for item in self.json(kind, *args)["items"]]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    service = ServiceProcess(tmp_path_factory.mktemp("workloads") / "data", "--stop-pods")
    service.data.mkdir()
    images = [{"image": f"small:{version}", "environment": "small"} for version in ("1", "2", "3")]
    content = {"environments": {"small": {"requirements": []}}, "images": images}
    (service.data / "images.yaml").write_text(yaml.safe_dump(content))
    service.start()
    yield service
    service.stop()


@pytest.fixture
def kubectl(shared: ServiceProcess, request: pytest.FixtureRequest) -> Namespace:
    name = request.node.name.removeprefix("test_").replace("_", "-")[:40].strip("-")
    shared.kubectl("create", "namespace", name)
    return Namespace(shared, name)


def _template(script: str = "sleep 1000", *, restart: str = "Always", **container: Any) -> dict[str, Any]:
    main = {"name": "main", "image": "small:1", "command": ["sh", "-c", script], **container}
    spec = {"restartPolicy": restart, "terminationGracePeriodSeconds": 1, "containers": [main]}
    return {"metadata": {"labels": {"app": "x"}}, "spec": spec}


def _app(kind: str, name: str, replicas: int, **spec: Any) -> dict[str, Any]:
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "x"}}, "template": _template(), **spec}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _job(name: str, script: str, **spec: Any) -> dict[str, Any]:
    spec = {"template": _template(script, restart="Never"), **spec}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def _images(kubectl: Namespace) -> set[str]:
    return {pod["spec"]["containers"][0]["image"] for pod in kubectl.json("pods")["items"]}


def test_a_deployment_is_rolled_out_and_back(kubectl: Namespace) -> None:
    kubectl.apply(_app("Deployment", "web", 2))
    assert 'deployment "web" successfully rolled out' in kubectl("rollout", "status", "deployment/web", WAIT)
    kubectl("set", "image", "deployment/web", "main=small:2")
    kubectl("rollout", "status", "deployment/web", WAIT)
    kubectl("annotate", "deployment/web", "kubernetes.io/change-cause=the second")
    wait_for("the cause", lambda: "the second" in kubectl("rollout", "history", "deployment/web"))
    wait_for("new Pods only", lambda: _images(kubectl) == {"small:2"})
    assert "small:1" in kubectl("rollout", "history", "deployment/web", "--revision=1")
    assert "rolled back" in kubectl("rollout", "undo", "deployment/web", "--to-revision=1")
    kubectl("rollout", "status", "deployment/web", WAIT)
    wait_for("old Pods only", lambda: _images(kubectl) == {"small:1"})
    lines = kubectl("rollout", "history", "deployment/web").splitlines()
    assert [line.split()[0] for line in lines if line[:1].isdigit()] == ["2", "3"]
    described = kubectl("describe", "deployment/web")
    assert "NewReplicaSetAvailable" in described
    assert "Scaled up replica set web-" in described


def test_a_deployment_is_paused_scaled_and_restarted(kubectl: Namespace) -> None:
    kubectl("create", "deployment", "web", "--image=small:1", "--", "sleep", "1000")
    kubectl("wait", "deployment/web", "--for=condition=Available", WAIT)
    kubectl("rollout", "pause", "deployment/web")
    kubectl("set", "image", "deployment/web", "small=small:2")
    kubectl("scale", "deployment/web", "--replicas=3")
    kubectl("wait", "deployment/web", "--for=jsonpath={.status.readyReplicas}=3", WAIT)
    assert _images(kubectl) == {"small:1"}
    scale = json.loads(kubectl("get", "deployment/web", "--subresource=scale", "-o", "json"))
    assert scale["status"] == {"replicas": 3, "selector": "app=web"}
    kubectl("rollout", "resume", "deployment/web")
    kubectl("rollout", "status", "deployment/web", WAIT)
    kubectl("rollout", "restart", "deployment/web")
    kubectl("rollout", "status", "deployment/web", WAIT)
    wait_for("new Pods only", lambda: _images(kubectl) == {"small:2"})
    assert kubectl("expose", "deployment/web", "--port=80") == "service/web exposed\n"
    refused = kubectl("scale", "deployment/web", "--replicas=5", "--current-replicas=2", check=False)
    assert "Expected replicas to be 2, was 3" in refused


def test_what_is_wrong_with_a_deployment_is_said(kubectl: Namespace) -> None:
    typo = _app("Deployment", "web", 1)
    typo["spec"]["selector"]["matchLabels"]["app"] = "other"
    refused = kubectl("apply", "-f", "-", stdin=yaml.safe_dump(typo), check=False)
    assert "`selector` does not match template `labels`" in refused
    kubectl.apply(_app("Deployment", "web", 1))
    changed = kubectl("patch", "deployment/web", "-p", '{"spec":{"selector":{"matchLabels":{"b":"c"}}}}', check=False)
    assert "field is immutable" in changed


def test_pods_that_are_orphaned_are_adopted_again(kubectl: Namespace) -> None:
    kubectl.apply(_app("ReplicaSet", "set", 2))
    kubectl("wait", "replicaset/set", "--for=jsonpath={.status.readyReplicas}=2", WAIT)
    before = kubectl.names("pods")
    kubectl("delete", "replicaset/set", "--cascade=orphan")
    assert [pod["metadata"].get("ownerReferences") for pod in kubectl.json("pods")["items"]] == [None, None]
    kubectl.apply(_app("ReplicaSet", "set", 3))
    kubectl("wait", "replicaset/set", "--for=jsonpath={.status.readyReplicas}=3", WAIT)
    assert set(before) < set(kubectl.names("pods"))
    kubectl("delete", "replicaset/set", "--cascade=foreground", "--wait")
    assert kubectl.names("pods") == [], "in the foreground, Pods go first"


def test_a_stateful_set(kubectl: Namespace) -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    mounts = [{"name": "data", "mountPath": "/data"}]
    script = "echo $(hostname) >> /data/seen; sleep 1000"
    spec = {"serviceName": "db", "volumeClaimTemplates": [claim], "template": _template(script, volumeMounts=mounts)}
    kubectl.apply(_app("StatefulSet", "db", 2, **spec))
    kubectl("rollout", "status", "statefulset/db", WAIT)
    assert kubectl.names("pods") == ["db-0", "db-1"]
    kubectl("set", "image", "statefulset/db", "main=small:2")
    kubectl("rollout", "status", "statefulset/db", WAIT)
    assert _images(kubectl) == {"small:2"}
    kubectl("rollout", "undo", "statefulset/db")
    kubectl("rollout", "status", "statefulset/db", WAIT)
    assert _images(kubectl) == {"small:1"}
    kubectl("scale", "statefulset/db", "--replicas=1")
    wait_for("one Pod", lambda: kubectl.names("pods") == ["db-0"])
    assert kubectl.names("persistentvolumeclaims") == ["data-db-0", "data-db-1"]


def test_an_indexed_job(kubectl: Namespace) -> None:
    job = _job("parts", "echo part $JOB_COMPLETION_INDEX", completionMode="Indexed", completions=3, parallelism=2)
    kubectl.apply(job)
    kubectl("wait", "job/parts", "--for=condition=Complete", WAIT)
    log = kubectl("logs", "-l", "job-name=parts", "--tail=-1")
    assert sorted(log.splitlines()) == ["part 0", "part 1", "part 2"]
    status = kubectl.json("job/parts")["status"]
    assert (status["succeeded"], status["completedIndexes"]) == (3, "0-2")
    described = kubectl("describe", "job/parts")
    assert "Completed Indexes:  0-2" in described
    wait_for("the event", lambda: "Job completed" in kubectl("describe", "job/parts"))


def test_a_job_that_fails_says_why(kubectl: Namespace) -> None:
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    kubectl.apply(_job("broken", "exit 42", podFailurePolicy={"rules": [rule]}))
    kubectl("wait", "job/broken", "--for=condition=Failed", WAIT)
    (failed,) = [c for c in kubectl.json("job/broken")["status"]["conditions"] if c["type"] == "Failed"]
    assert failed["reason"] == "PodFailurePolicy"
    assert "failed with exit code 42 matching FailJob rule at index 0" in failed["message"]
    kubectl.apply(_job("once", "exit 1", backoffLimit=0))
    kubectl("wait", "job/once", "--for=condition=Failed", WAIT)
    assert "BackoffLimitExceeded" in kubectl("describe", "job/once")
    assert "Failed" in kubectl("get", "jobs")


def test_a_job_is_suspended_resumed_and_forgotten(kubectl: Namespace) -> None:
    kubectl.apply(_job("late", "true", suspend=True, ttlSecondsAfterFinished=0))
    kubectl("wait", "job/late", "--for=condition=Suspended", WAIT)
    assert kubectl.names("pods") == []
    kubectl("patch", "job/late", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    kubectl("wait", "job/late", "--for=delete", WAIT)
    wait_for("the Pods to go", lambda: kubectl.names("pods") == [])


def test_a_cron_job(kubectl: Namespace) -> None:
    kubectl("create", "cronjob", "tick", "--image=small:1", "--schedule=@every 1s", "--", "echo", "tick")
    wait_for("a success", lambda: kubectl.json("cronjob/tick").get("status", {}).get("lastSuccessfulTime"))
    kubectl("patch", "cronjob/tick", "-p", '{"spec":{"suspend":true}}')
    assert kubectl.json("cronjob/tick")["status"]["lastScheduleTime"]
    assert kubectl("create", "job", "by-hand", "--from=cronjob/tick") == "job.batch/by-hand created\n"
    kubectl("wait", "job/by-hand", "--for=condition=Complete", WAIT)
    assert kubectl("logs", "job/by-hand") == "tick\n"
    assert "@every 1s" in kubectl("get", "cronjobs")
    kubectl("delete", "cronjob/tick", "--cascade=foreground", "--wait")
    assert kubectl.names("jobs") == []
    refused = kubectl("create", "cronjob", "bad", "--image=small:1", "--schedule=* * * *", check=False)
    assert "expected exactly 5 fields, found 4" in refused


def test_what_a_quota_forbids_is_told(kubectl: Namespace) -> None:
    kubectl("create", "quota", "few", "--hard=pods=1")
    kubectl.apply(_app("ReplicaSet", "set", 2))
    wait_for("the event", lambda: "exceeded quota" in kubectl("describe", "replicaset/set"))
    assert "FailedCreate" in kubectl("describe", "replicaset/set")
    assert len(kubectl.names("pods")) == 1


def test_a_namespace_with_much_in_it_goes(kubectl: Namespace, shared: ServiceProcess) -> None:
    stateful = _app("StatefulSet", "db", 3, serviceName="db", podManagementPolicy="Parallel")
    stateful["spec"]["selector"] = {"matchLabels": {"app": "other"}}
    stateful["spec"]["template"] = {**_template(), "metadata": {"labels": {"app": "other"}}}
    jobs = [_job(f"job-{number}", "sleep 1000") for number in range(8)]
    kubectl.apply(_app("Deployment", "many", 12), stateful, *jobs)
    wait_for("some Pods", lambda: kubectl("get", "pods").count("Running") > 5, 60)
    shared.kubectl("delete", "namespace", kubectl.name, WAIT)
    assert "NotFound" in shared.kubectl("get", "namespace", kubectl.name, check=False)
    kinds = "pods,jobs,deployments,replicasets,statefulsets,controllerrevisions,events"
    assert kubectl.json(kinds)["items"] == []
