"""Short ways to write Pods and facts in tables."""

from datetime import UTC, datetime, timedelta

from beamhall.embedded.agent.facts import Attempt, ContainerFacts, Exit, PodFacts
from beamhall.embedded.agent.lifecycle import Pace
from beamhall.embedded.agent.settings import BackOff
from beamhall.kernel.clock import format_time

T0 = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
PACE = Pace(BackOff(10, 300, 600), 2.0)


def at(seconds):
    return T0 + timedelta(seconds=seconds)


def pod(policy="Always", containers=("main",), inits=(), deleted_at=None, grace=30, phase="", **spec):
    """A Pod; a name of an init container that ends in ``*`` is a sidecar."""
    meta = {"name": "p", "namespace": "ns", "uid": "u"}
    if deleted_at is not None:
        meta |= {"deletionTimestamp": format_time(at(deleted_at)), "deletionGracePeriodSeconds": grace}
    init = [{"name": n.rstrip("*")} | ({"restartPolicy": "Always"} if n.endswith("*") else {}) for n in inits]
    body = {"restartPolicy": policy, "containers": [{"name": n, "image": "i"} for n in containers]} | spec
    return {
        "metadata": meta,
        "spec": body | ({"initContainers": init} if init else {}),
        "status": {"phase": phase} if phase else {},
    }


def ran(*codes, first=0, each=1.0, gap=0.0):
    """Runs of a container that ended with these codes; None: it runs."""
    attempts = []
    start = first
    for number, code in enumerate(codes):
        end = None if code is None else Exit(code, at(start + each))
        attempts.append(Attempt(number, at(start), end))
        start += each + gap
    return tuple(attempts)


def container(*codes, preparation="ready", quick=None, trouble=None, **when):
    attempts = ran(*codes, **when)
    ended = [a for a in attempts if a.exit]
    return ContainerFacts(
        attempts=attempts,
        quick_ends=len(ended) if quick is None else quick,
        preparation=preparation,
        trouble=trouble,
    )


def facts(volumes_ready=True, started_at=0, **fields):
    containers = {k: v for k, v in fields.items() if isinstance(v, ContainerFacts)}
    others = {k: v for k, v in fields.items() if not isinstance(v, ContainerFacts)}
    return PodFacts(containers=containers, started_at=at(started_at), volumes_ready=volumes_ready, **others)
