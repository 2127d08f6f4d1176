"""Who this process is, from TF_CONFIG. Pure: no TensorFlow here, so it can be tested in an instant."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

LEADS = ("chief", "master")
"""Replica types of a TFJob that lead the training where there is one; else worker 0 leads."""


@dataclass(frozen=True)
class Task:
    """One process of a training job.

    Attributes:
        type: ``chief``, ``master``, ``worker``, ``ps`` or ``evaluator``.
        index: Its number among those of its type.
        cluster: Addresses (host:port) of all processes: type, then index.
    """

    type: str = "worker"
    index: int = 0
    cluster: Mapping[str, Mapping[int, str]] = field(default_factory=dict)

    @property
    def is_alone(self) -> bool:
        """Tell whether there is nobody to train with."""
        return sum(len(addresses) for addresses in self.cluster.values()) <= 1

    @property
    def is_lead(self) -> bool:
        """Tell whether this process initialises, evaluates and saves: the chief, or worker 0 where there is none."""
        lead = next((t for t in LEADS if t in self.cluster), "worker")
        return self.type == lead and self.index == 0

    @property
    def name(self) -> str:
        """Give the name of this process in logs."""
        return f"{self.type} {self.index}"

    @property
    def trainers(self) -> Sequence[tuple[str, int]]:
        """Give type and index of every process that trains, in an order that all of them agree on."""
        return [(t, i) for t in (*LEADS, "worker") for i in sorted(self.cluster.get(t, {}))] or [
            (self.type, self.index)
        ]

    @property
    def slots(self) -> Sequence[int]:
        """Give the trainers' rows in the tables that they share: the chief's first, then the workers' by index."""
        n_leads = sum(len(self.cluster.get(t, {})) for t in LEADS)
        return [i + (n_leads if t == "worker" else 0) for t, i in self.trainers]

    @property
    def slot(self) -> int:
        """Give this process's own row."""
        return self.slots[self.trainers.index((self.type, self.index))]

    @property
    def run(self) -> str:
        """Give a name of this job's run that is the same in all its processes, and after a restart."""
        servers = json.dumps(self.cluster.get("ps", {}), sort_keys=True)
        return hashlib.sha256(servers.encode()).hexdigest()[:8]


def read_task(environ: Mapping[str, str]) -> Task:
    """Read TF_CONFIG; absent or empty means alone.

    Raises:
        ValueError: It is no TF_CONFIG, or its trainers have no parameter server.
    """
    text = environ.get("TF_CONFIG", "").strip()
    if not text:
        return Task()
    try:
        config = json.loads(text)
        # With enableDynamicWorker a TFJob writes {"1": address} in the place of a list.
        cluster = {
            type_: {int(i): str(a) for i, a in (found.items() if isinstance(found, dict) else enumerate(found))}
            for type_, found in config.get("cluster", {}).items()
        }
        task = Task(str(config["task"]["type"]), int(config["task"]["index"]), cluster)
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise ValueError(f"TF_CONFIG cannot be read ({e!r}): {text}") from e
    trains = task.type in (*LEADS, "worker")
    if trains and not task.is_alone and not cluster.get("ps"):
        raise ValueError("this program keeps its variables on parameter servers: add PS to the job's tfReplicaSpecs")
    return task


def share_of(n_rows: int, task: Task) -> range:
    """Give the rows of the training data that this process learns from: every n-th one, for n trainers."""
    n_trainers = len(task.trainers)
    return range(task.slot % n_trainers, n_rows, n_trainers)
