"""What to do next for a Pod: a pure function of its object, what is on this machine, and the time.

``decide`` is asked again after every change, so it never remembers anything, and a step that was carried out shows in
the facts. It must not know how steps are carried out (``pods``) or how a Pod is reported (``status``).

Source: Kubernetes "Pod Lifecycle" and "Init Containers"; KEP-753 for sidecars.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from beamhall.embedded.agent.facts import (
    ContainerFacts,
    Ending,
    PodFacts,
    Trouble,
    containers,
    has_ended,
    init_containers,
    is_sidecar,
    spec_of,
)
from beamhall.embedded.agent.settings import BackOff
from beamhall.kernel.clock import parse_time
from beamhall.kernel.objects import ReadOnlyObject, is_being_deleted, metadata_of

Container = Mapping[str, Any]
Standing = Literal["new", "running", "restarting", "succeeded", "failed"]
"""Where a container stands; the last two are final under its restart policy."""


@dataclass(frozen=True, slots=True)
class PrepareVolumes:
    """Make the Pod's volumes stand."""


@dataclass(frozen=True, slots=True)
class PrepareImage:
    """Begin to make the environment that stands for a container's image."""

    container: str


@dataclass(frozen=True, slots=True)
class Start:
    """Start a run of a container."""

    container: str
    attempt: int


@dataclass(frozen=True, slots=True)
class BeginEnd:
    """Note for good that the Pod is to end, before anything is done about it: a restart must not undo it."""

    ending: Ending


@dataclass(frozen=True, slots=True)
class Terminate:
    """Send SIGTERM to a container, and at ``kill_at`` SIGKILL to all its processes; given again to hasten it."""

    container: str
    kill_at: datetime


@dataclass(frozen=True, slots=True)
class Delete:
    """Nothing runs any more: drop the object of a Pod whose deletion was asked for."""


@dataclass(frozen=True, slots=True)
class CleanUp:
    """The object is gone and nothing runs: remove the Pod's directory and forget it."""


Step = PrepareVolumes | PrepareImage | Start | BeginEnd | Terminate | Delete | CleanUp


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, and when to look again even if nothing changes."""

    steps: tuple[Step, ...] = ()
    wake_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """The times that decisions depend on.

    Attributes:
        restart: The back-off between restarts.
        minimum_grace_s: Grace for the processes of a Pod whose object is gone.
    """

    restart: BackOff
    minimum_grace_s: float = 2.0


def decide(pod: ReadOnlyObject, facts: PodFacts, now: datetime, pace: Pace) -> Decision:
    """Decide what is to be done for a Pod, given its object as last seen, what is on this machine, and the time."""
    ending = ending_of(pod, facts, now, pace)
    if ending is not None:
        return _end(pod, facts, ending)
    if has_ended(pod) or outcome(pod, facts) is not None:
        return Decision(_terminations(facts, sorted(facts.running()), _leftovers_end(pod, facts)))
    decision = _advance(pod, facts, now, pace.restart)
    return Decision(decision.steps, _earliest(decision.wake_at, _deadline(pod, facts)))


def ending_of(pod: ReadOnlyObject, facts: PodFacts, now: datetime, pace: Pace) -> Ending | None:
    """Tell whether the Pod is to end from outside: object gone, deleted, past its deadline, or as decided before."""
    before = facts.ending
    if facts.gone_at is not None:
        return Ending(facts.gone_at + timedelta(seconds=pace.minimum_grace_s))
    if is_being_deleted(pod):
        kill_at = _deletion_deadline(pod)
        return replace(before, kill_at=min(kill_at, before.kill_at)) if before is not None else Ending(kill_at)
    if before is not None:
        return before
    deadline = _deadline(pod, facts)
    if deadline is not None and deadline <= now and not has_ended(pod) and outcome(pod, facts) is None:
        message = "Pod was active on the node longer than the specified deadline"
        return Ending(now + timedelta(seconds=grace_period_s(pod)), "DeadlineExceeded", message)
    return None


def outcome(pod: ReadOnlyObject, facts: PodFacts) -> Literal["Succeeded", "Failed"] | None:
    """Tell how the Pod ended by itself, or None while it has something left to do."""
    for container in init_containers(pod):
        if not is_sidecar(container) and standing(pod, container, facts.of(container["name"])) == "failed":
            return "Failed"
    standings = [standing(pod, container, facts.of(container["name"])) for container in containers(pod)]
    if not all(s in ("succeeded", "failed") for s in standings):
        return None
    return "Succeeded" if all(s == "succeeded" for s in standings) else "Failed"


def standing(pod: ReadOnlyObject, container: Container, facts: ContainerFacts) -> Standing:
    """Tell where a container stands under its restart policy."""
    last = facts.last
    if last is None:
        return "new"
    if last.exit is None:
        return "running"
    policy = spec_of(pod).get("restartPolicy") or "Always"
    is_init = any(container["name"] == other["name"] for other in init_containers(pod))
    if is_init:
        policy = "Always" if is_sidecar(container) else ("OnFailure" if policy == "Always" else policy)
    if policy == "Always" or (policy == "OnFailure" and last.exit.code != 0):
        return "restarting"
    return "succeeded" if last.exit.code == 0 else "failed"


def restart_at(facts: ContainerFacts, restart: BackOff) -> datetime | None:
    """Tell when a container that ended may run again; None if it never ran or runs."""
    last = facts.last
    if last is None or last.exit is None:
        return None
    return last.exit.at + timedelta(seconds=restart.delay_s(facts.quick_ends - 1))


def count_quick_ends(attempts: Sequence[Any], restart: BackOff) -> int:
    """Count the runs at the end of a history that ended quickly, one after another."""
    count = 0
    for attempt in reversed(attempts):
        if not attempt.was_quick(restart.reset_s):
            break
        count += 1
    return count


def is_initialized(pod: ReadOnlyObject, facts: PodFacts) -> bool:
    """Tell whether every init container is done; a sidecar is done once it has been started."""
    return _first_unfinished(pod, facts) is None


def grace_period_s(pod: ReadOnlyObject) -> float:
    """Give the seconds between SIGTERM and SIGKILL that the Pod asks for."""
    asked = metadata_of(pod).get("deletionGracePeriodSeconds")
    if asked is None:
        asked = spec_of(pod).get("terminationGracePeriodSeconds")
    return 30.0 if asked is None else max(0.0, float(asked))


def _deadline(pod: ReadOnlyObject, facts: PodFacts) -> datetime | None:
    limit = spec_of(pod).get("activeDeadlineSeconds")
    if limit is None or facts.started_at is None or has_ended(pod):
        return None
    return facts.started_at + timedelta(seconds=float(limit))


def _deletion_deadline(pod: ReadOnlyObject) -> datetime:
    """Give when a deleted Pod's time is up. The wire cut it to whole seconds, so a second is given back."""
    moment = parse_time(str(metadata_of(pod)["deletionTimestamp"]))
    return moment + timedelta(seconds=1) if grace_period_s(pod) > 0 else moment


