"""TFJobs and what becomes of their Pods, by keyword arguments."""

from typing import Any

from beamhall.kernel.kinds import POD, TF_JOB
from beamhall.kernel.objects import Key, Object, name_of
from beamhall.training.frameworks.tfjob import TFJob
from beamhall.training.planner import TrainingSettings, training_planner
from tests.planning import World


def tf_job(
    replicas: dict[str, int] | None = None,
    *,
    restart: str | None = None,
    template: dict[str, Any] | None = None,
    run_policy: dict[str, Any] | None = None,
    **spec: Any,
) -> Object:
    """Make a TFJob ``ns/j`` with these replicas; one parameter server and two workers if none are given."""
    template = template or {"spec": {"containers": [{"name": "tensorflow", "image": "i"}]}}
    policy = {"restartPolicy": restart} if restart else {}
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "metadata": {"name": "j", "namespace": "ns", "uid": "job-uid"},
        "spec": {
            "tfReplicaSpecs": {
                type_: {"replicas": n, "template": template, **policy}
                for type_, n in (replicas or {"PS": 1, "Worker": 2}).items()
            },
            **({"runPolicy": run_policy} if run_policy else {}),
            **spec,
        },
    }


class Run:
    """A TFJob in a world, and the kubelet's part."""

    def __init__(self, job: Object, **settings: Any) -> None:
        self.world = World((TF_JOB, job))
        self.planner = training_planner(TFJob(), TrainingSettings(**settings))
        self.settle()

    @property
    def job(self) -> Object:
        return self.world.objects[Key(TF_JOB, "ns", "j")]

    @property
    def conditions(self) -> list[str]:
        """The conditions, in order, as ``Type=Status``."""
        return [f"{c['type']}={c['status']}" for c in self.job["status"]["conditions"]]

    @property
    def message(self) -> str:
        """The last condition's message."""
        return str(self.job["status"]["conditions"][-1]["message"])

    @property
    def pods(self) -> list[str]:
        return [name_of(pod) for pod in self.world.list(POD)]

    def counts(self, type_: str) -> dict[str, int]:
        """The counts of a replica type, as they stand in the status."""
        return {k: v for k, v in self.job["status"]["replicaStatuses"][type_].items() if k != "selector"}

    def pod(self, name: str) -> Object:
        return self.world.objects[Key(POD, "ns", name)]

    def settle(self) -> None:
        self.world.settle(self.planner.plan, TF_JOB, "j")

    def start(self, *names: str, restarts: int = 0) -> None:
        """Let Pods (all that are there, if none are named) run."""
        for name in names or self.pods:
            self._set(name, "Running", {"running": {}}, restarts)
        self.settle()

    def end(self, name: str, code: int) -> None:
        """Let a Pod's container exit for good."""
        self._set(name, "Failed" if code else "Succeeded", {"terminated": {"exitCode": code}})
        self.settle()

    def end_pods_being_deleted(self) -> None:
        self.world.finish_deletions()
        self.settle()

    def wait(self, seconds: float) -> None:
        self.world.advance(seconds)
        self.settle()

    def change(self, **spec: Any) -> None:
        self.job["spec"].update(spec)
        self.settle()

    def _set(self, name: str, phase: str, state: dict[str, Any], restarts: int = 0) -> None:
        pod = self.pod(name)
        pod["spec"]["nodeName"] = "n"
        now = self.world.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        pod["status"] = {
            "phase": phase,
            "startTime": pod.get("status", {}).get("startTime", now),
            "containerStatuses": [{"name": "tensorflow", "state": state, "restartCount": restarts}],
        }
