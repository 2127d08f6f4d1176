"""One look at everything that waits: the most urgent and then the oldest first.

A Pod or group that does not fit is passed over and holds nothing, so a small later one may go first; nobody waits with
resources in hand. So that a large group is not passed over for ever, the first in the queue that has waited for
``PATIENCE_S``, and could start once the Pods that end by themselves have ended, is owed: what it lacks is not given to
those behind it.

A pass ends early once it has enough to write; the rest comes with the next one. Read ``units`` for the queue.

Source: Kubernetes "Scheduling, Preemption and Eviction"; scheduler-plugins, coscheduling; backfilling with one
    reservation as in Lifka, "The ANL/IBM SP scheduling system" (1995).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from beamhall.embedded.workloads.resources import PODS, Amounts, say
from beamhall.embedded.workloads.scheduling import writing
from beamhall.embedded.workloads.scheduling.cluster import Cluster, Node, Resident
from beamhall.embedded.workloads.scheduling.fits import Fit
from beamhall.embedded.workloads.scheduling.neighbours import Neighbours
from beamhall.embedded.workloads.scheduling.preemption import Room, Trial
from beamhall.embedded.workloads.scheduling.shapes import Shape, shape_of
from beamhall.embedded.workloads.scheduling.units import Group, Unit, is_gated, is_ours, may_preempt, units_of
from beamhall.embedded.workloads.scheduling.words import THE_GROUP, explain, say_labels
from beamhall.kernel.amounts import add
from beamhall.kernel.clock import parse_time
from beamhall.kernel.kinds import NAMESPACE, NODE, POD
from beamhall.kernel.objects import ReadOnlyObject, labels_of, metadata_of, name_of
from beamhall.kernel.plan import Action, Bind, Delete, Plan, View

PATIENCE_S = 300.0
"""After so long the first in the queue is owed what it lacks."""

COMPLETION_S = 3.0
"""In which a group's Pods may arrive one by one before they are told that they are too few."""

ENOUGH = 4_000
"""Actions after which a pass ends; what is left is planned when these are done."""

RETELL_S = 5.0
RETELL_EACH_S = 0.01
"""A Pod that waits is told another reason at most once in so long, longer the more of them wait: each is a write."""

RETELLS = 1_000
"""Pods that a pass tells another reason, at most: telling thousands must not keep the next from being placed."""

TRIALS = 16
"""Units for which a pass looks for Pods to stop: each is a search over all nodes."""


@dataclass(frozen=True, slots=True)
class Debt:
    """What is kept for the first in the queue: these resources on these nodes."""

    unit: Unit
    resources: frozenset[str]
    nodes: frozenset[int]


@dataclass(slots=True)
class Pass:
    """One look at the whole cluster."""

    view: View
    cluster: Cluster
    neighbours: Neighbours
    trial: Trial
    actions: list[Action] = field(default_factory=list)
    again_s: list[float] = field(default_factory=list)
    fits: dict[Shape, Fit] = field(default_factory=dict)
    reasons: dict[Shape, str] = field(default_factory=dict)
    debt: Debt | None = None
    # Whom to tell what, found out at the end: what else is placed in the pass is part of the reason.
    refusals: list[tuple[Sequence[ReadOnlyObject], Callable[[ReadOnlyObject], str]]] = field(default_factory=list)
    trials: int = 0
    # What no Pod could be stopped for once is not tried again: what lower priorities hold only shrinks in a pass.
    in_vain: dict[Shape, int] = field(default_factory=dict)

    def fit(self, shape: Shape) -> Fit:
        """Give where Pods of a shape fit."""
        found = self.fits.get(shape)
        if found is None:
            found = self.fits[shape] = Fit(self.cluster, shape)
        return found

    def place(self, pod: ReadOnlyObject, shape: Shape, node: Node) -> Resident:
        """Count a Pod that comes."""
        resident = self.cluster.place(pod, shape, node)
        self.neighbours.note(resident, 1)
        return resident

    def take_back(self, residents: Iterable[Resident]) -> None:
        """Count Pods as not coming after all."""
        for resident in residents:
            self.cluster.remove(resident)
            self.neighbours.note(resident, -1)


