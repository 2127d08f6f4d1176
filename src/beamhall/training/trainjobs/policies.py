"""What a runtime's ML policy makes of a TrainJob: how many Pods, and how their processes find each other.

One function a policy, chosen by ``POLICIES``; MPI's has a file of its own. They change a template in place, which
``jobset`` has copied.

Source: reference "Trainer v2"; kubeflow/trainer v2.3, ``pkg/runtime/framework/plugins``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beamhall.kernel.objects import Object
from beamhall.kernel.quantities import whole
from beamhall.training.frameworks.loopback import choose_ports_on_loopback
from beamhall.training.trainjobs.containers import (
    container_of,
    open_port,
    own_index,
    pod_template_of,
    set_variables,
    value,
)
from beamhall.training.trainjobs.runtime import NODE, TRAINER, step_of

PORT = 29500
TUNE = ("tune", "run")
PET = ("PET_NNODES", "PET_NPROC_PER_NODE", "PET_NODE_RANK", "PET_MASTER_ADDR", "PET_MASTER_PORT")
DMLC = ("DMLC_TRACKER_URI", "DMLC_TRACKER_PORT", "DMLC_TASK_ID", "DMLC_NUM_WORKER")

_TUNE_FROM_RUNTIME = (
    "dataset", "dataset.data_dir", "dataset.source", "output_dir", "tokenizer.path", "tokenizer.merges_file",
    "checkpointer.checkpoint_dir",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Training:
    """A TrainJob's template in the making.

    Attributes:
        name: The TrainJob's name.
        trainer: Its ``spec.trainer``.
        runtime_name: The name of its runtime.
        subdomain: The Service that has the Pods' names.
        policy: The runtime's ML policy.
        replicated: The replicated Jobs; changed in place.
        runtime_command: The command of the container that trains, as the runtime has it.
        is_on_loopback: Whether Pods have addresses on the loopback network, as those of the embedded cluster do.
    """

    name: str
    trainer: Mapping[str, Any]
    runtime_name: str
    subdomain: str
    policy: Mapping[str, Any]
    replicated: list[Object]
    runtime_command: Sequence[str] = ()
    is_on_loopback: bool = False

    @property
    def n_nodes(self) -> int:
        """How many nodes train."""
        asked = self.trainer.get("numNodes")
        return int(asked if asked is not None else self.policy.get("numNodes") or 1)

    @property
    def step(self) -> Object | None:
        """The replicated Job that trains."""
        return next((job for job in self.replicated if step_of(job) == TRAINER), None)

    @property
    def node(self) -> Object | None:
        """The container that trains."""
        return container_of(self.step, NODE) if self.step is not None else None

    @property
    def resources(self) -> Mapping[str, Any]:
        """What each node has: the limits, and the requests for what has none."""
        written = self.trainer.get("resourcesPerNode") or (self.node or {}).get("resources") or {}
        return {**(written.get("requests") or {}), **(written.get("limits") or {})}

    @property
    def n_gpus(self) -> int:
        """How many accelerators each node has."""
        return sum(whole(amount) for name, amount in self.resources.items() if "gpu" in name.lower())

    def host(self, replicated: str, index: int) -> str:
        """Name the host of a Pod as its peers resolve it."""
        return f"{self.name}-{replicated}-0-{index}.{self.subdomain}"

    def find(self, name: str) -> Object | None:
        """Give a replicated Job."""
        return next((job for job in self.replicated if job.get("name") == name), None)


def apply_torch(training: Training) -> None:
    """Let ``torchrun`` find its peers by PET variables, or torchtune by its command line."""
    node = training.node
    if node is None:
        return
    processes = _torch_processes(training)
    nodes = [value(PET[0], _torch_nodes(training)), value(PET[1], processes), own_index(PET[2])]
    if _command(training) == TUNE:
        node["command"] = [*TUNE, *_tune_arguments(training, processes)]
    else:
        elastic = _elastic(training)
        nodes += elastic or [value(PET[3], training.host(NODE, 0)), value(PET[4], PORT)]
    set_variables(node, nodes)
    for container in _injected(training):
        set_variables(container, nodes)
    open_port(node, PORT)


def _command(training: Training) -> tuple[str, ...]:
    return tuple(training.trainer.get("command") or ())


def _torch_nodes(training: Training) -> str:
    policy = (training.policy.get("torch") or {}).get("elasticPolicy")
    if not policy:
        return str(training.n_nodes)
    return f"{policy.get('minNodes') or 1}:{policy.get('maxNodes') or training.n_nodes}"


def _elastic(training: Training) -> list[dict[str, Any]]:
    policy = (training.policy.get("torch") or {}).get("elasticPolicy")
    if not policy:
        return []
    restarts = policy.get("maxRestarts")
    variables = [
        value("PET_RDZV_BACKEND", "c10d"),
        value("PET_RDZV_ENDPOINT", f"{training.host(NODE, 0)}:{PORT}"),
        value("PET_RDZV_ID", training.name),
    ]
    return variables + ([] if restarts is None else [value("PET_MAX_RESTARTS", restarts)])


def _torch_processes(training: Training) -> str:
    """Give the number of processes of a node: as asked, or its accelerators, or its CPUs where these are stated."""
    asked = training.trainer.get("numProcPerNode")
    if asked is None:
        asked = (training.policy.get("torch") or {}).get("numProcPerNode")
    asked = "auto" if asked is None else str(asked)
    if asked not in ("auto", "cpu", "gpu"):
        return asked
    if asked != "cpu" and training.n_gpus:
        return str(training.n_gpus)
    if asked != "gpu" and "cpu" in training.resources:
        return str(max(1, whole(training.resources["cpu"])))
    return "1" if asked == "cpu" else asked


def _tune_arguments(training: Training, processes: str) -> list[str]:
    """Give what torchtune is told beyond ``tune run``: where to meet, the recipe, the model, the runtime's paths."""
    arguments = []
    is_alone = training.n_nodes == 1 and processes == "1"
    if not is_alone:
        arguments.append(f"--rdzv_endpoint={training.host(NODE, 0)}:{PORT}")
    recipe = "full_finetune_single_device" if is_alone else "full_finetune_distributed"
    suffix = "_full_single_device" if is_alone else "_full" if training.n_nodes == 1 else "_full_multinode"
    if any(argument.startswith("model.lora") for argument in training.trainer.get("args") or ()):
        recipe, suffix = recipe.replace("full", "lora", 1), suffix.replace("full", "lora", 1)
    arguments += [recipe, "--config", f"{_model(training.runtime_name)}{suffix}"]
    return arguments + [word for word in training.runtime_command if word.split("=")[0] in _TUNE_FROM_RUNTIME]


