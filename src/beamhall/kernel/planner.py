"""A planner and what it must be shown, as plain data, so that planners need not know the loop that runs them.

Packages with planners export values of ``Planner``; ``beamhall.app`` turns each into a controller of the runtime.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from beamhall.kernel.kinds import Kind
from beamhall.kernel.objects import Key, ReadOnlyObject
from beamhall.kernel.plan import Plan, View

Concerns = Callable[[ReadOnlyObject, View], Iterable[Key]]
"""Which keys to plan when this object of a watched kind was made, changed or removed."""


@dataclass(frozen=True, slots=True)
class Planner:
    """A planner, ready to be run.

    Attributes:
        name: Names the controller in logs, metrics and stories.
        kind: The primary kind: each of its objects is a key to plan.
        plan: The pure function from an object and a view to a plan. A singleton ignores the object.
        watches: Further kinds that the view must hold; a change of one plans its controller's key (singleton: the key).
        singleton: One key for everything, planned whenever any object of ``kind`` or ``watches`` changes.
        concerns: Further keys that a change of an object of ``watches`` plans, beside that of its controller.
        rest_s: Once a key was planned, it rests for so many seconds: what changes meanwhile is planned together.
    """

    name: str
    kind: Kind
    plan: Callable[[ReadOnlyObject, View], Plan]
    watches: tuple[Kind, ...] = ()
    singleton: bool = False
    concerns: Concerns | None = None
    rest_s: float = 0.0
