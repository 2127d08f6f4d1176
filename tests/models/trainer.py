"""TrainJobs, JobSets and Jobs in a world, with every planner at work, and the parts of a kubelet and a collector."""

import itertools
from collections.abc import Mapping
from typing import Any

from beamhall.embedded.workloads.jobs import plan_job
from beamhall.kernel.clock import format_time
from beamhall.kernel.kinds import (
    CONFIG_MAP,
    JOB,
    JOB_SET,
    POD,
    POD_GROUP,
    SERVICE,
    TRAIN_JOB,
    Kind,
)
from beamhall.kernel.objects import Key, Object, controller_of, is_being_deleted, name_of, uid_of
from beamhall.kernel.plan import Emit
from beamhall.kernel.schema import Schema
from beamhall.training.gangs import Gang
from beamhall.training.jobsets.definition import job_set_definition
from beamhall.training.jobsets.planner import plan_job_set
from beamhall.training.trainjobs.mpi import ACCESS_KINDS
from beamhall.training.trainjobs.planner import TrainJobSettings, train_job_planner
from tests.planning import World, said

_CHILDREN = (JOB_SET, JOB, POD, SERVICE, CONFIG_MAP, POD_GROUP, *ACCESS_KINDS)
_SCHEMA = Schema(job_set_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
_ROUNDS = 40


def defaulted(job_set: Mapping[str, Any]) -> Object:
    """Give a JobSet as the API server stores it."""
    stored = dict(job_set)
    _SCHEMA.default(stored)
    return stored


def job_template(parallelism: int = 1, step: str = "", **container: Any) -> Object:
    """Make the template of a Job whose Pods have one container, ``node`` if no other name is given."""
    pod = {"containers": [{"name": "node", "image": "i"} | container]}
    template: Object = {"spec": {"parallelism": parallelism, "completions": parallelism, "template": {"spec": pod}}}
    if step:
        template["metadata"] = {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": step}}
    return template


def job_set(*replicated: Mapping[str, Any], name: str = "s", **spec: Any) -> Object:
    """Make a JobSet ``ns/s`` of these replicated Jobs; one called ``a`` if none are given."""
    jobs = [{"template": job_template(), **job} for job in replicated or ({"name": "a"},)]
    made = {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {"replicatedJobs": jobs, **spec},
    }
    return defaulted(made)


def runtime(*replicated: Mapping[str, Any], policy: Mapping[str, Any] | None = None, **spec: Any) -> Object:
    """Make a ClusterTrainingRuntime ``r``; of one job ``node`` that trains if no others are given."""
    jobs = list(replicated or ({"name": "node", "template": job_template(step="trainer")},))
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "ClusterTrainingRuntime",
        "metadata": {"name": "r", "labels": {"trainer.kubeflow.org/framework": "torch"}},
        "spec": {"mlPolicy": dict(policy or {}), "template": {"spec": {"replicatedJobs": jobs}}, **spec},
    }


def train_job(*, trainer: Mapping[str, Any] | None = None, name: str = "t", **spec: Any) -> Object:
    """Make a TrainJob ``ns/t`` over the runtime ``r``."""
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {"runtimeRef": {"name": "r"}, **({"trainer": dict(trainer)} if trainer else {}), **spec},
    }


