"""Users, roles and tokens as an operator meets them: the real command and the real kubectl."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.service import ServiceProcess, needs_kubectl, wait_for

pytestmark = needs_kubectl
WHO = "/k8s/apis/authentication.k8s.io/v1/selfsubjectreviews"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    service = ServiceProcess(tmp_path_factory.mktemp("users") / "data")
    service.start()
    try:
        yield service
    finally:
        service.stop()


def beamhall(service: ServiceProcess, *args: str, check: bool = True) -> str:
    command = [sys.executable, "-m", "beamhall", *args, "--data", str(service.data)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout + ("" if check else done.stderr)


class Person:
    """Somebody with a kubeconfig of their own."""

    def __init__(self, service: ServiceProcess, file: Path, *options: str) -> None:
        self._file = file
        file.write_text(beamhall(service, "kubeconfig", *options))

    def kubectl(self, *args: str, check: bool = True) -> str:
        command = ["kubectl", "--kubeconfig", str(self._file), *args]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout + ("" if check else done.stderr)


@pytest.fixture(scope="module")
def jo(service: ServiceProcess, tmp_path_factory: pytest.TempPathFactory) -> Person:
    service.kubectl("create", "namespace", "vision")
    options = ("--user", "jo", "--group", "lab", "--namespace", "vision")
    return Person(service, tmp_path_factory.mktemp("jo") / "config", *options)


def test_a_user_does_what_roles_say(service: ServiceProcess, jo: Person) -> None:
    who = jo.kubectl("auth", "whoami")
    assert "jo" in who
    assert "[lab system:authenticated]" in who
    refused = jo.kubectl("get", "pods", check=False)
    assert refused.strip() == (
        'Error from server (Forbidden): pods is forbidden: User "jo" cannot list resource "pods" in API group "" '
        'in the namespace "vision"'
    )
    service.kubectl("create", "rolebinding", "lab", "--clusterrole=edit", "--group=lab", "-n", "vision")
    jo.kubectl("create", "configmap", "mine")
    assert "mine" in jo.kubectl("get", "configmaps")
    assert jo.kubectl("auth", "can-i", "create", "deployments.apps").strip() == "yes"
    assert jo.kubectl("auth", "can-i", "list", "pods", "-n", "default", check=False).startswith("no")
    assert jo.kubectl("auth", "can-i", "create", "rolebindings", check=False).startswith("no")
    listed = jo.kubectl("auth", "can-i", "--list")
    assert "selfsubjectaccessreviews.authorization.k8s.io" in listed
    assert "serviceaccounts" in listed
    assert "cannot list resource" in jo.kubectl("get", "pods", "-n", "default", check=False)
    assert "forbidden" in jo.kubectl("create", "rolebinding", "x", "--clusterrole=admin", "--user=jo", check=False)
    service.kubectl("delete", "rolebinding", "lab", "-n", "vision")
    assert "Forbidden" in jo.kubectl("get", "configmaps", check=False)


def test_a_namespaces_admin_grants_what_they_have(service: ServiceProcess, jo: Person) -> None:
    service.kubectl("create", "rolebinding", "head", "--clusterrole=admin", "--user=jo", "-n", "vision")
    jo.kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods,pods/log")
    jo.kubectl("create", "rolebinding", "reader", "--role=reader", "--serviceaccount=vision:default")
    refused = jo.kubectl("create", "rolebinding", "all", "--clusterrole=cluster-admin", "--user=jo", check=False)
    assert "is attempting to grant RBAC permissions not currently held" in refused
    assert '{NonResourceURLs:["*"], Verbs:["*"]}' in refused
    assert "forbidden" in jo.kubectl("create", "clusterrole", "c", "--verb=get", "--resource=nodes", check=False)
    service.kubectl("delete", "rolebinding", "head", "-n", "vision")


def test_impersonation(service: ServiceProcess, jo: Person) -> None:
    assert service.kubectl("auth", "can-i", "get", "pods", "--as", "sam", check=False).startswith("no")
    service.kubectl("create", "clusterrole", "looks", "--verb=get,list,watch", "--resource=pods")
    service.kubectl("create", "clusterrolebinding", "office-looks", "--clusterrole=looks", "--group=office")
    as_office = ("--as", "sam", "--as-group", "office")
    assert service.kubectl("auth", "can-i", "get", "pods", "-A", *as_office).strip() == "yes"
    assert "No resources" in service.kubectl("get", "pods", "-n", "vision", *as_office, check=False)
    refused = jo.kubectl("get", "pods", "--as", "sam", check=False)
    assert 'User "jo" cannot impersonate resource "users" in API group "" at the cluster scope' in refused


def test_a_service_accounts_token(service: ServiceProcess, jo: Person) -> None:
    service.kubectl("create", "serviceaccount", "robot", "-n", "vision")
    token = service.kubectl("create", "token", "robot", "-n", "vision", "--duration=10m").strip()
    bearer = {"authorization": f"Bearer {token}"}
    with httpx2.Client(base_url=service.url, headers=bearer, trust_env=False) as http:
        pods = "/k8s/api/v1/namespaces/vision/pods"
        who = http.post(WHO, json={}).json()["status"]["userInfo"]
        assert who["username"] == "system:serviceaccount:vision:robot"
        assert who["groups"] == ["system:serviceaccounts", "system:serviceaccounts:vision", "system:authenticated"]
        refused = http.get(pods).json()
        assert refused["message"].startswith(
            'pods is forbidden: User "system:serviceaccount:vision:robot" cannot list resource "pods"'
        )
        service.kubectl(
            "create", "rolebinding", "robot", "--clusterrole=view", "--serviceaccount=vision:robot", "-n", "vision"
        )
        assert http.get(pods).json()["kind"] == "PodList"
        assert http.get("/metrics").status_code == 403
        story = {"kind": "tfjob", "name": "x", "namespace": "default"}
        assert http.get("/api/stories/", params=story).status_code == 403
        service.kubectl("delete", "serviceaccount", "robot", "-n", "vision")
        assert http.get(pods).status_code == 401
    short = service.kubectl("create", "token", "default", "-n", "vision", "--duration=5m", check=False)
    assert "may not specify a duration less than 10 minutes" in short


def test_users_are_listed_and_taken_back(service: ServiceProcess) -> None:
    token = beamhall(service, "users", "add", "temp", "--group", "office").strip()
    bearer = {"authorization": f"Bearer {token}"}
    with httpx2.Client(base_url=service.url, headers=bearer, trust_env=False) as http:
        assert http.post(WHO, json={}).json()["status"]["userInfo"]["username"] == "temp"
        assert any(line.split()[:2] == ["temp", "office"] for line in beamhall(service, "users", "list").splitlines())
        beamhall(service, "users", "remove", "temp")
        assert http.post(WHO, json={}).status_code == 401
    assert "there is no user 'temp'" in beamhall(service, "users", "remove", "temp", check=False)
    assert "reserved" in beamhall(service, "users", "add", "system:x", check=False)


def test_roles_are_aggregated(service: ServiceProcess) -> None:
    service.kubectl("create", "clusterrole", "toys", "--verb=get,list", "--resource=deployments.apps/toys")
    service.kubectl("label", "clusterrole", "toys", "rbac.authorization.k8s.io/aggregate-to-view=true")

    def shown() -> bool:
        admin = json.loads(service.kubectl("get", "clusterrole", "admin", "-o", "json"))
        return any("deployments/toys" in rule.get("resources", ()) for rule in admin["rules"])

    wait_for("a rule to reach the role admin, by way of view and edit", shown)
    service.kubectl("delete", "clusterrole", "toys")
    wait_for("it to leave again", lambda: not shown())


def test_pipelines_are_reached_by_those_who_may(service: ServiceProcess, jo: Person) -> None:
    """The KFP API asks the same roles; jo may edit vision from here on."""
    token = json.loads(jo.kubectl("config", "view", "--raw", "-o", "json"))["users"][0]["user"]["token"]
    service.kubectl("create", "rolebinding", "jo-runs", "--clusterrole=edit", "--user=jo", "-n", "vision")

    def create(prefix: str, namespace: str, **headers: str) -> httpx2.Response:
        body = {"display_name": f"by jo{len(prefix)}", "namespace": namespace}
        return httpx2.post(f"{service.url}{prefix}/apis/v2beta1/experiments", json=body, headers=headers)

    mine = {"authorization": f"Bearer {token}"}
    assert create("", "vision", **mine).status_code == 200
    assert create("/pipeline", "vision", **mine).status_code == 200
    refused = create("", "default", **mine)
    assert (refused.status_code, refused.json()["code"]) == (403, 7)
    assert create("", "vision").status_code == 401
    assert (service.data / "history.db").exists()
