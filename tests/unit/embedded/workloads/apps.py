"""A namespace with the controllers of ``apps/v1`` at work, and the kubelet's part by hand."""

import copy
from typing import Any

from beamhall.embedded.workloads.deployments import plan_deployment
from beamhall.embedded.workloads.replica_sets import plan_replica_set
from beamhall.kernel.clock import format_time
from beamhall.kernel.kinds import DEPLOYMENT, POD, REPLICA_SET, Kind
from beamhall.kernel.objects import Object, is_being_deleted, name_of
from tests.planning import World, merge

LABELS = {"app": "a"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "v1"}]}}
PLANNERS = ((DEPLOYMENT, plan_deployment), (REPLICA_SET, plan_replica_set))


class Apps(World):
    """A world whose controllers run until nothing is left to do."""

    planners: Any = PLANNERS

    def add(self, kind: Kind, name: str, **spec: Any) -> Object:
        """Make an object ``ns/<name>``, with a selector and a template."""
        metadata = {"name": name, "namespace": "ns", "generation": 1}
        spec = copy.deepcopy({"selector": {"matchLabels": LABELS}, "template": TEMPLATE, **spec})
        return self.put(kind, {"metadata": metadata, "spec": spec})

    def edit(self, kind: Kind, name: str, **patch: Any) -> None:
        """Change an object's spec as a user does, by a merge patch."""
        obj = self.one(kind, name)
        obj["spec"] = merge(obj["spec"], patch)
        obj["metadata"]["generation"] += 1
        self.touch(obj)

    def touch(self, obj: Object) -> None:
        obj["metadata"]["resourceVersion"] = str(next(self._ids))

    def one(self, kind: Kind, name: str) -> Object:
        found = self.get(kind, name, "ns")
        assert found is not None
        return found

    def work(self, *, rounds: int = 60) -> None:
        """Let the controllers run until none has anything to do."""
        for _ in range(rounds):
            before = len(self.events), copy.deepcopy(self.objects)
            for kind, planner in self.planners:
                for obj in self.list(kind):
                    if self.get(kind, name_of(obj), "ns"):
                        self.run(planner, kind, name_of(obj))
            if before == (len(self.events), self.objects):
                return
        raise AssertionError("the controllers do not come to rest")

    def live(self) -> list[Object]:
        """Give the Pods that nobody deletes."""
        return [pod for pod in self.list(POD) if not is_being_deleted(pod)]

    def start(self, pod: Object, *, ready: bool = True) -> None:
        """Let a Pod run."""
        pod["spec"]["nodeName"] = "n"
        now = format_time(self.now)
        condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": now}
        pod["status"] = {"phase": "Running", "conditions": [condition]}
        self.touch(pod)

    def start_all(self) -> None:
        for pod in self.live():
            if (pod.get("status") or {}).get("phase") != "Running":
                self.start(pod)

    def turn(self, *, until: int = 40) -> None:
        """Let controllers and kubelet take turns until nothing happens any more."""
        for _ in range(until):
            before = copy.deepcopy(self.objects)
            self.work()
            self.start_all()
            self.finish_deletions()
            if before == self.objects:
                return
        raise AssertionError("it does not come to rest")

    def conditions(self, kind: Kind, name: str) -> dict[str, str]:
        """Give type to ``status reason``."""
        conditions = self.one(kind, name)["status"].get("conditions") or ()
        return {c["type"]: f"{c['status']} {c.get('reason', '')}" for c in conditions}
