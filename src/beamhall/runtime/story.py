"""What was done to each object and why, for people: a bounded ring per object, readable as plain data.

Kept in memory; it is a help for ``beamhall explain``, not a record. It knows no client and decides nothing.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from beamhall.kernel.clock import Clock, format_micro_time
from beamhall.kernel.objects import Key

ENTRIES_PER_OBJECT = 20
OBJECTS_LIMIT = 2_000
"""The object that was least recently written about is forgotten first."""


@dataclass(slots=True)
class Entry:
    """One plan of one controller, as far as it did something.

    Attributes:
        time: When, in UTC, RFC 3339.
        controller: Whose plan it was.
        why: The planner's one line.
        actions: What was done, in order, in words.
        outcome: ``done``, or what went wrong.
        times: How often in a row just this happened.
        about: The object that was planned, where this entry stands under another that was written.
    """

    time: str
    controller: str
    why: str
    actions: Sequence[str] = field(default=())
    outcome: str = "done"
    times: int = 1
    about: str = ""

    def is_repetition_of(self, other: "Entry") -> bool:
        """Tell whether this says what another said, at another time."""
        mine = (self.controller, self.why, tuple(self.actions), self.outcome, self.about)
        return mine == (other.controller, other.why, tuple(other.actions), other.outcome, other.about)

    def as_data(self) -> dict[str, Any]:
        """Give the entry as plain data."""
        data: dict[str, Any] = {
            "time": self.time,
            "controller": self.controller,
            "why": self.why,
            "actions": list(self.actions),
            "outcome": self.outcome,
            "times": self.times,
        }
        return data | ({"about": self.about} if self.about else {})


class Story:
    """Entries by object."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rings: OrderedDict[tuple[str, str, str], deque[Entry]] = OrderedDict()

    def tell(
        self,
        key: Key,
        controller: str,
        *,
        why: str,
        actions: Sequence[str] = (),
        outcome: str = "done",
        about: str = "",
    ) -> None:
        """Add to an object's story. A plan that did nothing and says what the last one said is not worth a line."""
        entry = Entry(format_micro_time(self._clock.now()), controller, why, actions, outcome, about=about)
        name = (key.kind.resource, key.namespace, key.name)
        ring = self._rings.setdefault(name, deque(maxlen=ENTRIES_PER_OBJECT))
        self._rings.move_to_end(name)
        last = next((other for other in reversed(ring) if other.controller == controller), None)
        if last is not None and not actions and outcome == "done" and last.why == why:
            return
        if ring and entry.is_repetition_of(ring[-1]):
            ring[-1].times += 1
            ring[-1].time = entry.time
            return
        ring.append(entry)
        while len(self._rings) > OBJECTS_LIMIT:
            self._rings.popitem(last=False)

    def of(self, resource: str, namespace: str, name: str) -> Sequence[dict[str, Any]]:
        """Give the story of an object, oldest first; empty if there is none.

        Args:
            resource: Such as ``pods`` or ``tfjobs.kubeflow.org``.
            namespace: Empty for cluster-scoped objects. A singleton controller's story is under name and namespace "".
            name: The object's name.
        """
        return [entry.as_data() for entry in self._rings.get((resource, namespace, name), ())]
