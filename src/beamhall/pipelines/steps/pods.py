"""The Pod of one attempt of a step. Read ``step`` first; what is asked for beyond the container is in ``platform``.

Command lines stay as users wrote them, placeholders apart: whoever runs the Pod knows those of the KFP SDK.

Source: reference "KFP", 2.7 and 2.8; kubeflow/pipelines ``backend/src/v2/driver/driver.go``, ``initPodSpecPatch``.
"""

from collections.abc import Mapping

from beamhall.kernel.identity import SERVICE_ACCOUNT_DIRECTORY
from beamhall.kernel.names import BRIEF_ANNOTATION
from beamhall.kernel.objects import Object
from beamhall.kernel.quantities import parse_quantity
from beamhall.pipelines.spec.executors import Container, Resources
from beamhall.pipelines.spec.placeholders import WORKSPACE_PATH, Context, fill_arguments, fill_text
from beamhall.pipelines.steps.facts import RunFacts
from beamhall.pipelines.steps.naming import digest_of
from beamhall.pipelines.steps.platform.draft import ENV, Draft

CONTAINER = "main"
"""Name of the container that is the step, as upstream calls it."""

RUN_LABEL = "pipeline/runid"
TASK_LABEL = "pipelines.beamhall.io/task"
ATTEMPT_LABEL = "pipelines.beamhall.io/attempt"
PATH_ANNOTATION = "pipelines.beamhall.io/path"
COMPONENT_LABEL = "pipelines.kubeflow.org/v2_component"

_OWN_ENV = (("KFP_POD_NAME", "metadata.name"), ("KFP_POD_UID", "metadata.uid"), ("NAMESPACE", "metadata.namespace"))
_TOKEN_ENV = {"name": "KF_PIPELINES_SA_TOKEN_PATH", "value": f"{SERVICE_ACCOUNT_DIRECTORY}/token"}
"""Where ``kfp.Client()`` looks for its token; users may name another."""
_GPUS = {"nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu"}


def labels_of(run_id: str, path: str) -> dict[str, str]:
    """Give the labels by which everything of a task of a run is found."""
    return {RUN_LABEL: run_id, TASK_LABEL: digest_of(run_id, path)}


def begin_container(container: Container, draft: Draft, context: Context) -> None:
    """Put image, environment and resources of a container into a draft.

    Raises:
        BadStep: A quantity is none.
    """
    image = fill_text(container.image, context)
    if not image:
        raise draft.bad(f"the image {container.image!r} has no value")
    draft.container |= {"name": CONTAINER, "image": image}
    draft.container["env"] = [_TOKEN_ENV]
    if container.env:
        draft.add(ENV, "env", [{"name": one.name, "value": fill_text(one.value, context)} for one in container.env])
    draft.container["env"].extend(
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": field}}} for name, field in _OWN_ENV
    )
    if container.resources is not None and (resources := _resources(container.resources, draft, context)):
        draft.put_resources(resources)


def _resources(asked: Resources, draft: Draft, context: Context) -> Object:
    found: dict[str, dict[str, str]] = {
        key: {name: text for name, raw in amounts.items() if (text := fill_text(raw, context).strip())}
        for key, amounts in (("limits", asked.limits), ("requests", asked.requests))
    }
    kind, count = (fill_text(text, context).strip() for text in asked.accelerators)
    if kind and count not in ("", "0"):
        found["limits"][kind if "/" in kind else _GPUS.get(kind.lower()[:6].strip("_-"), kind)] = count
    for key, amounts in found.items():
        for name, text in amounts.items():
            _check_quantity(f"resources.{key}[{name}]", text, draft)
    return {key: amounts for key, amounts in found.items() if amounts}


def _check_quantity(where: str, text: str, draft: Draft) -> None:
    try:
        parse_quantity(text)
    except ValueError:
        raise draft.bad(f"{where} is {text!r}, which is no quantity such as '500m', '2' or '1Gi'") from None


def finish_container(container: Container, draft: Draft, context: Context, launcher: tuple[str, ...]) -> None:
    """Put the command line of a container into a draft, after the launcher if it needs one.

    Raises:
        BadStep: The launcher is needed, and there is no command that it could start.
    """
    command, args = fill_arguments(container.command, context), fill_arguments(container.args, context)
    if launcher:
        if not command:
            raise draft.bad("its files are not on this machine, and so its container must have a command")
        command = [*launcher, "--", *command]
    draft.container |= {key: value for key, value in (("command", command), ("args", args)) if value}


def add_workspace(claim: str, draft: Draft) -> None:
    """Mount the workspace of the run."""
    source = {"persistentVolumeClaim": {"claimName": claim}}
    draft.mount("kfp-workspace", source, {"mountPath": WORKSPACE_PATH}, is_handed=False)


def pod_of(draft: Draft, facts: RunFacts, path: str, name: str, attempt: int) -> Object:
    """Give the Pod of a draft that is finished; what users call it does not replace what it is found by."""
    own: Mapping[str, str] = {**labels_of(facts.run_id, path), ATTEMPT_LABEL: str(attempt), COMPONENT_LABEL: "true"}
    spec: Object = {"restartPolicy": "Never", "containers": [draft.container], **draft.spec}
    if facts.service_account:
        spec["serviceAccountName"] = facts.service_account
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": facts.namespace,
            "labels": {**draft.labels, **own},
            "annotations": {**draft.annotations, PATH_ANNOTATION: path, BRIEF_ANNOTATION: "true"},
        },
        "spec": spec,
    }
