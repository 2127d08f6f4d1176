"""Secrets, ConfigMaps, claims, empty directories and ephemeral volumes that a task asks for. Read ``draft`` first.

Source: kubeflow/pipelines ``backend/src/v2/driver/k8s.go``; reference "KFP", 2.10.
"""

from beamhall.pipelines.spec.platform import GenericEphemeralVolume, KubernetesConfig
from beamhall.pipelines.spec.sources import Json
from beamhall.pipelines.steps.platform.draft import Draft


def apply_volumes(config: KubernetesConfig, draft: Draft) -> None:
    """Add the volumes of a task. Those whose name is an optional input without a value are left out."""
    _mount_claims(config, draft)
    _mount_objects(config, draft)
    for empty in config.empty_dir_mounts:
        made = {"medium": empty.medium, "sizeLimit": empty.size_limit}
        source = {"emptyDir": {key: value for key, value in made.items() if value}}
        draft.mount(empty.volume_name, source, {"mountPath": empty.mount_path}, is_handed=False)
    if (shared := config.enabled_shared_memory) is not None:
        source = {"emptyDir": {"medium": "Memory", **({"sizeLimit": shared.size} if shared.size else {})}}
        draft.mount(shared.volume_name or "shm", source, {"mountPath": "/dev/shm"}, is_handed=False)  # noqa: S108
    for ephemeral in config.generic_ephemeral_volume:
        draft.mount(ephemeral.volume_name, _ephemeral(ephemeral), {"mountPath": ephemeral.mount_path}, is_handed=False)


def _mount_claims(config: KubernetesConfig, draft: Draft) -> None:
    for number, mount in enumerate(config.pvc_mount):
        where = f"pvcMount[{number}].pvcNameParameter"
        claim = draft.name(where, "PersistentVolumeClaim")
        if not claim:
            raise draft.bad(f"{where} names no PersistentVolumeClaim: it has no value")
        at = {"mountPath": mount.mount_path, **({"subPath": mount.sub_path} if mount.sub_path else {})}
        draft.mount(claim, {"persistentVolumeClaim": {"claimName": claim}}, at)


def _mount_objects(config: KubernetesConfig, draft: Draft) -> None:
    for number, secret in enumerate(config.secret_as_volume):
        name = draft.name(f"secretAsVolume[{number}].secretNameParameter", "Secret")
        if name:
            source = {"secret": {"secretName": name, "optional": secret.optional}}
            draft.mount(name, source, {"mountPath": secret.mount_path})
    for number, config_map in enumerate(config.config_map_as_volume):
        name = draft.name(f"configMapAsVolume[{number}].configMapNameParameter", "ConfigMap")
        if name:
            source = {"configMap": {"name": name, "optional": config_map.optional}}
            draft.mount(name, source, {"mountPath": config_map.mount_path})


def _ephemeral(asked: GenericEphemeralVolume) -> dict[str, Json]:
    spec: dict[str, Json] = {
        "accessModes": list(asked.access_modes),
        "resources": {"requests": {"storage": asked.size}},
    }
    if not asked.default_storage_class:
        spec["storageClassName"] = asked.storage_class_name
    template: dict[str, Json] = {"spec": spec}
    if asked.metadata is not None:
        made = {"labels": dict(asked.metadata.labels), "annotations": dict(asked.metadata.annotations)}
        template["metadata"] = {key: value for key, value in made.items() if value}
    return {"ephemeral": {"volumeClaimTemplate": template}}