def plan_scheduling(_: ReadOnlyObject, view: View) -> Plan:
    """Place what can be placed, and tell the others why not."""
    ours = [pod for pod in view.unassigned(POD) if is_ours(pod)]
    if not ours:
        return Plan()
    pods = view.list(POD)
    cluster = Cluster(view.list(NODE), pods)
    neighbours = Neighbours(cluster, lambda name: labels_of(view.get(NAMESPACE, name) or {}))
    run = Pass(view, cluster, neighbours, Trial(cluster, neighbours))
    waiting = []
    for pod in ours:
        if is_gated(pod):
            run.actions += writing.gate(pod, view.now)
        else:
            waiting.append(pod)
    for unit in units_of(waiting, pods, view):
        if unit.group is None:
            _place_pod(run, unit)
        else:
            _place_group(run, unit, unit.group)
        if len(run.actions) >= ENOUGH:
            run.again_s.append(0.0)
            break
    _tell(run, max(RETELL_S, len(waiting) * RETELL_EACH_S))
    n_bound = sum(isinstance(action, Bind) for action in run.actions)
    n_stopped = sum(isinstance(action, Delete) for action in run.actions)
    why = f"{n_bound} of {len(waiting)} waiting Pods are placed" + (f", {n_stopped} are stopped" if n_stopped else "")
    return Plan(run.actions, min(run.again_s, default=None), why)


def _tell(run: Pass, retell_s: float) -> None:
    """Tell the Pods that wait why, those that were told something else not too soon again."""
    now = run.view.now
    n_retold = 0
    for refused, reason in run.refusals:
        for pod in refused:
            message = reason(pod)
            if writing.is_told(pod, message):
                continue
            if (rest_s := writing.rest_s(pod, now, retell_s)) > 0:
                run.again_s.append(rest_s)
            elif writing.is_told_anything(pod) and n_retold >= RETELLS:
                run.again_s.append(RETELL_S)
            else:
                n_retold += writing.is_told_anything(pod)
                run.actions += writing.refuse(pod, message, now)


def _place_pod(run: Pass, unit: Unit) -> None:
    pod = unit.pods[0]
    shape = shape_of(pod)
    node = _find_node(run, pod, shape)
    if node is not None:
        run.place(pod, shape, node)
        run.actions += writing.bind(pod, node)
        return
    rooms = _make_room(run, unit, [pod], 1)
    if rooms is not None:
        _await_room(run, unit, rooms)
        return
    run.refusals.append(([pod], lambda pod: _why_it_waits(run, pod, unit)))
    _owe(run, unit)


def _place_group(run: Pass, unit: Unit, group: Group) -> None:
    """Place as many members as fit, if with those that have a node they are enough; otherwise none."""
    if group.object is None or group.n_there < group.n_wanted:
        _wait_for_members(run, unit, group)
        return
    placed = _take_places(run, unit.pods) if _has_least(run, group) else []
    there = {id(resident.pod) for resident in placed}
    left = [pod for pod in unit.pods if id(pod) not in there]
    if group.n_bound + len(placed) >= group.n_wanted:
        for resident in placed:
            run.actions += writing.bind(resident.pod, resident.node)
        run.refusals.append((left, lambda pod: _why_it_waits(run, pod, unit)))
        return
    rooms = _make_room(run, unit, left, group.n_missing - len(placed))
    if rooms is not None:
        _await_room(run, unit, rooms)
        return
    run.take_back(placed)
    late = _lateness(run, unit, group)
    run.refusals.append((unit.pods, _once(lambda: _why_the_group_waits(run, unit, group) + late)))
    _owe(run, unit)


def _find_node(run: Pass, pod: ReadOnlyObject, shape: Shape) -> Node | None:
    debt = run.debt
    barred: frozenset[int] = frozenset()
    if debt is not None and any(name in debt.resources for name, _ in shape.needs):
        barred = debt.nodes
    fit = run.fit(shape)
    best = fit.best(barred)
    if best is None or not (shape.is_social or run.neighbours.is_anybody_apart):
        return best
    wishes = run.neighbours.wishes(pod, shape)
    return fit.best_by(lambda node: None if wishes.obstacle(node) else wishes.points(node), barred)


def _take_places(run: Pass, pods: Iterable[ReadOnlyObject]) -> list[Resident]:
    """Place those that fit, the largest first."""
    placed: list[Resident] = []
    shaped = [(pod, shape_of(pod)) for pod in pods]
    for pod, shape in sorted(shaped, key=lambda one: _size(one[1]), reverse=True):
        if (node := _find_node(run, pod, shape)) is not None:
            placed.append(run.place(pod, shape, node))
    return placed


