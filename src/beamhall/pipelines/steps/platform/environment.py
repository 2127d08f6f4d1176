"""Environment variables that come from Secrets, ConfigMaps and fields of the Pod. Read ``draft`` first.

Source: kubeflow/pipelines ``backend/src/v2/driver/k8s.go``; reference "KFP", 2.10.
"""

from collections.abc import Sequence

from beamhall.pipelines.spec.platform import ConfigMapUse, KubernetesConfig, SecretUse
from beamhall.pipelines.spec.sources import Json
from beamhall.pipelines.steps.platform.draft import ENV, Draft


def apply_environment(config: KubernetesConfig, draft: Draft) -> None:
    """Add the variables of a task. Those of an object whose name has no value are left out."""
    for number, secret in enumerate(config.secret_as_env):
        name = draft.name(f"secretAsEnv[{number}].secretNameParameter", "Secret")
        draft.add(ENV, "env", _from_keys(secret, "secretKeyRef", name))
    for number, config_map in enumerate(config.config_map_as_env):
        name = draft.name(f"configMapAsEnv[{number}].configMapNameParameter", "ConfigMap")
        draft.add(ENV, "env", _from_keys(config_map, "configMapKeyRef", name))
    fields = [
        {"name": one.name, "valueFrom": {"fieldRef": {"fieldPath": one.field_path}}} for one in config.field_path_as_env
    ]
    draft.add(ENV, "env", fields)


def _from_keys(use: SecretUse | ConfigMapUse, kind: str, name: str) -> Sequence[Json]:
    if not name:
        return ()
    optional = {"optional": True} if use.optional else {}
    return [
        {"name": one.env_var, "valueFrom": {kind: {"name": name, "key": one.key, **optional}}} for one in use.key_to_env
    ]
