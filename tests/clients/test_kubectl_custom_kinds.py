"""The real `kubectl` on custom kinds: explain, typos, rules in CEL, server-side apply, edit, scale."""

import shutil
from collections.abc import Iterator

import pytest

from tests.api_server import api_server
from tests.clients.test_kubectl_api import Kubectl

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")

DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: studies.lab.example.org}
spec:
  group: lab.example.org
  scope: Namespaced
  names: {plural: studies, singular: study, kind: Study, shortNames: [st]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
    additionalPrinterColumns:
    - {name: Goal, type: string, jsonPath: .spec.goal}
    schema:
      openAPIV3Schema:
        type: object
        description: A study of something.
        properties:
          spec:
            type: object
            required: [goal]
            properties:
              goal: {type: string, description: What is to be found out.}
              replicas: {type: integer, default: 1}
              owner:
                type: string
                x-kubernetes-validations: [{rule: self == oldSelf, message: the owner stays}]
              arms:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items:
                  type: object
                  required: [name]
                  properties: {name: {type: string}, share: {type: integer, minimum: 0}}
            x-kubernetes-validations:
            - rule: "!has(self.arms) || self.arms.map(a, has(a.share) ? a.share : 0).sum() <= 100"
              messageExpression: "'shares add up to ' + string(self.arms.map(a, a.share).sum())"
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""
STUDY = """
apiVersion: lab.example.org/v1
kind: Study
metadata: {name: s}
spec:
  goal: sleep
  owner: ada
  arms:
  - {name: a, share: 50}
"""
OTHER_ARM = """
apiVersion: lab.example.org/v1
kind: Study
metadata: {name: s}
spec:
  arms:
  - {name: b, share: 40}
"""


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    directory = tmp_path_factory.mktemp("kubectl")
    with api_server(directory) as url:
        kubectl = Kubectl(url, directory)
        kubectl("apply", "-f", "-", text=DEFINITION)
        kubectl("wait", "--for=condition=Established", "crd/studies.lab.example.org", "--timeout=20s")
        yield kubectl


def test_explain(kubectl):
    found = kubectl("explain", "study.spec")
    assert "goal\t<string> -required-" in found
    assert "What is to be found out." in found
    assert "share\t<integer>" in kubectl("explain", "study.spec.arms")


def test_a_typo_is_named(kubectl):
    failed = kubectl.run("apply", "-f", "-", text=STUDY.replace("owner:", "onwer:"))
    assert failed.returncode == 1
    assert 'strict decoding error: unknown field "spec.onwer"' in failed.stderr


def test_what_the_schema_and_its_rules_say(kubectl):
    failed = kubectl.run("apply", "-f", "-", text=STUDY.replace("goal: sleep", "goal: 7"))
    assert "spec.goal" in failed.stderr
    failed = kubectl.run("apply", "-f", "-", text=STUDY.replace("50", "150"))
    assert 'The Study "s" is invalid: spec: Invalid value: "object": shares add up to 150' in failed.stderr


def test_a_life(kubectl):
    assert kubectl("apply", "--server-side", "-f", "-", text=STUDY) == "study.lab.example.org/s serverside-applied\n"
    kubectl("apply", "--server-side", "--field-manager=other", "-f", "-", text=OTHER_ARM)
    spec = kubectl.object("study", "s")["spec"]
    assert [arm["name"] for arm in spec["arms"]] == ["a", "b"]
    assert kubectl("get", "st").split() == ["NAME", "GOAL", "s", "sleep"]
    refused = kubectl.run("patch", "study", "s", "--type=merge", "-p", '{"spec": {"owner": "bob"}}')
    assert 'spec.owner: Invalid value: "string": the owner stays' in refused.stderr
    kubectl("scale", "study/s", "--replicas=3")
    assert kubectl.object("study", "s")["spec"]["replicas"] == 3
    conflict = kubectl.run("apply", "--server-side", "-f", "-", text=STUDY.replace("owner:", "replicas: 1\n  owner:"))
    assert (
        'conflict with "kubectl" with subresource "scale" using lab.example.org/v1: .spec.replicas' in conflict.stderr
    )
    edited = kubectl("edit", "study", "s", KUBE_EDITOR="sed -i s/sleep/dreams/")
    assert edited == "study.lab.example.org/s edited\n"
    assert kubectl.object("study", "s")["spec"]["goal"] == "dreams"
    kubectl("delete", "study", "s")


def test_a_rule_that_cannot_be_compiled_is_refused(kubectl):
    wrong = DEFINITION.replace("studies", "essays").replace("study", "essay").replace("Study", "Essay")
    failed = kubectl.run("apply", "-f", "-", text=wrong.replace("[st]", "[es]").replace("self == oldSelf", "self = 1"))
    assert failed.returncode == 1
    assert "x-kubernetes-validations[0].rule" in failed.stderr
    assert "compilation failed" in failed.stderr
