"""What is wrong with a TrainJob or a runtime beyond its schema: upstream's rules in CEL and its admission webhooks.

Rules that need the runtime ask for it by ``look``, which only the API server has.

Source: kubeflow/trainer v2.3, ``pkg/apis/trainer/v1alpha1`` (CEL), ``pkg/webhooks`` and the plugins' ``Validate``.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from beamhall.kernel.errors import Cause
from beamhall.kernel.names import MAX_LABEL
from beamhall.kernel.objects import ReadOnlyObject, labels_of, name_of, namespace_of
from beamhall.training.trainjobs.patches import patches_of
from beamhall.training.trainjobs.policies import TUNE, reserved_problem
from beamhall.training.trainjobs.runtime import (
    DATASET_INITIALIZER,
    LAUNCHER,
    MODEL_INITIALIZER,
    NODE,
    TRAINER,
    Look,
    Runtime,
    read_runtime,
    runtime_kind,
    step_of,
)

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_MANAGERS = ("trainer.kubeflow.org/trainjob-controller", "kueue.x-k8s.io/multikueue")
_IMMUTABLE = ("runtimeRef", "initializer", "trainer", "activeDeadlineSeconds", "managedBy")
_RESERVED = (DATASET_INITIALIZER, MODEL_INITIALIZER, NODE)
_PATCHES = "spec.runtimePatches"
_REF = "spec.runtimeRef"
_MODELS = ("llama3_2/1B", "llama3_2/3B", "llama3_2/7B", "llama3_3/70B", "qwen2_5/1.5B")
_POLICIES = ("torch", "mpi", "jax", "xgboost", "flux")


def _invalid(field: str, message: str) -> Cause:
    return Cause("FieldValueInvalid", message, field)


def validate_train_job(obj: ReadOnlyObject, old: ReadOnlyObject | None, look: Look) -> list[Cause]:
    """Say everything that is wrong with a TrainJob.

    Args:
        obj: The TrainJob as it shall be; it has its final name.
        old: As it is, for an update; None for a new one.
        look: Finds its runtime.
    """
    if old is not None:
        if obj.get("spec") == old.get("spec"):
            return []
        causes = [*_check_update(obj, old)]
    else:
        causes = [*_check_itself(obj)]
    return causes or [*_check_with_runtime(obj, look, is_new=old is None)]


def _check_itself(obj: ReadOnlyObject) -> Iterator[Cause]:
    name, spec = name_of(obj), obj.get("spec") or {}
    if not _NAME.fullmatch(name):
        yield _invalid("metadata.name", "metadata.name must match RFC 1035 DNS label format")
    if len(name) > MAX_LABEL:
        yield _invalid("metadata.name", f"metadata.name must be no more than {MAX_LABEL} characters")
    if spec.get("managedBy") not in (None, *_MANAGERS):
        yield _invalid("spec.managedBy", f"ManagedBy must be {' or '.join(_MANAGERS)} if set")


def _check_update(obj: ReadOnlyObject, old: ReadOnlyObject) -> Iterator[Cause]:
    new_spec, old_spec = obj.get("spec") or {}, old.get("spec") or {}
    for field in _IMMUTABLE:
        if new_spec.get(field) != old_spec.get(field):
            yield _invalid(f"spec.{field}", "field is immutable")
    is_open = new_spec.get("suspend") or old_spec.get("suspend")
    if new_spec.get("runtimePatches") != old_spec.get("runtimePatches") and not is_open:
        message = "RuntimePatches can only be modified when the TrainJob is suspended before or after the update"
        yield Cause("FieldValueForbidden", message, _PATCHES)


def _check_with_runtime(obj: ReadOnlyObject, look: Look, *, is_new: bool) -> Iterator[Cause]:
    spec: Mapping[str, Any] = obj.get("spec") or {}
    ref: Mapping[str, Any] = spec.get("runtimeRef") or {}
    kind = runtime_kind(ref)
    if kind is None:
        if is_new:
            named = f"{ref.get('kind')}.{ref.get('apiGroup')}"
            yield _invalid(_REF, f"unsupported runtime: {named}")
        return
    found = look(kind, namespace_of(obj) if kind.namespaced else "", str(ref.get("name") or ""))
    if found is None:
        if is_new:
            which = f"{kind.kind[0].lower()}{kind.kind[1:]}"
            missing = f'{kind.resource} "{ref.get("name")}" not found'
            yield _invalid(_REF, f"{missing}: specified {which} must be created before the TrainJob is created")
        return
    runtime = read_runtime(found)
    yield from _check_initializers(spec, runtime)
    yield from _check_patches(obj, runtime)
    yield from _check_trainer(spec, runtime)


def _containers(runtime: Runtime) -> dict[str, set[str]]:
    """Give the names of the containers of each replicated Job."""
    found: dict[str, set[str]] = {}
    for job in runtime.job_set.get("replicatedJobs") or ():
        pod = (((job.get("template") or {}).get("spec") or {}).get("template") or {}).get("spec") or {}
        containers = [*(pod.get("initContainers") or ()), *(pod.get("containers") or ())]
        found[str(job.get("name"))] = {str(container.get("name")) for container in containers}
    return found


def _check_initializers(spec: Mapping[str, Any], runtime: Runtime) -> Iterator[Cause]:
    initializer, containers = spec.get("initializer") or {}, _containers(runtime)
    for field, step in (("dataset", DATASET_INITIALIZER), ("model", MODEL_INITIALIZER)):
        if initializer.get(field) is None:
            continue
        if step not in containers:
            yield _invalid(_REF, f"must have {step} job when trainJob is configured with input {field}Config")
        elif step not in containers[step]:
            yield _invalid(_REF, f"must have container with name - {step} in the {step} job")


def _check_patches(obj: ReadOnlyObject, runtime: Runtime) -> Iterator[Cause]:
    containers = _containers(runtime)
    for _, jobs in patches_of(obj):
        for job in jobs:
            name = str(job.get("name"))
            if name not in containers:
                yield _invalid(_PATCHES, "must not have targetJob that doesn't exist in the runtime job template")
                continue
            template = ((job.get("template") or {}).get("spec") or {}).get("template") or {}
            yield from _check_patch(name, template.get("spec") or {}, containers[name])


def _check_patch(job: str, pod: Mapping[str, Any], known: set[str]) -> Iterator[Cause]:
    for field, noun in (("initContainers", "initContainer"), ("containers", "container")):
        for container in pod.get(field) or ():
            name = container.get("name")
            if name not in known:
                yield _invalid(_PATCHES, f"must not have {noun} that doesn't exist in the runtime job {job}")
            elif container.get("env") and name in _RESERVED:
                yield _invalid(_PATCHES, f"must not have envs for the {', '.join(_RESERVED)} containers")


def _check_trainer(spec: Mapping[str, Any], runtime: Runtime) -> Iterator[Cause]:
    trainer: Mapping[str, Any] = spec.get("trainer") or {}
    if problem := reserved_problem(runtime.policy, trainer.get("env") or ()):
        yield _invalid("spec.trainer.env", problem)
    mpi: Mapping[str, Any] = runtime.policy.get("mpi") or {}
    n_nodes = trainer.get("numNodes") or 1
    lacks_jobs = not {LAUNCHER, NODE} <= _containers(runtime).keys()
    if mpi.get("runLauncherAsNode") and n_nodes > 1 and lacks_jobs:
        message = (
            "must have 1 when MPI trainingRuntime with enabled runLauncherAsNode does not have either launcher and node"
        )
        yield _invalid("spec.trainer.numNodes", message)
    if runtime.policy.get("torch") is not None and tuple(trainer.get("command") or ()) == TUNE:
        parts = str((spec.get("runtimeRef") or {}).get("name")).split("-")
        model = f"{parts[1].replace('.', '_')}/{parts[2].upper()}" if len(parts) == 3 else ""
        if model not in _MODELS:
            message = f"must have a supported pretrained model, invalid model configured: {model}"
            yield _invalid(f"{_REF}.name", message)
        if n_nodes > 1 and model != "llama3_3/70B":
            yield _invalid("spec.trainer.numNodes", f"must be 1 for {model} model")


def validate_runtime(obj: ReadOnlyObject, old: ReadOnlyObject | None = None) -> list[Cause]:
    """Say everything that is wrong with a TrainingRuntime or ClusterTrainingRuntime."""
    return [*_check_policy(read_runtime(obj)), *_check_replicated(obj)]


def _check_policy(runtime: Runtime) -> Iterator[Cause]:
    policy = runtime.policy
    if len([field for field in _POLICIES if policy.get(field) is not None]) > 1:
        yield _invalid("spec.mlPolicy", "Only one of the policy can be configured")
    torch: Mapping[str, Any] = policy.get("torch") or {}
    if torch.get("elasticPolicy") and policy.get("numNodes") is not None:
        yield _invalid("spec.mlPolicy", "numNodes should not be set if torch.elasticPolicy is configured")
    processes = torch.get("numProcPerNode")
    if processes is not None and processes not in ("auto", "cpu", "gpu") and not str(processes).isdecimal():
        message = "NumProcPerNode must be equal to auto, cpu, gpu, or int value"
        yield _invalid("spec.mlPolicy.torch.numProcPerNode", message)
    for target in (torch.get("envInjection") or {}).get("targets") or ():
        if target.get("jobName") not in _containers(runtime):
            message = f"must name a replicatedJob of the template, not {target.get('jobName')!r}"
            yield _invalid("spec.mlPolicy.torch.envInjection.targets", message)


def _check_replicated(obj: ReadOnlyObject) -> Iterator[Cause]:
    if labels_of(obj).get("trainer.kubeflow.org/webhook-validation") == "disabled":
        return
    runtime = read_runtime(obj)
    containers = _containers(runtime)
    for index, job in enumerate(runtime.job_set.get("replicatedJobs") or ()):
        field = f"spec.template.spec.replicatedJobs[{index}]"
        if job.get("replicas") not in (None, 1):
            yield _invalid(f"{field}.replicas", "always must be 1")
        wanted = {TRAINER: NODE, DATASET_INITIALIZER: DATASET_INITIALIZER, MODEL_INITIALIZER: MODEL_INITIALIZER}
        container = wanted.get(step_of(job))
        if container and container not in containers[str(job.get("name"))]:
            message = f"must have container with name - {container} in the {job.get('name')} job"
            yield _invalid(f"{field}.template.spec.template.spec.containers", message)
