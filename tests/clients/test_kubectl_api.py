"""The real `kubectl` against the embedded API: what a scientist does every day."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api_server import api_server

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")

POD = """
apiVersion: v1
kind: Pod
metadata:
  name: p1
  labels: {app: demo}
spec:
  containers:
  - name: main
    image: python
    command: [python, -c, "print(1)"]
"""


class Kubectl:
    """`kubectl` on one server, with nothing of the machine's own configuration."""

    def __init__(self, url: str, directory: Path) -> None:
        self._prefix = ["kubectl", f"--server={url}", f"--cache-dir={directory / 'cache'}"]
        self._directory = directory
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "KUBECONFIG": os.devnull}

    def run(self, *arguments: str, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*self._prefix, *arguments],
            input=text,
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
            env=self._environment | environment,
            cwd=self._directory,
        )

    def __call__(self, *arguments: str, text: str = "", **environment: str) -> str:
        """Run a command that must succeed; give its output."""
        done = self.run(*arguments, text=text, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command that goes on."""
        return subprocess.Popen(
            [*self._prefix, *arguments],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self._environment,
        )  # fmt: skip

    def object(self, *arguments: str) -> Any:
        """Get one object as JSON."""
        return json.loads(self("get", *arguments, "-o", "json"))


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    directory = tmp_path_factory.mktemp("kubectl")
    with api_server(directory) as url:
        yield Kubectl(url, directory)


@pytest.fixture
def namespace(kubectl: Kubectl, request: pytest.FixtureRequest) -> str:
    name: str = request.node.name.replace("_", "-").replace("[", "-").replace("]", "")[:60]
    kubectl("create", "namespace", name)
    return name


def test_create_get_delete(kubectl, namespace):
    assert kubectl("-n", namespace, "create", "-f", "-", text=POD) == "pod/p1 created\n"
    lines = kubectl("-n", namespace, "get", "pods").splitlines()
    assert lines[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert lines[1].split()[:4] == ["p1", "0/1", "Pending", "0"]
    wide = kubectl("-n", namespace, "get", "pods", "-o", "wide").splitlines()[0]
    assert "NODE" in wide
    assert kubectl("-n", namespace, "get", "pods", "-o", "name") == "pod/p1\n"
    assert "restartPolicy: Always" in kubectl("-n", namespace, "get", "pod", "p1", "-o", "yaml")
    assert kubectl("-n", namespace, "delete", "pod", "p1").startswith('pod "p1" deleted')
    failed = kubectl.run("-n", namespace, "get", "pod", "p1")
    assert failed.stderr == 'Error from server (NotFound): pods "p1" not found\n'


def test_create_from_literals(kubectl, namespace):
    kubectl("-n", namespace, "create", "configmap", "settings", "--from-literal=colour=red")
    kubectl("-n", namespace, "create", "secret", "generic", "key", "--from-literal=word=hidden")
    assert kubectl.object("-n", namespace, "configmap", "settings")["data"] == {"colour": "red"}
    assert kubectl.object("-n", namespace, "secret", "key")["data"] == {"word": "aGlkZGVu"}


def test_apply_twice_and_changed(kubectl, namespace):
    assert kubectl("-n", namespace, "apply", "-f", "-", text=POD) == "pod/p1 created\n"
    first = kubectl.object("-n", namespace, "pod", "p1")
    assert kubectl("-n", namespace, "apply", "-f", "-", text=POD) == "pod/p1 unchanged\n"
    assert kubectl.object("-n", namespace, "pod", "p1") == first
    changed = POD.replace("app: demo", "app: other, tier: web")
    assert kubectl("-n", namespace, "apply", "-f", "-", text=changed) == "pod/p1 configured\n"
    assert kubectl.object("-n", namespace, "pod", "p1")["metadata"]["labels"] == {"app": "other", "tier": "web"}
    kubectl("-n", namespace, "apply", "-f", "-", text=POD)
    assert kubectl.object("-n", namespace, "pod", "p1")["metadata"]["labels"] == {"app": "demo"}


def test_what_may_not_change_is_refused(kubectl, namespace):
    kubectl("-n", namespace, "create", "-f", "-", text=POD)
    changed = kubectl.run("-n", namespace, "apply", "-f", "-", text=POD.replace("print(1)", "print(2)"))
    assert changed.returncode == 1
    assert "pod updates may not change fields other than" in changed.stderr.lower()


def test_a_typo_is_named(kubectl, namespace):
    failed = kubectl.run("-n", namespace, "apply", "-f", "-", text=POD.replace("containers:", "contaners:"))
    assert failed.returncode == 1
    assert 'unknown field "spec.contaners"' in failed.stderr
    warned = kubectl.run(
        "-n", namespace, "create", "--validate=warn", "-f", "-", text=POD.replace("image:", "imagee: x\n    image:")
    )
    assert warned.returncode == 0
    assert 'Warning: unknown field "spec.containers[0].imagee"' in warned.stderr


APPLIED = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: red}
"""


def test_apply_on_the_server_side(kubectl, namespace):
    here = ("-n", namespace, "apply", "--server-side", "-f", "-")
    assert kubectl(*here, text=APPLIED) == "configmap/settings serverside-applied\n"
    found = kubectl("-n", namespace, "get", "configmap", "settings", "-o", "yaml", "--show-managed-fields")
    assert "f:colour: {}" in found
    assert "managedFields" not in kubectl("-n", namespace, "get", "configmap", "settings", "-o", "yaml")
    other = APPLIED.replace("red", "blue")
    refused = kubectl.run(*here, "--field-manager=other", text=other)
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .data.colour' in refused.stderr
    assert "--force-conflicts" in refused.stderr
    difference = kubectl.run("-n", namespace, "diff", "--server-side", "-f", "-", text=other)
    assert difference.returncode == 1
    assert "+  colour: blue" in difference.stdout
    kubectl(*here, "--dry-run=server", text=other)
    assert kubectl.object("-n", namespace, "configmap", "settings")["data"] == {"colour": "red"}
    kubectl(*here, "--field-manager=other", "--force-conflicts", text=other)
    assert kubectl.object("-n", namespace, "configmap", "settings")["data"] == {"colour": "blue"}
    typo = kubectl.run(*here, text=APPLIED.replace("\ndata:", "\ndtaa:"))
    assert 'unknown field "dtaa"' in typo.stderr


def test_apply_moves_to_the_server_side_and_back(kubectl, namespace):
    kubectl("-n", namespace, "apply", "-f", "-", text=POD)
    moved = kubectl("-n", namespace, "apply", "--server-side", "-f", "-", text=POD.replace("app: demo", "app: two"))
    assert moved == "pod/p1 serverside-applied\n"
    pod = kubectl.object("-n", namespace, "pod", "p1", "--show-managed-fields")
    managers = {(entry["manager"], entry["operation"]) for entry in pod["metadata"]["managedFields"]}
    assert managers == {("kubectl", "Apply"), ("kubectl-last-applied", "Apply")}
    assert pod["metadata"]["labels"] == {"app": "two"}
    kubectl("-n", namespace, "apply", "-f", "-", text=POD)
    assert kubectl.object("-n", namespace, "pod", "p1")["metadata"]["labels"] == {"app": "demo"}


def test_dry_run_stores_nothing(kubectl, namespace):
    assert "created (server dry run)" in kubectl("-n", namespace, "create", "--dry-run=server", "-f", "-", text=POD)
    assert kubectl.run("-n", namespace, "get", "pod", "p1").returncode == 1


def test_patch_label_annotate_edit(kubectl, namespace):
    kubectl("-n", namespace, "create", "-f", "-", text=POD)
    kubectl("-n", namespace, "patch", "pod", "p1", "-p", '{"metadata":{"labels":{"a":"1"}}}')
    kubectl("-n", namespace, "patch", "pod", "p1", "--type=merge", "-p", '{"metadata":{"labels":{"b":"2"}}}')
    operation = '[{"op":"add","path":"/metadata/labels/c","value":"3"}]'
    kubectl("-n", namespace, "patch", "pod", "p1", "--type=json", "-p", operation)
    kubectl("-n", namespace, "label", "pod", "p1", "d=4", "app-")
    kubectl("-n", namespace, "annotate", "pod", "p1", "note=hello")
    kubectl("-n", namespace, "edit", "pod", "p1", EDITOR="sed -i 's/note: hello/note: edited/'")
    metadata = kubectl.object("-n", namespace, "pod", "p1")["metadata"]
    assert metadata["labels"] == {"a": "1", "b": "2", "c": "3", "d": "4"}
    assert metadata["annotations"] == {"note": "edited"}
    image = '{"spec":{"containers":[{"name":"main","image":"other"}]}}'
    kubectl("-n", namespace, "patch", "pod", "p1", "-p", image)
    container = kubectl.object("-n", namespace, "pod", "p1")["spec"]["containers"][0]
    assert container["image"] == "other"
    assert container["command"][0] == "python"


def test_selectors(kubectl, namespace):
    for number in (1, 2):
        text = POD.replace("p1", f"p{number}").replace("demo", f"demo{number}")
        kubectl("-n", namespace, "create", "-f", "-", text=text)
    assert kubectl("-n", namespace, "get", "pods", "-l", "app=demo2", "-o", "name") == "pod/p2\n"
    assert kubectl("-n", namespace, "get", "pods", "-l", "app in (demo1,x)", "-o", "name") == "pod/p1\n"
    by_field = ("--field-selector", "status.phase=Pending,metadata.name!=p1")
    assert kubectl("-n", namespace, "get", "pods", *by_field, "-o", "name") == "pod/p2\n"
    assert "pod/p1" in kubectl("get", "pods", "-A", "-o", "name")
    failed = kubectl.run("-n", namespace, "get", "pods", "--field-selector", "spec.hostname=x")
    assert "field label not supported" in failed.stderr
    kubectl("-n", namespace, "delete", "pods", "--all")
    assert kubectl("-n", namespace, "get", "pods", "-o", "name") == ""


def test_watch_shows_changes(kubectl, namespace):
    kubectl("-n", namespace, "create", "-f", "-", text=POD)
    watching = kubectl.start("-n", namespace, "get", "pods", "-w", "--show-labels")
    try:
        assert watching.stdout is not None
        assert watching.stdout.readline().startswith("NAME")
        assert "app=demo" in watching.stdout.readline()
        kubectl("-n", namespace, "label", "pod", "p1", "seen=yes")
        assert "seen=yes" in watching.stdout.readline()
    finally:
        watching.kill()
        watching.communicate()


def test_wait(kubectl, namespace):
    kubectl("-n", namespace, "create", "-f", "-", text=POD)
    waiting = kubectl.start("-n", namespace, "wait", "pod/p1", "--for=condition=Ready", "--timeout=30s")
    status = '{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}'
    kubectl("-n", namespace, "patch", "pod", "p1", "--subresource=status", "--type=merge", "-p", status)
    assert waiting.communicate(timeout=60)[0] == "pod/p1 condition met\n"
    met = kubectl("-n", namespace, "wait", "pod/p1", "--for=jsonpath={.status.phase}=Running", "--timeout=10s")
    assert met == "pod/p1 condition met\n"
    waiting = kubectl.start("-n", namespace, "wait", "pod/p1", "--for=delete", "--timeout=30s")
    kubectl("-n", namespace, "delete", "pod", "p1", "--wait=false")
    assert waiting.communicate(timeout=60)[1] is None
    assert waiting.returncode == 0


def test_describe_shows_events(kubectl, namespace):
    kubectl("-n", namespace, "create", "-f", "-", text=POD)
    uid = kubectl.object("-n", namespace, "pod", "p1")["metadata"]["uid"]
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": "p1."},
        "involvedObject": {"kind": "Pod", "name": "p1", "namespace": namespace, "uid": uid},
        "reason": "Waiting",
        "message": "no node has room",
        "type": "Warning",
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 1,
        "source": {"component": "scheduler"},
    }
    kubectl("-n", namespace, "create", "-f", "-", text=json.dumps(event))
    described = kubectl("-n", namespace, "describe", "pod", "p1")
    assert "no node has room" in described
    assert "Waiting" in kubectl("-n", namespace, "get", "events")


