"""Training jobs and what becomes of their Pods, by keyword arguments."""

from typing import Any

from beamhall.kernel.kinds import POD
from beamhall.kernel.objects import Key, Object, name_of
from beamhall.training.frameworks.tfjob import TFJob
from beamhall.training.job import Framework
from beamhall.training.planner import TrainingSettings, training_planner
from tests.planning import World

TF = TFJob()


def job_of(
    framework: Framework,
    replicas: dict[str, int],
    *,
    restart: str | None = None,
    template: dict[str, Any] | None = None,
    run_policy: dict[str, Any] | None = None,
    **spec: Any,
) -> Object:
    """Make a job ``ns/j`` of a framework with these replicas."""
    template = template or {"spec": {"containers": [{"name": framework.container, "image": "i"}]}}
    policy = {"restartPolicy": restart} if restart else {}
    return {
        "apiVersion": framework.kind.api_version,
        "kind": framework.kind.kind,
        "metadata": {"name": "j", "namespace": "ns", "uid": "job-uid"},
        "spec": {
            framework.replicas_field: {
                type_: {"replicas": n, "template": template, **policy} for type_, n in replicas.items()
            },
            **({"runPolicy": run_policy} if run_policy else {}),
            **spec,
        },
    }


def tf_job(replicas: dict[str, int] | None = None, **options: Any) -> Object:
    """Make a TFJob; one parameter server and two workers if no replicas are given."""
    return job_of(TF, replicas or {"PS": 1, "Worker": 2}, **options)


class Run:
    """A job in a world, and the kubelet's part; a TFJob unless another framework is given."""

    def __init__(self, job: Object, framework: Framework = TF, **settings: Any) -> None:
        self.framework = framework
        self.world = World((framework.kind, job))
        self.planner = training_planner(framework, TrainingSettings(**settings))
        self.settle()

    @staticmethod
    def of_nothing(framework: Framework, job: Object) -> str:
        """Give why a planner leaves a job alone."""
        plan = training_planner(framework, TrainingSettings()).plan(job, World((framework.kind, job)))
        assert not plan.actions
        return plan.why

    @property
    def job(self) -> Object:
        return self.world.objects[Key(self.framework.kind, "ns", "j")]

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

    def env(self, name: str) -> dict[str, str]:
        """The variables of a Pod's first container."""
        variables = self.pod(name)["spec"]["containers"][0].get("env") or []
        return {variable["name"]: variable.get("value", "(from a field)") for variable in variables}

    def settle(self) -> None:
        self.world.settle(self.planner.plan, self.framework.kind, "j")

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
            "containerStatuses": [
                {"name": pod["spec"]["containers"][0]["name"], "state": state, "restartCount": restarts}
            ],
        }
