"""What a task asks of Kubernetes, put into its Pod. Read on in ``volumes``, ``environment`` and ``placement``.

Source: kubeflow/pipelines ``backend/src/v2/driver/k8s.go``, ``extendPodSpecPatch``; reference "KFP", 2.10.
"""

from beamhall.kernel.objects import Object
from beamhall.pipelines.spec.placeholders import Context, fill_arguments, fill_text
from beamhall.pipelines.spec.platform import InitContainer, KubernetesConfig
from beamhall.pipelines.spec.sources import Json
from beamhall.pipelines.steps.platform.draft import Draft
from beamhall.pipelines.steps.platform.environment import apply_environment
from beamhall.pipelines.steps.platform.placement import apply_placement
from beamhall.pipelines.steps.platform.volumes import apply_volumes

_PULL_POLICIES = ("Always", "Never", "IfNotPresent")


def apply_platform(config: KubernetesConfig, draft: Draft, context: Context) -> None:
    """Put all that a task asks for into a draft.

    Args:
        config: What is asked for.
        draft: The Pod, with its container and that container's environment.
        context: What placeholders mean.

    Raises:
        BadStep: Something that is asked for cannot be.
    """
    apply_volumes(config, draft)
    apply_environment(config, draft)
    apply_placement(config, draft)
    _apply_image(config, draft)
    if config.active_deadline_seconds > 0:
        draft.spec["activeDeadlineSeconds"] = config.active_deadline_seconds
    if (asked := config.security_context) is not None:
        made = {
            "runAsUser": asked.run_as_user,
            "runAsGroup": asked.run_as_group,
            "runAsNonRoot": asked.run_as_non_root,
            "capabilities": {"drop": ["ALL"]},
        }
        draft.container["securityContext"] = {key: value for key, value in made.items() if value is not None}
    if config.init_containers:
        draft.spec["initContainers"] = [_init_container(one, context) for one in config.init_containers]
    if config.pod_metadata is not None:
        draft.labels |= config.pod_metadata.labels
        draft.annotations |= config.pod_metadata.annotations


def _apply_image(config: KubernetesConfig, draft: Draft) -> None:
    policy = config.image_pull_policy
    if policy:
        if policy not in _PULL_POLICIES:
            raise draft.bad(f"imagePullPolicy must be one of {', '.join(_PULL_POLICIES)}; is {policy!r}")
        draft.container["imagePullPolicy"] = policy
    names = [
        draft.name(f"imagePullSecret[{number}].secretNameParameter", "Secret")
        for number in range(len(config.image_pull_secret))
    ]
    if found := [{"name": name} for name in names if name]:
        draft.spec["imagePullSecrets"] = found


def _init_container(asked: InitContainer, context: Context) -> Object:
    made: dict[str, Json] = {
        "name": asked.name,
        "image": fill_text(asked.image, context),
        "command": fill_arguments(asked.command, context),
        "args": fill_arguments(asked.args, context),
        "env": [{"name": one.name, "value": fill_text(one.value, context)} for one in asked.env],
        "volumeMounts": [{"name": one.volume_name, "mountPath": one.mount_path} for one in asked.volume_mounts],
        "restartPolicy": asked.restart_policy,
    }
    if asked.resources is not None:
        parts = {"requests": dict(asked.resources.requests), "limits": dict(asked.resources.limits)}
        made["resources"] = {key: value for key, value in parts.items() if value}
    return {key: value for key, value in made.items() if value}