def test_logs(kubectl, namespace):
    kubectl("-n", namespace, "create", "-f", "-", text=POD)
    assert kubectl("-n", namespace, "logs", "p1") == "one\ntwo\nthree\n"
    assert kubectl("-n", namespace, "logs", "-f", "p1", "--tail=1") == "three\n"
    failed = kubectl.run("-n", namespace, "logs", "p1", "-c", "other")
    assert failed.returncode == 1
    assert "container other is not valid" in failed.stderr


DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: toys.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {kind: Toy, plural: toys, singular: toy, shortNames: [ty], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [size]
            properties:
              size: {type: integer, minimum: 1, description: How large it is.}
              replicas: {type: integer, default: 1}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""


def test_custom_kinds(kubectl, namespace):
    kubectl("apply", "-f", "-", text=DEFINITION)
    kubectl("wait", "crd/toys.example.org", "--for=condition=Established", "--timeout=10s")
    assert "toys" in kubectl("api-resources", "--api-group=example.org")
    toy = "apiVersion: example.org/v1\nkind: Toy\nmetadata: {name: t}\nspec: {size: 3}\n"
    kubectl("-n", namespace, "apply", "-f", "-", text=toy)
    lines = kubectl("-n", namespace, "get", "ty").splitlines()
    assert lines[0].split() == ["NAME", "SIZE"]
    assert lines[1].split() == ["t", "3"]
    assert "How large it is." in kubectl("explain", "toy.spec.size")
    kubectl("-n", namespace, "scale", "toy", "t", "--replicas=4")
    assert kubectl.object("-n", namespace, "toy", "t")["spec"] == {"size": 3, "replicas": 4}
    failed = kubectl.run("-n", namespace, "apply", "-f", "-", text=toy.replace("size: 3", "size: 0"))
    assert "spec.size: Invalid value: 0: must be at least 1" in failed.stderr
    assert "warning" not in failed.stderr
    failed = kubectl.run("-n", namespace, "apply", "-f", "-", text=toy.replace("size: 3", "size: 3, sise: 4"))
    assert 'unknown field "spec.sise"' in failed.stderr
    kubectl("delete", "crd", "toys.example.org")
    assert "toys" not in kubectl("api-resources", "--api-group=example.org")


def test_deleting_a_namespace_empties_it(kubectl):
    kubectl("create", "namespace", "doomed")
    kubectl("-n", "doomed", "create", "-f", "-", text=POD)
    kubectl("-n", "doomed", "create", "configmap", "settings")
    kubectl("delete", "namespace", "doomed", "--timeout=30s")
    assert kubectl.run("get", "namespace", "doomed").returncode == 1
    assert kubectl.run("-n", "doomed", "get", "pod", "p1").returncode == 1


def test_who_am_i_and_what_may_i(kubectl):
    assert kubectl("auth", "can-i", "create", "pods") == "yes\n"
    assert "tester" in kubectl("auth", "whoami")


def test_discovery_and_explain(kubectl):
    listed = kubectl("api-resources", "-o", "name").split()
    assert {"pods", "jobs.batch", "customresourcedefinitions.apiextensions.k8s.io"} <= set(listed)
    assert "batch/v1" in kubectl("api-versions").split()
    assert "restartPolicy" in kubectl("explain", "pod.spec")
    assert "Server Version: v1.32" in kubectl("version")


def test_a_kind_that_is_not_installed_is_named(kubectl):
    text = "apiVersion: nothing.org/v1\nkind: Nothing\nmetadata: {name: one}\n"
    failed = kubectl.run("create", "-f", "-", text=text)
    assert 'no matches for kind "Nothing" in version "nothing.org/v1"' in failed.stderr


def test_diff_run_expose_and_replace(kubectl, namespace):
    kubectl("-n", namespace, "run", "web", "--image=python", "--port=80", "--expose")
    assert kubectl("-n", namespace, "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}").startswith("127.")
    text = kubectl("-n", namespace, "get", "pod", "web", "-o", "yaml")
    assert kubectl("-n", namespace, "diff", "-f", "-", text=text) == ""
    changed = text.replace("run: web", "run: web2")
    assert "web2" in kubectl.run("-n", namespace, "diff", "-f", "-", text=changed).stdout
    assert kubectl("-n", namespace, "replace", "-f", "-", text=changed) == "pod/web replaced\n"


def test_deletion_in_three_ways(kubectl, namespace):
    for cascade in ("background", "foreground", "orphan"):
        kubectl("-n", namespace, "create", "job", cascade, "--image=python", "--", "true")
        kubectl("-n", namespace, "delete", "job", cascade, f"--cascade={cascade}", "--timeout=20s")
    assert kubectl("-n", namespace, "get", "jobs", "-o", "name") == ""
