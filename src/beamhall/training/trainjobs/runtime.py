"""A training runtime read from its object, and where a TrainJob says which one it wants.

Knows neither JobSets' controller nor policies. Read on in ``jobset``.

Source: reference "Trainer v2"; kubeflow/trainer v2.3, ``pkg/apis/trainer/v1alpha1``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from beamhall.kernel.kinds import CLUSTER_TRAINING_RUNTIME, TRAIN_JOB, TRAINING_RUNTIME, Kind
from beamhall.kernel.objects import ReadOnlyObject, labels_of

STEP_LABEL = "trainer.kubeflow.org/trainjob-ancestor-step"
FRAMEWORK_LABEL = "trainer.kubeflow.org/framework"
TRAINER = "trainer"
DATASET_INITIALIZER = "dataset-initializer"
MODEL_INITIALIZER = "model-initializer"
NODE = "node"
LAUNCHER = "launcher"

Look = Callable[[Kind, str, str], ReadOnlyObject | None]
"""Gives an object by kind, namespace and name, or None."""

_KINDS = {kind.kind: kind for kind in (CLUSTER_TRAINING_RUNTIME, TRAINING_RUNTIME)}


@dataclass(frozen=True, slots=True)
class Runtime:
    """A training runtime.

    Attributes:
        spec: Its spec, as written. Shared: do not change.
    """

    spec: Mapping[str, Any]

    @property
    def policy(self) -> Mapping[str, Any]:
        """Its ML policy."""
        return self.spec.get("mlPolicy") or {}

    @property
    def pod_group_policy(self) -> Mapping[str, Any]:
        """Its policy of starting Pods together."""
        return self.spec.get("podGroupPolicy") or {}

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata of its template."""
        return (self.spec.get("template") or {}).get("metadata") or {}

    @property
    def job_set(self) -> Mapping[str, Any]:
        """The spec of the JobSet, as written."""
        return (self.spec.get("template") or {}).get("spec") or {}


def read_runtime(obj: ReadOnlyObject) -> Runtime:
    """Read a runtime of either kind."""
    return Runtime(obj.get("spec") or {})


def runtime_kind(ref: Mapping[str, Any]) -> Kind | None:
    """Give the kind that a ``runtimeRef`` names, None if it is none of ours."""
    kind = _KINDS.get(ref.get("kind") or CLUSTER_TRAINING_RUNTIME.kind)
    return kind if (ref.get("apiGroup") or TRAIN_JOB.group) == TRAIN_JOB.group else None


def step_of(replicated: Mapping[str, Any]) -> str:
    """Give which step of a TrainJob a replicated Job of a template is; empty: none."""
    return labels_of(replicated.get("template") or {}).get(STEP_LABEL, "")
