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
class CallPreStop:
    """Call a container's preStop hook, which may take until ``until``; SIGTERM comes after it."""

    container: str
    until: datetime
    why: str = ""


@dataclass(frozen=True, slots=True)
class Terminate:
    """Send SIGTERM to a container, and at ``kill_at`` SIGKILL to all its processes; given again to hasten it.

    ``why`` is what the event says; empty: the Pod as a whole ends.
    """

    container: str
    kill_at: datetime
    why: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    """Nothing runs any more: drop the object of a Pod whose deletion was asked for."""


@dataclass(frozen=True, slots=True)
class CleanUp:
    """The object is gone and nothing runs: remove the Pod's directory and forget it."""


Step = PrepareVolumes | PrepareImage | Start | BeginEnd | CallPreStop | Terminate | Delete | CleanUp


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
        return _end(pod, facts, ending, now)
    if has_ended(pod) or outcome(pod, facts) is not None:
        turn = _running_in_order(pod, facts)
        return _bring_down(facts, facts.running(), turn, _leftovers_end(pod, facts), now)
    decision = _advance(pod, facts, now, pace.restart)
    unwell = tuple(_end_unwell(pod, facts, now))
    return Decision(decision.steps + unwell, _earliest(decision.wake_at, _deadline(pod, facts)))


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
    if policy == "Always" or (policy == "OnFailure" and (last.exit.code != 0 or last.was_unwell)):
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
    """Tell whether every init container is done; a sidecar is done once it has started, as its startup probe says."""
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
    if any(facts.of(container["name"]).last is not None for container in containers(pod)):
        return None  # they were all done once; a sidecar that has to start again holds up nobody
    for container in init_containers(pod):
        known = facts.of(container["name"])
        if is_sidecar(container):
            if known.last is None or not known.health.is_started:
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


def _end(pod: ReadOnlyObject, facts: PodFacts, ending: Ending, now: datetime) -> Decision:
    """Bring a Pod to its end: SIGTERM, the grace period, SIGKILL; sidecars after the containers proper."""
    if ending.reason and facts.ending is None:
        return Decision((BeginEnd(ending),))
    running = facts.running()
    if running:
        return _bring_down(facts, running, _running_in_order(pod, facts), ending.kill_at, now)
    if facts.gone_at is not None:
        return Decision((CleanUp(),))
    is_asked = facts.is_deletion_asked or metadata_of(pod).get("deletionGracePeriodSeconds") == 0
    return Decision((Delete(),)) if is_being_deleted(pod) and not is_asked else Decision()


def _end_unwell(pod: ReadOnlyObject, facts: PodFacts, now: datetime) -> Iterator[Step]:
    """End the containers whose probes or hooks failed; a restart is then a matter of the restart policy."""
    for name in facts.running():
        known = facts.of(name)
        failure = known.health.failure
        if failure is None:
            continue
        grace_s = grace_period_s(pod) if failure.grace_s is None else failure.grace_s
        hooked_until = known.pre_stop.until if known.pre_stop is not None else None
        kill_at = facts.terminating.get(name) or hooked_until or now + timedelta(seconds=grace_s)
        yield from _bring_down(facts, [name], [name], kill_at, now, _unwell_message(pod, name, failure.what)).steps


def _unwell_message(pod: ReadOnlyObject, name: str, what: str) -> str:
    is_kept = any(is_sidecar(c) and c["name"] == name for c in init_containers(pod))
    restarts = is_kept or spec_of(pod).get("restartPolicy") != "Never"
    return f"Container {name} {what}" + (", will be restarted" if restarts else "")


def _bring_down(
    facts: PodFacts, names: Sequence[str], turn: Sequence[str], kill_at: datetime, now: datetime, why: str = ""
) -> Decision:
    """End containers that run: all preStop hooks at once, and then SIGTERM to those whose turn it is.

    Args:
        facts: What is known.
        names: Who is to end.
        turn: Those of them who are not to wait for others.
        kill_at: When SIGKILL comes.
        now: The time.
        why: What the event says.
    """
    steps: list[Step] = []
    wake_at: datetime | None = None
    for name in names:
        hook, asked = facts.of(name).pre_stop, facts.terminating.get(name)
        is_called = hook is not None and not hook.is_over and facts.gone_at is None
        if is_called and hook is not None and asked is None and now < kill_at:
            wake_at = kill_at
            if hook.until is None:
                steps.append(CallPreStop(name, kill_at, why))
        elif name in turn and (asked is None or asked > kill_at):
            steps.append(Terminate(name, kill_at, why))
    return Decision(tuple(steps), wake_at)


def _leftovers_end(pod: ReadOnlyObject, facts: PodFacts) -> datetime:
    """Give when what still runs of a finished Pod is killed: a grace period after its last container ended."""
    ends = [known.last.exit.at for known in facts.containers.values() if known.last and known.last.exit]
    latest = max(ends, default=facts.started_at or datetime.min.replace(tzinfo=UTC))
    return latest + timedelta(seconds=grace_period_s(pod))


def _running_in_order(pod: ReadOnlyObject, facts: PodFacts) -> Sequence[str]:
    """Give whom to end next: the containers proper; when none of them runs, one sidecar after another, last first."""
    running = set(facts.running())
    proper = [c["name"] for c in containers(pod) if c["name"] in running]
    if proper:
        return proper
    rest = [c["name"] for c in reversed(init_containers(pod)) if c["name"] in running]
    return rest[:1] or sorted(running)


def _earliest(first: datetime | None, second: datetime | None) -> datetime | None:
    return min((moment for moment in (first, second) if moment is not None), default=None)