class Trainer:
    """A world of TrainJobs and JobSets."""

    def __init__(self, *objects: tuple[Kind, Object], gang: Gang = "") -> None:
        self.world = World(*objects)
        train = train_job_planner(TrainJobSettings(gang)).plan
        self._planners = ((TRAIN_JOB, train), (JOB_SET, plan_job_set), (JOB, plan_job))
        self.settle()

    def settle(self) -> None:
        """Let all controllers work until none of them writes."""
        for _ in range(_ROUNDS):
            if not sum([self._plan_all(kind, plan) for kind, plan in self._planners]) + self._collect():
                return
        raise AssertionError("the controllers do not settle")

    def plan_from(self, stale: World) -> None:
        """Carry out what the controllers decide on an old picture of the world."""
        for kind, plan in self._planners:
            for obj in stale.list(kind):
                self.world.carry_out(plan(obj, stale))

    def _plan_all(self, kind: Kind, plan: Any) -> int:
        writes = 0
        for obj in self.world.list(kind):
            if key_is_there(self.world, kind, obj):
                decided = plan(obj, self.world)
                self.world.carry_out(decided)
                writes += sum(not isinstance(action, Emit) for action in decided.actions)
        for stored in self.world.list(JOB_SET):
            _SCHEMA.default(stored)
        return writes

    def _collect(self) -> int:
        """Remove what belongs to an owner that is gone."""
        uids = {uid_of(obj) for obj in self.world.objects.values()}
        orphans = [
            key
            for key, obj in self.world.objects.items()
            if key.kind in _CHILDREN and (owner := controller_of(obj)) and owner["uid"] not in uids
        ]
        for key in orphans:
            del self.world.objects[key]
        return len(orphans)

    def names(self, kind: Kind) -> list[str]:
        return [name_of(obj) for obj in self.world.list(kind)]

    def get(self, kind: Kind, name: str = "t") -> Object:
        return self.world.objects[Key(kind, "ns" if kind.namespaced else "", name)]

    def conditions(self, kind: Kind = TRAIN_JOB, name: str = "t") -> list[str]:
        """The conditions, in order, as ``Type=Status Reason``."""
        conditions = self.get(kind, name).get("status", {}).get("conditions", [])
        return [f"{c['type']}={c['status']} {c['reason']}" for c in conditions]

    def said(self, kind: Kind) -> list[tuple[str, str]]:
        """Reason and message of the events about a kind."""
        return said(event for event in self.world.events if event.kind == kind)

    def pods(self, job: str = "") -> list[str]:
        """The names of the Pods (of one Job) that have not ended."""
        return [
            name_of(pod)
            for pod in self.world.list(POD)
            if phase(pod) in ("Pending", "Running") and name_of(pod).startswith(job)
        ]

    def start(self, job: str = "") -> None:
        """Let the Pods (of one Job) run and become ready."""
        for name in self.pods(job):
            ready = [{"type": "Ready", "status": "True"}]
            self._set(name, {"phase": "Running", "conditions": ready})
        self.wait(1)  # by then a Job tells of it

    def end(self, job: str = "", *, failed: bool = False) -> None:
        """Let the Pods (of one Job) end, for good."""
        for name in self.pods(job):
            ended = {"exitCode": int(failed), "finishedAt": format_time(self.world.now)}
            statuses = [{"name": "node", "state": {"terminated": ended}}]
            self._set(name, {"phase": "Failed" if failed else "Succeeded", "containerStatuses": statuses})
        self.settle()

    def fail_job(self, name: str, reason: str = "BackoffLimitExceeded", message: str = "too often") -> None:
        """Let a Job have failed, whatever its Pods did."""
        since = format_time(self.world.now)
        failed = {"type": "Failed", "status": "True", "reason": reason, "message": message, "lastTransitionTime": since}
        self.get(JOB, name).setdefault("status", {})["conditions"] = [failed]
        self._touch(JOB, name)
        self.settle()

    def wait(self, seconds: float) -> None:
        self.world.advance(seconds)
        self.settle()

    def change(self, kind: Kind, name: str, **spec: Any) -> None:
        self.get(kind, name)["spec"].update(spec)
        self._touch(kind, name)
        self.settle()

    def _set(self, name: str, status: Mapping[str, Any]) -> None:
        pod = self.get(POD, name)
        pod["spec"]["nodeName"] = "n"
        pod["status"] = dict(status)
        self._touch(POD, name)

    def _touch(self, kind: Kind, name: str) -> None:
        self.get(kind, name)["metadata"]["resourceVersion"] = f"t{next(_TOUCHES)}"


_TOUCHES = itertools.count()


def phase(pod: Mapping[str, Any]) -> str:
    if is_being_deleted(pod):
        return "Terminating"
    return str((pod.get("status") or {}).get("phase") or "Pending")


def key_is_there(world: World, kind: Kind, obj: Object) -> bool:
    """Tell whether an object that was listed is still the one that is stored."""
    stored = world.get(kind, name_of(obj), obj["metadata"].get("namespace", ""))
    return stored is not None and uid_of(stored) == uid_of(obj)
