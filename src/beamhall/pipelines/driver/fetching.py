"""The Pod of an importer that fetches its artifact into the run's workspace first: the launcher with nothing to launch.

Source: reference "KFP", 2.7; kubeflow/pipelines ``backend/src/v2/component/importer_launcher.go``.
"""

import json

from beamhall.kernel.objects import Object
from beamhall.pipelines.spec.placeholders import WORKSPACE_PATH
from beamhall.pipelines.steps.facts import RunFacts
from beamhall.pipelines.steps.pods import ATTEMPT_LABEL, CONTAINER, PATH_ANNOTATION, labels_of
from beamhall.pipelines.steps.transfers import TRANSFERS_ENV
from beamhall.pipelines.steps.values import Import, Step

_IMAGE = "python:3.11"
_VOLUME = "kfp-workspace"


def fetching_pod(step: Step, wanted: Import, facts: RunFacts, path: str, attempt: int) -> Object:
    """Give the Pod.

    Args:
        step: The importer's step.
        wanted: What it imports.
        facts: What is known of the run; it has a launcher and a workspace.
        path: The task.
        attempt: Which attempt.
    """
    transfers = json.dumps({"fetch": [[wanted.artifact.uri, wanted.workspace_path]], "store": []})
    spec: Object = {
        "restartPolicy": "Never",
        "containers": [
            {
                "name": CONTAINER,
                "image": _IMAGE,
                "command": [*facts.launcher, "--", "true"],
                "env": [{"name": TRANSFERS_ENV, "value": transfers}, *facts.launcher_env],
                "volumeMounts": [{"name": _VOLUME, "mountPath": WORKSPACE_PATH}],
            }
        ],
        "volumes": [{"name": _VOLUME, "persistentVolumeClaim": {"claimName": facts.workspace_claim}}],
    }
    if facts.service_account:
        spec["serviceAccountName"] = facts.service_account
    labels = {**labels_of(facts.run_id, path), ATTEMPT_LABEL: str(attempt)}
    metadata = {
        "name": step.name, "namespace": facts.namespace, "labels": labels, "annotations": {PATH_ANNOTATION: path},
    }  # fmt: skip
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
