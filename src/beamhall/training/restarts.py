"""How often each replica of a job was made anew: the memory that ``backoffLimit`` and the back-off need.

A failed Pod that is replaced takes its restart count with it, so the count is kept in an annotation of the job, with
the uid of the last Pod counted: a Pod is counted once, however often the planner looks at it. Pods that someone else
deleted do not count. Restarts inside a Pod are counted by the kubelet, in the Pod's status. Read on in ``planner``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from beamhall.kernel.clock import format_time, parse_time
from beamhall.kernel.objects import ReadOnlyObject, annotations_of, uid_of

ANNOTATION = "training.beamhall/restarts"

_FIRST_DELAY_S = 10.0
_MAX_DELAY_S = 300.0
_RESET_AFTER_S = 600.0


@dataclass(frozen=True, slots=True)
class Restarts:
    """How often one replica was made anew.

    Attributes:
        n: All restarts, those inside the Pods that were replaced included.
        uid: The last Pod that was counted.
        at: When it was counted, as on the wire.
        streak: Replacements without 10 good minutes between them, which set the delay.
    """

    n: int
    uid: str
    at: str
    streak: int

    @property
    def delay_s(self) -> float:
        """How long to wait after ``at`` before making the Pod: 0, 10, 20, 40 ... 300 s, as a kubelet does."""
        return 0.0 if self.streak <= 1 else min(_FIRST_DELAY_S * 2.0 ** min(self.streak - 2, 16), _MAX_DELAY_S)

    def wait_s(self, now: datetime) -> float:
        """Give the seconds that are left to wait; 0 or less: none."""
        return self.delay_s - (now - parse_time(self.at)).total_seconds()


def read_restarts(job: ReadOnlyObject) -> dict[str, Restarts]:
    """Read the annotation, by child name. What a user made unreadable counts as nothing."""
    try:
        record = json.loads(annotations_of(job).get(ANNOTATION) or "{}")
        restarts = {name: Restarts(int(r[0]), str(r[1]), str(r[2]), int(r[3])) for name, r in record.items()}
        for entry in restarts.values():
            parse_time(entry.at)
    except (ValueError, TypeError, LookupError, AttributeError):
        return {}
    return restarts


def write_restarts(restarts: Mapping[str, Restarts]) -> str:
    """Write the annotation's value."""
    record = {name: [r.n, r.uid, r.at, r.streak] for name, r in sorted(restarts.items())}
    return json.dumps(record, separators=(",", ":"))


def count_restart(before: Restarts | None, pod: ReadOnlyObject, now: datetime) -> Restarts:
    """Count a failed Pod that is about to be replaced; one that was counted already changes nothing."""
    if before is not None and before.uid == uid_of(pod):
        return before
    status: Mapping[str, Any] = pod.get("status") or {}
    started = status.get("startTime")
    ran_well = started is not None and (now - parse_time(started)).total_seconds() >= _RESET_AFTER_S
    streak = 1 if before is None or ran_well else before.streak + 1
    n = (before.n if before else 0) + 1 + container_restarts(pod)
    return Restarts(n, uid_of(pod), format_time(now), streak)


def container_restarts(pod: ReadOnlyObject) -> int:
    """Give how often containers of a Pod were restarted inside it."""
    status: Mapping[str, Any] = pod.get("status") or {}
    return sum(int(container.get("restartCount") or 0) for container in status.get("containerStatuses") or ())