def _first_unfinished(pod: ReadOnlyObject, facts: PodFacts) -> Container | None:
    for container in init_containers(pod):
        known = facts.of(container["name"])
        if is_sidecar(container):
            if known.last is None:
                return container
        elif standing(pod, container, known) != "succeeded":
            return container
    return None


def _advance(pod: ReadOnlyObject, facts: PodFacts, now: datetime, restart: BackOff) -> Decision:
    """Go on with a Pod that is to run: volumes, init containers in order, then all containers together."""
    wanted = [c for c in init_containers(pod) if is_sidecar(c) and facts.of(c["name"]).last is not None]
    unfinished = _first_unfinished(pod, facts)
    wanted += [unfinished] if unfinished is not None else list(containers(pod))
    steps: list[Step] = []
    wake_at: datetime | None = None
    for container in wanted:
        name = container["name"]
        state = standing(pod, container, facts.of(name))
        if state not in ("new", "restarting"):
            continue
        due = _not_before(facts, name, restart)
        if due is not None and due > now:
            wake_at = _earliest(wake_at, due)
            continue
        steps.extend(_towards_start(facts, name))
    if PrepareVolumes() in steps:
        steps = [PrepareVolumes()]
    return Decision(tuple(steps), wake_at)


def _not_before(facts: PodFacts, name: str, restart: BackOff) -> datetime | None:
    """Give when the next step towards a run may be made; None: at any time."""
    known = facts.of(name)
    troubles: list[Trouble | None] = [known.trouble, None if facts.volumes_ready else facts.volumes_trouble]
    dues = [restart_at(known, restart), *(t.retry_at for t in troubles if t is not None)]
    return max((due for due in dues if due is not None), default=None)


def _towards_start(facts: PodFacts, name: str) -> Iterator[Step]:
    known = facts.of(name)
    if not facts.volumes_ready:
        yield PrepareVolumes()
    elif known.preparation == "ready":
        yield Start(name, known.last.number + 1 if known.last is not None else 0)
    elif known.preparation == "none":
        yield PrepareImage(name)


def _end(pod: ReadOnlyObject, facts: PodFacts, ending: Ending) -> Decision:
    """Bring a Pod to its end: SIGTERM, the grace period, SIGKILL; sidecars after the containers proper."""
    if ending.reason and facts.ending is None:
        return Decision((BeginEnd(ending),))
    running = _running_in_order(pod, facts)
    if running:
        return Decision(_terminations(facts, running, ending.kill_at))
    if facts.gone_at is not None:
        return Decision((CleanUp(),))
    is_asked = facts.is_deletion_asked or metadata_of(pod).get("deletionGracePeriodSeconds") == 0
    return Decision((Delete(),)) if is_being_deleted(pod) and not is_asked else Decision()


def _terminations(facts: PodFacts, names: Sequence[str], kill_at: datetime) -> tuple[Step, ...]:
    asked = facts.terminating
    return tuple(Terminate(name, kill_at) for name in names if name not in asked or asked[name] > kill_at)


def _leftovers_end(pod: ReadOnlyObject, facts: PodFacts) -> datetime:
    """Give when what still runs of a finished Pod is killed: a grace period after its last container ended."""
    ends = [known.last.exit.at for known in facts.containers.values() if known.last and known.last.exit]
    latest = max(ends, default=facts.started_at or datetime.min.replace(tzinfo=UTC))
    return latest + timedelta(seconds=grace_period_s(pod))


def _running_in_order(pod: ReadOnlyObject, facts: PodFacts) -> Sequence[str]:
    """Give whom to end next: the containers proper, and once none of them runs the sidecars, last one first."""
    running = set(facts.running())
    proper = [c["name"] for c in containers(pod) if c["name"] in running]
    if proper:
        return proper
    rest = [c["name"] for c in reversed(init_containers(pod)) if c["name"] in running]
    return rest or sorted(running)


def _earliest(first: datetime | None, second: datetime | None) -> datetime | None:
    return min((moment for moment in (first, second) if moment is not None), default=None)