def _size(shape: Shape) -> tuple[int, int, int]:
    gpus = sum(value for name, value in shape.needs if name.endswith("/gpu"))
    return (gpus, shape.amounts.get("cpu", 0), shape.amounts.get("memory", 0))


def _make_room(run: Pass, unit: Unit, pods: Sequence[ReadOnlyObject], n_wanted: int) -> Sequence[Room] | None:
    """Find room that comes free when others end, for so many of these Pods; None: there is not enough for them.

    What is found is counted as taken by these Pods, and the victims as ending.
    """
    if not all(may_preempt(pod) for pod in pods) or not run.trial.can_help(unit.urgency):
        return None
    rooms: list[Room] = []
    waiting: list[Resident] = []
    for pod in pods:
        room = _find_room(run, unit, pod) if len(rooms) < n_wanted else None
        if room is None:
            break
        run.trial.end(room.victims)
        rooms.append(room)
        waiting.append(run.place(pod, shape_of(pod), room.node))
    if len(rooms) == n_wanted:
        return rooms
    if pods and not rooms:
        shape = shape_of(pods[0])
        run.in_vain[shape] = max(unit.urgency, run.in_vain.get(shape, unit.urgency))
    run.take_back(waiting)
    for room in rooms:
        run.trial.revive(room.victims)
    return None


def _find_room(run: Pass, unit: Unit, pod: ReadOnlyObject) -> Room | None:
    shape = shape_of(pod)
    if run.in_vain.get(shape, -(2**31)) >= unit.urgency:
        return None
    if run.trials >= TRIALS:
        run.again_s.append(0.0)
        return None
    nominated = str((pod.get("status") or {}).get("nominatedNodeName") or "")
    room = run.trial.find_room(pod, shape, run.fit(shape).eligible, unit.urgency, nominated)
    run.trials += room is not None and bool(room.victims)
    return room


def _await_room(run: Pass, unit: Unit, rooms: Sequence[Room]) -> None:
    victims = [victim for room in rooms for victim in room.victims]
    run.actions += writing.preempt(victims, f"{unit.title} (priority {unit.urgency})", run.view.now)
    names = sorted({room.node.name for room in rooms})
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    message = f"waits until Pods have ended that make room for it on node {shown}"
    nominated = {id(room.pod): room.node.name for room in rooms}
    for pod in unit.pods:
        node = nominated.get(id(pod), "")
        if not writing.is_told(pod, message, node):
            run.actions += writing.refuse(pod, message, run.view.now, node)


def _owe(run: Pass, unit: Unit) -> None:
    """Keep what the first in the queue lacks from those behind it, once it has waited for long.

    Not if that is in vain: it could not start even when all Pods that end by themselves have ended.
    """
    if run.debt is not None or unit.age_s(run.view.now) < PATIENCE_S:
        return
    shapes = [shape_of(pod) for pod in unit.pods]
    eligible = {node.index: node for shape in shapes for node in run.fit(shape).eligible}
    asked = add(shape.amounts for shape in shapes[: unit.group.n_missing if unit.group is not None else 1])
    coming = {index: node.could_come_free() for index, node in eligible.items()}
    if _lacks(add(coming.values()), asked):
        return
    for shape in set(shapes):
        if all(_lacks(coming[node.index], shape.amounts) for node in run.fit(shape).eligible):
            return
    lacking = _lacks(add(node.free for node in eligible.values()), asked) or {*asked} - {PODS}
    run.debt = Debt(unit, frozenset(lacking), frozenset(eligible))


def _lacks(there: Amounts, asked: Amounts) -> set[str]:
    return {name for name, value in asked.items() if value > there.get(name, 0)}


def _has_least(run: Pass, group: Group) -> bool:
    free = add(node.free for node in run.cluster.nodes)
    return group.n_bound > 0 or all(free.get(name, 0) >= value for name, value in group.least.items())