def _model(runtime: str) -> str:
    """Give torchtune's name of a model: ``llama3_2/1B`` for the runtime ``torchtune-llama3.2-1b``."""
    parts = runtime.split("-")
    return f"{parts[1].replace('.', '_')}/{parts[2].upper()}" if len(parts) == 3 else ""


def _injected(training: Training) -> Sequence[Object]:
    """Give the further containers that the runtime wants the variables in."""
    targets = ((training.policy.get("torch") or {}).get("envInjection") or {}).get("targets") or ()
    found = [
        container_of(job, name)
        for target in targets
        if (job := training.find(target.get("jobName") or "")) is not None
        for name in target.get("containerNames") or ()
    ]
    return [container for container in found if container is not None]


def apply_jax(training: Training) -> None:
    """Let ``jax.distributed.initialize()`` find its coordinator."""
    node = training.node
    if node is None:
        return
    variables = [
        value("JAX_NUM_PROCESSES", training.n_nodes),
        own_index("JAX_PROCESS_ID"),
        value("JAX_COORDINATOR_ADDRESS", f"{training.host(NODE, 0)}:{PORT}"),
    ]
    set_variables(node, variables)
    open_port(node, PORT)


def apply_xgboost(training: Training) -> None:
    """Let XGBoost's collective find its tracker, which runs in the first node."""
    node = training.node
    if node is None:
        return
    variables = [
        value(DMLC[0], training.host(NODE, 0)),
        value(DMLC[1], PORT),
        own_index(DMLC[2]),
        value(DMLC[3], training.n_nodes * max(1, training.n_gpus)),
    ]
    if training.is_on_loopback and training.step is not None:
        choose_ports_on_loopback(pod_template_of(training.step))
    set_variables(node, variables)
    open_port(node, PORT)


def reserved_problem(policy: Mapping[str, Any], variables: Sequence[Mapping[str, Any]]) -> str:
    """Say which variables of a TrainJob's trainer are set by its runtime's policy; empty: none."""
    names = [str(variable.get("name")) for variable in variables]
    if policy.get("torch") is not None and (taken := sorted({name for name in names if name in PET})):
        return f"must not have reserved envs, invalid envs configured: [{' '.join(taken)}]"
    if policy.get("xgboost") is not None and (taken := [name for name in names if name in DMLC]):
        return f"{taken[0]} is reserved for the XGBoost runtime"
    return ""


POLICIES: Mapping[str, Callable[[Training], None]] = {
    "torch": apply_torch,
    "jax": apply_jax,
    "xgboost": apply_xgboost,
}
"""By the field of ``mlPolicy``; without one of them the Pods are only counted."""
