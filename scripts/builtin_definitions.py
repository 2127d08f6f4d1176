"""Write ``src/beamhall/embedded/api/builtin/definitions.json``: the fields of the built-in kinds, as one compact table.

    python scripts/builtin_definitions.py [DESCRIPTORS]

Two published sources are merged. ``lightkube.models`` (our dependency; generated from Kubernetes' OpenAPI) says which
fields there are and which are required; it is read as text, never imported. DESCRIPTORS, an unpacked wheel that holds
Kubernetes' generated protobuf modules (``pip download --no-deps armada-client``, then unzip; needs ``protobuf``), adds
the protobuf field numbers, exact scalar types, and the list and patch markers. Without it, what the present file knows
of those is kept, so that adding a kind needs only the line in ``ROOTS``. Groups that no wheel covers stand in ``HAND``.

The form of the table is told in ``beamhall.embedded.api.builtin.definitions``, which reads it.
"""

import ast
import importlib
import json
import re
import sys
import types
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent.parent / "src/beamhall/embedded/api/builtin/definitions.json"

ROOTS = (
    "core_v1.Namespace", "core_v1.Node", "core_v1.Pod", "core_v1.Service", "core_v1.Endpoints", "core_v1.ConfigMap",
    "core_v1.Secret", "core_v1.PersistentVolumeClaim", "core_v1.PersistentVolume", "core_v1.Event",
    "core_v1.ServiceAccount", "core_v1.Binding", "batch_v1.Job", "coordination_v1.Lease",
    "apiextensions_v1.CustomResourceDefinition", "scheduling_v1.PriorityClass", "meta_v1.DeleteOptions",
    "authentication_v1.SelfSubjectReview", "authentication_v1.TokenRequest", "authentication_v1.TokenReview",
    "authorization_v1.SelfSubjectAccessReview", "authorization_v1.SelfSubjectRulesReview",
    "authorization_v1.SubjectAccessReview", "authorization_v1.LocalSubjectAccessReview", "autoscaling_v1.Scale",
    "core_v1.ResourceQuota", "core_v1.LimitRange", "apps_v1.Deployment", "apps_v1.ReplicaSet", "apps_v1.StatefulSet",
    "apps_v1.ControllerRevision", "batch_v1.CronJob", "discovery_v1.EndpointSlice", "rbac_v1.Role",
    "rbac_v1.RoleBinding", "rbac_v1.ClusterRole", "rbac_v1.ClusterRoleBinding", "storage_v1.StorageClass",
    "policy_v1.Eviction",
)  # fmt: skip

SCALARS = {
    "str": "string", "int": "int64", "bool": "bool", "float": "double", "dict": "{}any", "Dict": "{}any", "Any": "any",
    "meta_v1.Time": "time", "meta_v1.MicroTime": "micro-time", "resource.Quantity": "quantity", "datetime": "time",
    "util_intstr.IntOrString": "int-or-string", "runtime.RawExtension": "{}any", "meta_v1.FieldsV1": "{}any",
    "apiextensions_v1.JSONSchemaProps": "{}any",
}  # fmt: skip
"""Types of the models that are no definitions of their own here. A JSON schema is recursive, so it is left open."""

PROTO_SCALARS = {1: "double", 2: "double", 3: "int64", 4: "int64", 5: "int32", 8: "bool", 9: "string", 12: "bytes"}
PROTO_MESSAGES = {
    "Time": "time", "MicroTime": "micro-time", "Quantity": "quantity", "IntOrString": "int-or-string",
    "RawExtension": "raw", "FieldsV1": "raw", "Duration": "string",
}  # fmt: skip

