"""Placing 10,000 waiting Pods on 64 simulated nodes: single ones, and groups of 8 that start whole or not at all."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.figures import figure
from tests.service import ServiceProcess, wait_for

NODES = 64
PODS = 10_000
GROUP = 8
CLIENTS = 8
SETTLE_S = 5.0
API = "/k8s/api/v1"
IN_NAMESPACE = f"{API}/namespaces/default"
GROUPS = "/k8s/apis/scheduling.x-k8s.io/v1alpha1/namespaces/default/podgroups"


def measure() -> Iterator[dict[str, Any]]:
    """Measure from the opening of the nodes until every Pod, pending and durable before, is bound and durable."""
    for name, size in (("place_10000_pods", 1), ("place_1250_groups_of_8", GROUP)):
        with tempfile.TemporaryDirectory() as directory:
            options = ("--stop-pods", "--simulated-nodes", str(NODES), "--simulated-node", "cpu=256,memory=1Ti")
            service = ServiceProcess(Path(directory) / "data", *options)
            service.start()
            try:
                taken_s, cpu_s = _place(service, size)
            finally:
                service.stop()
        yield figure(name, "s", [taken_s], at_most=10, service_cpu=cpu_s)


def _place(service: ServiceProcess, size: int) -> tuple[float, float]:
    headers = {"authorization": f"Bearer {service.token}"}
    with httpx2.Client(base_url=service.url, headers=headers, trust_env=False, timeout=300) as http:
        wait_for("the namespace", lambda: http.get(IN_NAMESPACE).status_code == 200)
        nodes = http.get(f"{API}/nodes").json()["items"]
        (real,) = [node for node in nodes if "beamhall.io/simulated" not in node["metadata"]["labels"]]
        _patch(http, real["metadata"]["name"], {"unschedulable": True})
        with ThreadPoolExecutor(CLIENTS) as clients:
            if size > 1:
                groups = [_group(number, size) for number in range(PODS // size)]
                list(clients.map(lambda group: http.post(GROUPS, json=group).raise_for_status(), groups))
            pods = [_pod(number, size) for number in range(PODS)]
            list(clients.map(lambda pod: http.post(f"{IN_NAMESPACE}/pods", json=pod).raise_for_status(), pods))
        wait_for("every Pod to be told why it waits", lambda: not _pods(http, "status.phase=Pending", _is_untold), 300)
        time.sleep(SETTLE_S)
        assert service.process is not None
        before_s, began = _cpu_s(service.process.pid), time.perf_counter()
        for node in nodes:
            if node is not real:
                _patch(http, node["metadata"]["name"], {"taints": None})
        # Looking through all Pods takes the service's time, so the one that is probably the last is looked at first.
        wait_for("the last Pod to have a node", lambda: _is_bound(http, PODS - 1), 300)
        wait_for("every Pod to have a node", lambda: not _pods(http, "spec.nodeName="), 300)
        return time.perf_counter() - began, _cpu_s(service.process.pid) - before_s


def _patch(http: httpx2.Client, node: str, spec: dict[str, Any]) -> None:
    headers = {"content-type": "application/merge-patch+json"}
    http.patch(f"{API}/nodes/{node}", json={"spec": spec}, headers=headers).raise_for_status()


def _pods(http: httpx2.Client, fields: str, is_meant: Any = None) -> Sequence[dict[str, Any]]:
    """Give Pods by a field selector; without a further test, the first one alone."""
    query = {"fieldSelector": fields} | ({} if is_meant else {"limit": "1"})
    items = http.get(f"{IN_NAMESPACE}/pods", params=query).json()["items"]
    return [item for item in items if is_meant is None or is_meant(item)]


def _is_bound(http: httpx2.Client, number: int) -> bool:
    time.sleep(0.1)
    return bool(http.get(f"{IN_NAMESPACE}/pods/p{number}").json()["spec"].get("nodeName"))


def _is_untold(pod: dict[str, Any]) -> bool:
    return not (pod.get("status") or {}).get("conditions")


def _group(number: int, size: int) -> dict[str, Any]:
    return {"metadata": {"name": f"g{number}"}, "spec": {"minMember": size}}


def _pod(number: int, size: int) -> dict[str, Any]:
    labels = {"scheduling.x-k8s.io/pod-group": f"g{number // size}"} if size > 1 else {}
    resources = {"requests": {"cpu": "1", "memory": "1Gi"}}
    containers = [{"name": "main", "image": "python", "resources": resources}]
    return {"metadata": {"name": f"p{number}", "labels": labels}, "spec": {"containers": containers}}


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
