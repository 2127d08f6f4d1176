"""What a scientist and an operator do with nodes, priorities and groups, by the real kubectl on simulated nodes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.service import ServiceProcess, needs_kubectl, wait_for

pytestmark = needs_kubectl


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    options = ("--stop-pods", "--simulated-nodes", "3", "--simulated-node", "cpu=4,memory=8Gi", "--simulated-open")
    running = ServiceProcess(tmp_path_factory.mktemp("scheduling") / "data", *options)
    running.start()
    try:
        real = [name for name in names(running, "nodes") if not name.startswith("simulated-")]
        running.kubectl("cordon", *real)
        yield running
    finally:
        running.stop()


def names(service: ServiceProcess, kind: str, *args: str) -> list[str]:
    listed = json.loads(service.kubectl("get", kind, *args, "-o", "json"))["items"]
    return sorted(item["metadata"]["name"] for item in listed)


def where(service: ServiceProcess, name: str) -> str:
    """Give the node of a Pod, empty while it has none or does not exist."""
    pods = json.loads(service.kubectl("get", "pods", "-o", "json"))["items"]
    return str(next((p["spec"].get("nodeName", "") for p in pods if p["metadata"]["name"] == name), ""))


def apply(service: ServiceProcess, name: str, cpu: str = "1", **spec: Any) -> None:
    labels = spec.pop("labels", {})
    container = {"name": "main", "image": "python", "resources": {"requests": {"cpu": cpu}}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}}
    service.kubectl("apply", "-f", "-", stdin=yaml.safe_dump({**pod, "spec": {"containers": [container], **spec}}))


@pytest.fixture(autouse=True)
def _clean(service: ServiceProcess) -> Iterator[None]:
    yield
    service.kubectl("delete", "pods", "--all", "--wait=false")
    wait_for("no Pod", lambda: not names(service, "pods"))
    service.kubectl("uncordon", "-l", "type=simulated")


def test_drain_moves_what_it_may_and_uncordon_lets_pods_come(service: ServiceProcess) -> None:
    apply(service, "here", nodeSelector={"kubernetes.io/hostname": "simulated-0000"})
    wait_for("the Pod", lambda: where(service, "here"))
    said = service.kubectl("drain", "simulated-0000", "--force", "--timeout=60s")
    assert "node/simulated-0000 drained" in said
    assert "here" not in names(service, "pods")
    assert "SchedulingDisabled" in service.kubectl("get", "node", "simulated-0000")
    apply(service, "again", nodeSelector={"kubernetes.io/hostname": "simulated-0000"})
    wait_for("a reason", lambda: "no new Pods (it is cordoned)" in service.kubectl("describe", "pod", "again"))
    service.kubectl("uncordon", "simulated-0000")
    wait_for("the Pod", lambda: where(service, "again") == "simulated-0000")
    described = service.kubectl("describe", "node", "simulated-0000")
    allocated = described[described.index("Allocated resources") :]
    assert "cpu                1 (25%)" in allocated
    assert "again" in described


def test_taints_keep_pods_off_and_send_them_away(service: ServiceProcess) -> None:
    node = "simulated-0001"
    apply(service, "plain", nodeSelector={"kubernetes.io/hostname": node})
    stays = [{"key": "broken", "operator": "Exists"}]
    apply(service, "stays", nodeSelector={"kubernetes.io/hostname": node}, tolerations=stays)
    wait_for("both Pods", lambda: where(service, "plain") and where(service, "stays"))
    service.kubectl("taint", "node", node, "broken=fan:NoExecute")
    wait_for("the eviction", lambda: "plain" not in names(service, "pods"))
    assert "TaintManagerEviction" in service.kubectl("get", "events")
    assert where(service, "stays") == node
    service.kubectl("taint", "node", node, "broken=fan:NoExecute-")


def test_the_urgent_take_the_place_of_others(service: ServiceProcess) -> None:
    service.kubectl("create", "priorityclass", "urgent", "--value=1000", "--description=Demos")
    for number in range(3):
        apply(service, f"low-{number}", "3", terminationGracePeriodSeconds=1)
    wait_for("all nodes in use", lambda: all(where(service, f"low-{n}") for n in range(3)))
    apply(service, "patient", "3")
    wait_for("a reason", lambda: "of which 1 are free" in service.kubectl("describe", "pod", "patient"))
    apply(service, "urgent", "3", priorityClassName="urgent")
    wait_for("the urgent Pod", lambda: where(service, "urgent"))
    left = [name for name in names(service, "pods") if name.startswith("low-")]
    assert len(left) == 2
    assert where(service, "patient") == ""
    assert "Preempted by Pod default/urgent (priority 1000)" in service.kubectl("get", "events")


def test_a_group_waits_whole_and_starts_whole(service: ServiceProcess) -> None:
    group = {"apiVersion": "scheduling.x-k8s.io/v1alpha1", "kind": "PodGroup", "metadata": {"name": "team"}}
    service.kubectl("apply", "-f", "-", stdin=yaml.safe_dump({**group, "spec": {"minMember": 3}}))
    apply(service, "blocks", "2", nodeSelector={"kubernetes.io/hostname": "simulated-0002"})
    wait_for("the Pod", lambda: where(service, "blocks"))
    for number in range(3):
        apply(service, f"team-{number}", "4", labels={"scheduling.x-k8s.io/pod-group": "team"})
    reason = "waits for its group team, which needs 3 Pods at once"
    wait_for("a reason", lambda: reason in service.kubectl("describe", "pod", "team-0"))
    assert [where(service, f"team-{n}") for n in range(3)] == ["", "", ""]
    assert "Pending" in service.kubectl("get", "podgroup", "team")
    service.kubectl("delete", "pod", "blocks")
    wait_for("the group", lambda: all(where(service, f"team-{n}") for n in range(3)))
    wait_for("its status", lambda: "Running" in service.kubectl("get", "podgroup", "team"))