HAND: Mapping[str, Mapping[str, str]] = {
    # Source: generated.proto of kubernetes' apps/v1, batch/v1, coordination/v1, discovery/v1, policy/v1, rbac/v1,
    # scheduling/v1, storage/v1, authentication/v1, authorization/v1 and autoscaling/v1.
    "apps_v1.ControllerRevision": {"metadata": "meta_v1.ObjectMeta 1", "data": "{}any 2", "revision": "int64 3"},
    "apps_v1.Deployment": {
        "metadata": "meta_v1.ObjectMeta 1", "spec": "apps_v1.DeploymentSpec 2", "status": "apps_v1.DeploymentStatus 3",
    },
    "apps_v1.DeploymentSpec": {
        "replicas": "int32 1", "selector": "meta_v1.LabelSelector 2", "template": "core_v1.PodTemplateSpec 3",
        "strategy": "apps_v1.DeploymentStrategy 4 retain-keys", "minReadySeconds": "int32 5",
        "revisionHistoryLimit": "int32 6", "paused": "bool 7", "progressDeadlineSeconds": "int32 9",
    },
    "apps_v1.DeploymentStrategy": {"type": "string 1", "rollingUpdate": "apps_v1.RollingUpdateDeployment 2"},
    "apps_v1.RollingUpdateDeployment": {"maxUnavailable": "int-or-string 1", "maxSurge": "int-or-string 2"},
    "apps_v1.DeploymentStatus": {
        "observedGeneration": "int64 1", "replicas": "int32 2", "updatedReplicas": "int32 3",
        "availableReplicas": "int32 4", "unavailableReplicas": "int32 5",
        "conditions": "[]apps_v1.DeploymentCondition 6 patch=type list=map:type", "readyReplicas": "int32 7",
        "collisionCount": "int32 8", "terminatingReplicas": "int32 9",
    },
    "apps_v1.DeploymentCondition": {
        "type": "string 1", "status": "string 2", "reason": "string 4", "message": "string 5",
        "lastUpdateTime": "time 6", "lastTransitionTime": "time 7",
    },
    "apps_v1.ReplicaSet": {
        "metadata": "meta_v1.ObjectMeta 1", "spec": "apps_v1.ReplicaSetSpec 2", "status": "apps_v1.ReplicaSetStatus 3",
    },
    "apps_v1.ReplicaSetSpec": {
        "replicas": "int32 1", "selector": "meta_v1.LabelSelector 2", "template": "core_v1.PodTemplateSpec 3",
        "minReadySeconds": "int32 4",
    },
    "apps_v1.ReplicaSetStatus": {
        "replicas": "int32 1", "fullyLabeledReplicas": "int32 2", "observedGeneration": "int64 3",
        "readyReplicas": "int32 4", "availableReplicas": "int32 5",
        "conditions": "[]apps_v1.ReplicaSetCondition 6 patch=type list=map:type", "terminatingReplicas": "int32 7",
    },
    "apps_v1.ReplicaSetCondition": {
        "type": "string 1", "status": "string 2", "lastTransitionTime": "time 3", "reason": "string 4",
        "message": "string 5",
    },
    "apps_v1.StatefulSet": {
        "metadata": "meta_v1.ObjectMeta 1", "spec": "apps_v1.StatefulSetSpec 2",
        "status": "apps_v1.StatefulSetStatus 3",
    },
    "apps_v1.StatefulSetSpec": {
        "replicas": "int32 1", "selector": "meta_v1.LabelSelector 2", "template": "core_v1.PodTemplateSpec 3",
        "volumeClaimTemplates": "[]core_v1.PersistentVolumeClaim 4 list=atomic", "serviceName": "string 5",
        "podManagementPolicy": "string 6", "updateStrategy": "apps_v1.StatefulSetUpdateStrategy 7",
        "revisionHistoryLimit": "int32 8", "minReadySeconds": "int32 9",
        "persistentVolumeClaimRetentionPolicy": "apps_v1.StatefulSetPersistentVolumeClaimRetentionPolicy 10",
        "ordinals": "apps_v1.StatefulSetOrdinals 11",
    },
    "apps_v1.StatefulSetUpdateStrategy": {
        "type": "string 1", "rollingUpdate": "apps_v1.RollingUpdateStatefulSetStrategy 2",
    },
    "apps_v1.RollingUpdateStatefulSetStrategy": {"partition": "int32 1", "maxUnavailable": "int-or-string 2"},
    "apps_v1.StatefulSetPersistentVolumeClaimRetentionPolicy": {"whenDeleted": "string 1", "whenScaled": "string 2"},
    "apps_v1.StatefulSetOrdinals": {"start": "int32 1"},
    "apps_v1.StatefulSetStatus": {
        "observedGeneration": "int64 1", "replicas": "int32 2", "readyReplicas": "int32 3",
        "currentReplicas": "int32 4", "updatedReplicas": "int32 5", "currentRevision": "string 6",
        "updateRevision": "string 7", "collisionCount": "int32 9",
        "conditions": "[]apps_v1.StatefulSetCondition 10 patch=type list=map:type", "availableReplicas": "int32 11",
    },
    "apps_v1.StatefulSetCondition": {
        "type": "string 1", "status": "string 2", "lastTransitionTime": "time 3", "reason": "string 4",
        "message": "string 5",
    },
    "batch_v1.CronJob": {
        "metadata": "meta_v1.ObjectMeta 1", "spec": "batch_v1.CronJobSpec 2", "status": "batch_v1.CronJobStatus 3",
    },
    "batch_v1.CronJobSpec": {
        "schedule": "string 1", "startingDeadlineSeconds": "int64 2", "concurrencyPolicy": "string 3",
        "suspend": "bool 4", "jobTemplate": "batch_v1.JobTemplateSpec 5", "successfulJobsHistoryLimit": "int32 6",
        "failedJobsHistoryLimit": "int32 7", "timeZone": "string 8",
    },
    "batch_v1.JobTemplateSpec": {"metadata": "meta_v1.ObjectMeta 1", "spec": "batch_v1.JobSpec 2"},
    "batch_v1.CronJobStatus": {
        "active": "[]core_v1.ObjectReference 1 list=atomic",
        "lastScheduleTime": "time 4", "lastSuccessfulTime": "time 5",
    },
    "discovery_v1.EndpointSlice": {
        "metadata": "meta_v1.ObjectMeta 1", "endpoints": "[]discovery_v1.Endpoint 2 list=atomic",
        "ports": "[]discovery_v1.EndpointPort 3 list=atomic", "addressType": "string 4",
    },
    "discovery_v1.Endpoint": {
        "addresses": "[]string 1 list=set", "conditions": "discovery_v1.EndpointConditions 2", "hostname": "string 3",
        "targetRef": "core_v1.ObjectReference 4", "deprecatedTopology": "{}string 5", "nodeName": "string 6",
        "zone": "string 7", "hints": "discovery_v1.EndpointHints 8",
    },
    "discovery_v1.EndpointConditions": {"ready": "bool 1", "serving": "bool 2", "terminating": "bool 3"},
    "discovery_v1.EndpointHints": {
        "forZones": "[]discovery_v1.ForZone 1 list=atomic", "forNodes": "[]discovery_v1.ForNode 2 list=atomic",
    },
    "discovery_v1.ForZone": {"name": "string 1"},
    "discovery_v1.ForNode": {"name": "string 1"},
    "discovery_v1.EndpointPort": {
        "name": "string 1", "protocol": "string 2", "port": "int32 3", "appProtocol": "string 4",
    },
    "policy_v1.Eviction": {"metadata": "meta_v1.ObjectMeta 1", "deleteOptions": "meta_v1.DeleteOptions 2"},
    "rbac_v1.Role": {"metadata": "meta_v1.ObjectMeta 1", "rules": "[]rbac_v1.PolicyRule 2 list=atomic"},
    "rbac_v1.PolicyRule": {
        "verbs": "[]string 1 list=atomic", "apiGroups": "[]string 2 list=atomic", "resources": "[]string 3 list=atomic",
        "resourceNames": "[]string 4 list=atomic", "nonResourceURLs": "[]string 5 list=atomic",
    },
    "rbac_v1.RoleBinding": {
        "metadata": "meta_v1.ObjectMeta 1", "subjects": "[]rbac_v1.Subject 2 list=atomic",
        "roleRef": "rbac_v1.RoleRef 3",
    },
    "rbac_v1.Subject": {"kind": "string 1", "apiGroup": "string 2", "name": "string 3", "namespace": "string 4"},
    "rbac_v1.RoleRef": {"apiGroup": "string 1", "kind": "string 2", "name": "string 3"},
    "rbac_v1.ClusterRole": {
        "metadata": "meta_v1.ObjectMeta 1", "rules": "[]rbac_v1.PolicyRule 2 list=atomic",
        "aggregationRule": "rbac_v1.AggregationRule 3",
    },
    "rbac_v1.AggregationRule": {"clusterRoleSelectors": "[]meta_v1.LabelSelector 1 list=atomic"},
    "rbac_v1.ClusterRoleBinding": {
        "metadata": "meta_v1.ObjectMeta 1", "subjects": "[]rbac_v1.Subject 2 list=atomic",
        "roleRef": "rbac_v1.RoleRef 3",
    },
    "storage_v1.StorageClass": {
        "metadata": "meta_v1.ObjectMeta 1", "provisioner": "string 2", "parameters": "{}string 3",
        "reclaimPolicy": "string 4", "mountOptions": "[]string 5 list=atomic", "allowVolumeExpansion": "bool 6",
        "volumeBindingMode": "string 7", "allowedTopologies": "[]core_v1.TopologySelectorTerm 8 list=atomic",
    },
    "authorization_v1.LocalSubjectAccessReview": {
        "metadata": "meta_v1.ObjectMeta 1", "spec": "authorization_v1.SubjectAccessReviewSpec 2",
        "status": "authorization_v1.SubjectAccessReviewStatus 3",
    },
    "batch_v1.Job": {
        "metadata": "meta_v1.ObjectMeta 1", "spec": "batch_v1.JobSpec 2", "status": "batch_v1.JobStatus 3",
    },
    "batch_v1.JobSpec": {
        "parallelism": "int32 1", "completions": "int32 2", "activeDeadlineSeconds": "int64 3",
        "selector": "meta_v1.LabelSelector 4", "manualSelector": "bool 5", "template": "core_v1.PodTemplateSpec 6",
        "backoffLimit": "int32 7", "ttlSecondsAfterFinished": "int32 8", "completionMode": "string 9",
        "suspend": "bool 10", "podFailurePolicy": "batch_v1.PodFailurePolicy 11", "backoffLimitPerIndex": "int32 12",
        "maxFailedIndexes": "int32 13", "podReplacementPolicy": "string 14", "managedBy": "string 15",
        "successPolicy": "batch_v1.SuccessPolicy 16",
    },
    "batch_v1.JobStatus": {
        "conditions": "[]batch_v1.JobCondition 1 patch=type list=atomic", "startTime": "time 2",
        "completionTime": "time 3", "active": "int32 4", "succeeded": "int32 5", "failed": "int32 6",
        "completedIndexes": "string 7", "uncountedTerminatedPods": "batch_v1.UncountedTerminatedPods 8",
        "ready": "int32 9", "failedIndexes": "string 10", "terminating": "int32 11",
    },
    "batch_v1.JobCondition": {
        "type": "string 1", "status": "string 2", "lastProbeTime": "time 3", "lastTransitionTime": "time 4",
        "reason": "string 5", "message": "string 6",
    },
    "batch_v1.PodFailurePolicy": {"rules": "[]batch_v1.PodFailurePolicyRule 1 list=atomic"},
    "batch_v1.PodFailurePolicyRule": {
        "action": "string 1", "onExitCodes": "batch_v1.PodFailurePolicyOnExitCodesRequirement 2",
        "onPodConditions": "[]batch_v1.PodFailurePolicyOnPodConditionsPattern 3 list=atomic",
    },
    "batch_v1.PodFailurePolicyOnExitCodesRequirement": {
        "containerName": "string 1", "operator": "string 2", "values": "[]int32 3 list=set",
    },
    "batch_v1.PodFailurePolicyOnPodConditionsPattern": {"type": "string 1", "status": "string 2"},
    "batch_v1.SuccessPolicy": {"rules": "[]batch_v1.SuccessPolicyRule 1 list=atomic"},
    "batch_v1.SuccessPolicyRule": {"succeededIndexes": "string 1", "succeededCount": "int32 2"},
    "batch_v1.UncountedTerminatedPods": {"succeeded": "[]string 1 list=set", "failed": "[]string 2 list=set"},
    "coordination_v1.Lease": {"metadata": "meta_v1.ObjectMeta 1", "spec": "coordination_v1.LeaseSpec 2"},
    "coordination_v1.LeaseSpec": {
        "holderIdentity": "string 1", "leaseDurationSeconds": "int32 2", "acquireTime": "micro-time 3",
        "renewTime": "micro-time 4", "leaseTransitions": "int32 5", "strategy": "string 6",
        "preferredHolder": "string 7",
    },
    "scheduling_v1.PriorityClass": {
        "metadata": "meta_v1.ObjectMeta 1", "value": "int32 2", "globalDefault": "bool 3", "description": "string 4",
        "preemptionPolicy": "string 5",
    },
    "authentication_v1.SelfSubjectReview": {
        "metadata": "meta_v1.ObjectMeta 1", "status": "authentication_v1.SelfSubjectReviewStatus 2",
    },
    "authentication_v1.SelfSubjectReviewStatus": {"userInfo": "authentication_v1.UserInfo 1"},
    "authentication_v1.UserInfo": {"username": "string 1", "uid": "string 2", "groups": "[]string 3 list=atomic"},
    "authentication_v1.TokenRequest": {
        "metadata": "meta_v1.ObjectMeta 1", "spec": "authentication_v1.TokenRequestSpec 2",
        "status": "authentication_v1.TokenRequestStatus 3",
    },
    "authentication_v1.TokenRequestSpec": {
        "audiences": "[]string 1 list=atomic", "boundObjectRef": "authentication_v1.BoundObjectReference 3",
        "expirationSeconds": "int64 4",
    },
    "authentication_v1.BoundObjectReference": {
        "kind": "string 1", "apiVersion": "string 2", "name": "string 3", "uid": "string 4",
    },
    "authentication_v1.TokenRequestStatus": {"token": "string 1", "expirationTimestamp": "time 2"},
    "authentication_v1.TokenReview": {
        "metadata": "meta_v1.ObjectMeta 1", "spec": "authentication_v1.TokenReviewSpec 2",
        "status": "authentication_v1.TokenReviewStatus 3",
    },
    "authentication_v1.TokenReviewSpec": {"token": "string 1", "audiences": "[]string 2 list=atomic"},
    "authentication_v1.TokenReviewStatus": {
        "authenticated": "bool 1", "user": "authentication_v1.UserInfo 2", "error": "string 3",
        "audiences": "[]string 4 list=atomic",
    },
    "authorization_v1.SelfSubjectAccessReview": {
        "metadata": "meta_v1.ObjectMeta 1", "spec": "authorization_v1.SelfSubjectAccessReviewSpec 2",
        "status": "authorization_v1.SubjectAccessReviewStatus 3",
    },
    "authorization_v1.SelfSubjectAccessReviewSpec": {
        "resourceAttributes": "authorization_v1.ResourceAttributes 1",
        "nonResourceAttributes": "authorization_v1.NonResourceAttributes 2",
    },
    "authorization_v1.SubjectAccessReview": {
        "metadata": "meta_v1.ObjectMeta 1", "spec": "authorization_v1.SubjectAccessReviewSpec 2",
        "status": "authorization_v1.SubjectAccessReviewStatus 3",
    },
    "authorization_v1.SubjectAccessReviewSpec": {
        "resourceAttributes": "authorization_v1.ResourceAttributes 1",
        "nonResourceAttributes": "authorization_v1.NonResourceAttributes 2", "user": "string 3",
        "groups": "[]string 4 list=atomic", "uid": "string 6",
    },
    "authorization_v1.ResourceAttributes": {
        "namespace": "string 1", "verb": "string 2", "group": "string 3", "version": "string 4", "resource": "string 5",
        "subresource": "string 6", "name": "string 7", "fieldSelector": "authorization_v1.FieldSelectorAttributes 8",
        "labelSelector": "authorization_v1.LabelSelectorAttributes 9",
    },
    "authorization_v1.FieldSelectorAttributes": {
        "rawSelector": "string 1", "requirements": "[]meta_v1.FieldSelectorRequirement 2 list=atomic",
    },
    "authorization_v1.LabelSelectorAttributes": {
        "rawSelector": "string 1", "requirements": "[]meta_v1.LabelSelectorRequirement 2 list=atomic",
    },
    "authorization_v1.NonResourceAttributes": {"path": "string 1", "verb": "string 2"},
    "authorization_v1.SubjectAccessReviewStatus": {
        "allowed": "bool 1", "reason": "string 2", "evaluationError": "string 3", "denied": "bool 4",
    },
    "authorization_v1.SelfSubjectRulesReview": {
        "metadata": "meta_v1.ObjectMeta 1", "spec": "authorization_v1.SelfSubjectRulesReviewSpec 2",
        "status": "authorization_v1.SubjectRulesReviewStatus 3",
    },
    "authorization_v1.SelfSubjectRulesReviewSpec": {"namespace": "string 1"},
    "authorization_v1.SubjectRulesReviewStatus": {
        "resourceRules": "[]authorization_v1.ResourceRule 1 list=atomic",
        "nonResourceRules": "[]authorization_v1.NonResourceRule 2 list=atomic", "incomplete": "bool 3",
        "evaluationError": "string 4",
    },
    "authorization_v1.ResourceRule": {
        "verbs": "[]string 1 list=atomic", "apiGroups": "[]string 2 list=atomic", "resources": "[]string 3 list=atomic",
        "resourceNames": "[]string 4 list=atomic",
    },
    "authorization_v1.NonResourceRule": {
        "verbs": "[]string 1 list=atomic", "nonResourceURLs": "[]string 2 list=atomic",
    },
    "autoscaling_v1.Scale": {
        "metadata": "meta_v1.ObjectMeta 1", "spec": "autoscaling_v1.ScaleSpec 2",
        "status": "autoscaling_v1.ScaleStatus 3",
    },
    "autoscaling_v1.ScaleSpec": {"replicas": "int32 1"},
    "autoscaling_v1.ScaleStatus": {"replicas": "int32 1", "selector": "string 2"},
    "apiextensions_v1.CustomResourceDefinitionVersion": {
        "additionalPrinterColumns": "[]apiextensions_v1.CustomResourceColumnDefinition 0 list=atomic",
    },
    "apiextensions_v1.CustomResourceDefinitionStatus": {
        "conditions": "[]apiextensions_v1.CustomResourceDefinitionCondition 0 list=map:type",
    },
}  # fmt: skip