def _wait_for_members(run: Pass, unit: Unit, group: Group) -> None:
    """Say what a group lacks, but not while its objects may still be on their way."""
    age_s = min((run.view.now - parse_time(metadata_of(pod)["creationTimestamp"])).total_seconds() for pod in unit.pods)
    if age_s < COMPLETION_S:
        run.again_s.append(COMPLETION_S - age_s)
    elif group.object is None:
        message = f"waits for its group: there is no PodGroup {group.name} in its namespace"
        run.refusals.append((unit.pods, lambda _: message))
    else:
        lack = f"it needs {group.n_wanted} Pods at once, {group.n_there} are there{_lateness(run, unit, group)}"
        run.refusals.append((unit.pods, lambda _: f"waits for its group {group.name}: {lack}"))


def _lateness(run: Pass, unit: Unit, group: Group) -> str:
    """Say that a group waits longer than it should, empty if it does not; then it is looked at again when it does."""
    if group.timeout_s is None:
        return ""
    left_s = group.timeout_s - unit.age_s(run.view.now)
    if left_s > 0:
        run.again_s.append(left_s)
        return ""
    return f"; it waits longer than its scheduleTimeoutSeconds of {group.timeout_s:g}"


def _once(find: Callable[[], str]) -> Callable[[ReadOnlyObject], str]:
    """Make a reason that is found when the first Pod is told it, and is the same for all."""
    found = lru_cache(maxsize=1)(find)
    return lambda _: found()


def _lacking(nodes: Sequence[Node], least: Amounts) -> str:
    """Say what of a group's ``minResources`` is not there; empty: all of it is."""
    free, whole = add(node.free for node in nodes), add(node.total for node in nodes)
    for name, value in least.items():
        start = f"its minResources ask for {say(name, value)}"
        if value > whole.get(name, 0):
            return f"{start}, and there are {say(name, whole.get(name, 0))} in all, so it can never start here"
        if value > free.get(name, 0):
            return f"{start}, {say(name, max(0, free.get(name, 0)))} are free"
    return ""


def _why_the_group_waits(run: Pass, unit: Unit, group: Group) -> str:
    start = f"waits for its group {group.name}, which needs {group.n_wanted} Pods at once: "
    if turn := _whose_turn(run, unit, shape_of(unit.pods[0])):
        return start + turn
    nodes = run.cluster.nodes
    for pod in unit.pods:
        shape = shape_of(pod)
        if not any(node.could_have_room(shape.amounts) for node in run.fit(shape).eligible):
            obstacles = _obstacles(run, pod, shape)
            return (
                start + explain(nodes, obstacles, shape.amounts, f"its Pod {name_of(pod)}") + say_labels(nodes, shape)
            )
    if not group.n_bound and (lacking := _lacking(nodes, group.least)):
        return start + lacking
    first = unit.pods[0]
    asked = add(shape_of(pod).amounts for pod in unit.pods[: group.n_missing])
    return start + explain(nodes, _obstacles(run, first, shape_of(first)), asked, THE_GROUP)


def _why_it_waits(run: Pass, pod: ReadOnlyObject, unit: Unit) -> str:
    shape = shape_of(pod)
    if turn := _whose_turn(run, unit, shape):
        return turn
    if shape in run.reasons and not (shape.is_social or run.neighbours.is_anybody_apart):
        return run.reasons[shape]
    nodes = run.cluster.nodes
    reason = explain(nodes, _obstacles(run, pod, shape), shape.amounts, "this Pod") + say_labels(nodes, shape)
    run.reasons[shape] = reason
    return reason


def _whose_turn(run: Pass, unit: Unit, shape: Shape) -> str:
    """Say for whom is kept what a Pod could have, empty if that is not why it waits."""
    debt = run.debt
    if debt is None or unit.rank <= debt.unit.rank or run.fit(shape).best() is None:
        return ""
    kept = ", ".join(sorted(debt.resources))
    return f"waits its turn: {debt.unit.title} has waited longer, and the {kept} that comes free is kept for it"


def _obstacles(run: Pass, pod: ReadOnlyObject, shape: Shape) -> Mapping[int, str]:
    """Find what but resources keeps a Pod off each node."""
    found = {index: text for index, text in enumerate(run.fit(shape).obstacles) if text}
    for node in run.cluster.nodes if shape.ports else ():
        if node.index not in found and (port := node.port_in_use(shape)) is not None:
            found[node.index] = f"has a Pod that uses the host port {port[2]}"
    if shape.is_social or run.neighbours.is_anybody_apart:
        wishes = run.neighbours.wishes(pod, shape)
        for node in run.cluster.nodes:
            if node.index not in found and (text := wishes.obstacle(node)):
                found[node.index] = text
    return found