def main() -> None:
    """Write the table."""
    markers = descriptor_fields(Path(sys.argv[1])) if len(sys.argv) > 1 else known_fields()
    lines = (f"{json.dumps(name)}:{json.dumps(fields)}" for name, fields in sorted(definitions(markers).items()))
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def definitions(markers: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Give the definitions that are reached from ``ROOTS``, the models' fields joined with what ``markers`` adds."""
    models = dict(model_definitions())
    found: dict[str, dict[str, str]] = {}
    waiting = list(ROOTS)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        known = markers.get(name, {})
        found[name] = {f: _joined(model, known.get(f, "")) for f, model in models[name].items()}
        waiting += [t for t in (f.split()[0].lstrip("[]{}") for f in found[name].values()) if "." in t]
    return found


def _joined(model: str, known: str) -> str:
    """Join a model's field (type, required) with the more exact type, number and markers, where they are known."""
    kind, *required = model.split()
    if not known:
        return " ".join([kind, "0", *required])
    exact, *rest = known.split()
    return " ".join([kind if exact == "raw" else exact, rest[0], *required, *(r for r in rest[1:] if r != "!")])


def known_fields() -> dict[str, dict[str, str]]:
    """Give what the present table and ``HAND`` know."""
    present = json.loads(TARGET.read_text()) if TARGET.exists() else {}
    known = {n: {f: t for f, t in fields.items() if " 0" not in t} for n, fields in present.items()}
    return known | {name: dict(fields) for name, fields in HAND.items()}


def model_definitions() -> Iterator[tuple[str, dict[str, str]]]:
    """Give each model's fields as ``type [!]``, by ``module.Class``, from the source text of ``lightkube.models``."""
    spec = find_spec("lightkube")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("lightkube is not installed")
    for path in sorted((Path(spec.submodule_search_locations[0]) / "models").glob("*_v*.py")):
        tree = ast.parse(path.read_text())
        aliases = {
            target.id: ast.unparse(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                yield f"{path.stem}.{node.name}", dict(_model_fields(node, path.stem, aliases))


def _model_fields(node: ast.ClassDef, module: str, aliases: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for field in node.body:
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        renamed = re.search(r"'json': '([^']+)'", ast.unparse(field.value)) if field.value else None
        annotation = str(ast.literal_eval(field.annotation))
        required = " !" if field.value is None else ""
        yield renamed[1] if renamed else field.target.id, _model_type(annotation, module, aliases) + required


def _model_type(text: str, module: str, aliases: Mapping[str, str]) -> str:
    if match := re.fullmatch(r"Optional\[(.*)\]", text):
        return _model_type(match[1], module, aliases)
    if match := re.fullmatch(r"List\[(.*)\]", text):
        return "[]" + _model_type(match[1], module, aliases)
    qualified = text if "." in text else f"{module}.{text}"
    if qualified in SCALARS or text in SCALARS:
        return SCALARS.get(qualified) or SCALARS[text]
    return SCALARS[aliases[text]] if text in aliases else qualified


def descriptor_fields(root: Path) -> dict[str, dict[str, str]]:
    """Give the fields of each message in the wheel's descriptors as ``type number[.number] [markers]``."""
    package = types.ModuleType("armada_client")  # its own __init__ would want gRPC
    package.__path__ = [str(root / "armada_client")]
    sys.modules["armada_client"] = package
    fields: dict[str, dict[str, str]] = {}
    for module, path in (("core_v1", "api/core/v1"), ("meta_v1", "apimachinery/pkg/apis/meta/v1")):
        loaded = importlib.import_module(f"armada_client.k8s.io.{path.replace('/', '.')}.generated_pb2")
        markers = _markers(root / "armada_client/k8s/io" / path / "generated_pb2.pyi")
        models = dict(model_definitions())
        for name, message in loaded.DESCRIPTOR.message_types_by_name.items():
            own = models.get(f"{module}.{name}", {})
            fields[f"{module}.{name}"] = dict(_message_fields(message, own, markers, ""))
    return fields | {name: dict(text) for name, text in HAND.items()}


def _message_fields(
    message: Any, own: Mapping[str, str], markers: Mapping[str, str], prefix: str
) -> Iterator[tuple[str, str]]:
    """Give a message's fields; one that the JSON form does not have is embedded there, so its fields count."""
    for field in message.fields:
        if field.name in own:
            text = f"{_proto_type(field)} {prefix}{field.number} {markers.get(f'{message.name}.{field.name}', '')}"
            yield field.name, text.strip()
        elif field.message_type is not None:
            yield from _message_fields(field.message_type, own, markers, f"{prefix}{field.number}.")


def _proto_type(field: Any) -> str:
    message = field.message_type
    if message is None:
        text = PROTO_SCALARS[field.type]
    elif message.GetOptions().map_entry:
        return "{}" + _proto_type(message.fields_by_name["value"])
    else:
        module = "core_v1." if ".core." in message.full_name else "meta_v1."
        text = PROTO_MESSAGES.get(message.name) or module + message.name
    return ("[]" if field.is_repeated else "") + text


def _markers(stub: Path) -> dict[str, str]:
    """Give the list and patch markers that stand in the comments, by ``Message.field``."""
    found: dict[str, str] = {}
    for node in ast.parse(stub.read_text()).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for number, item in enumerate(node.body):
            if isinstance(item, ast.FunctionDef):
                name, comment = item.name, ast.get_docstring(item) or ""
            elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                after = node.body[number + 1] if number + 1 < len(node.body) else None
                name = item.target.id
                comment = ast.unparse(after.value) if isinstance(after, ast.Expr) else ""
            else:
                continue
            if text := _marker_text(comment.replace("\\n", "\n")):
                found[f"{node.name}.{name}"] = text
    return found


def _marker_text(comment: str) -> str:
    def values(name: str) -> list[str]:
        return re.findall(rf"^\s*\+{name}=(\S+)", comment, re.MULTILINE)

    parts = []
    if keys := values("patchMergeKey"):
        parts.append("patch=" + keys[0])
    elif "merge" in "".join(values("patchStrategy")):
        parts.append("patch=")
    if "retainKeys" in "".join(values("patchStrategy")):
        parts.append("retain-keys")
    if kinds := values("listType"):
        parts.append(f"list={kinds[0]}" + (":" + ",".join(values("listMapKey")) if kinds[0] == "map" else ""))
    if "atomic" in values("mapType") + values("structType"):
        parts.append("map=atomic")
    return " ".join(parts)


if __name__ == "__main__":
    main()
