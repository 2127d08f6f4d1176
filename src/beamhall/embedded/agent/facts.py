"""What the agent knows of a Pod on this machine: plain values that ``lifecycle`` and ``status`` decide on.

They are read from the Pod's directory and from what is under way in memory; nothing here reads or does anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from beamhall.embedded.agent.probing import WELL, Health
from beamhall.kernel.names import BRIEF_ANNOTATION, CHOSEN_PORTS_ANNOTATION
from beamhall.kernel.objects import ReadOnlyObject, annotations_of


@dataclass(frozen=True, slots=True)
class Exit:
    """How a run of a container ended.

    Attributes:
        code: The exit code; 128 plus the signal where a signal ended it.
        at: When.
        signal: The signal that ended it, or 0.
        reason: Kubernetes' reason, where it is not the plain ``Completed`` or ``Error``.
        message: What a user should know about it.
    """

    code: int
    at: datetime
    signal: int = 0
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a container; a restart is the next one.

    Attributes:
        number: 0 for the first; it is the restart count.
        started_at: When its program started.
        exit: How it ended.
        was_unwell: Whether it was ended because a probe or a hook of it failed; then its exit code tells nothing.
    """

    number: int
    started_at: datetime
    exit: Exit | None = None
    was_unwell: bool = False

    def was_quick(self, reset_s: float) -> bool:
        """Tell whether it ended before it had run long enough to start over with the back-off."""
        return self.exit is not None and (self.exit.at - self.started_at).total_seconds() < reset_s


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that stands in the way and is tried again.

    Attributes:
        reason: Reason of the waiting state, such as ``ErrImagePull``.
        message: What is wrong and what to do.
        failures: How often in a row.
        retry_at: When it is tried again.
    """

    reason: str
    message: str
    failures: int
    retry_at: datetime


@dataclass(frozen=True, slots=True)
class PreStop:
    """How far a container's preStop hook is.

    Attributes:
        until: When it must be over, once it was called.
        is_over: Whether it is.
    """

    until: datetime | None = None
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """What is known of one container.

    Attributes:
        attempts: The last runs, oldest first.
        quick_ends: How many runs in a row ended quickly, up to the last.
        preparation: Whether its environment stands: not asked for, being made, or ready.
        image_id: What stands for the image, once known.
        trouble: What stands in the way of the next run.
        health: What its probes and its postStart hook say of the newest run.
        pre_stop: How far its preStop hook is; None: it has none.
    """

    attempts: tuple[Attempt, ...] = ()
    quick_ends: int = 0
    preparation: Literal["none", "making", "ready"] = "none"
    image_id: str = ""
    trouble: Trouble | None = None
    health: Health = WELL
    pre_stop: PreStop | None = None

    @property
    def last(self) -> Attempt | None:
        """The newest run, if there was any."""
        return self.attempts[-1] if self.attempts else None

    @property
    def is_running(self) -> bool:
        """Whether the newest run has not ended."""
        return self.last is not None and self.last.exit is None


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a Pod's processes are to end, and until when they may take.

    Attributes:
        kill_at: When SIGKILL follows SIGTERM.
        reason: The Pod status' reason, such as ``DeadlineExceeded``; empty for a deletion.
        message: The Pod status' message.
    """

    kill_at: datetime
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What is known of a Pod.

    Attributes:
        containers: By name, init containers too. A name that is absent is a container nothing is known of.
        started_at: When this agent took the Pod on.
        address: The Pod's address.
        volumes_ready: Whether its volumes stand.
        volumes_trouble: What stands in the way of its volumes.
        gone_at: When its object was seen to be gone from the API.
        ending: An end that was decided on before and is not undone.
        terminating: Containers whose newest run was asked to end, and when SIGKILL follows.
        is_deletion_asked: Whether the API was asked to drop the object now.
    """

    containers: Mapping[str, ContainerFacts] = field(default_factory=dict)
    started_at: datetime | None = None
    address: str = ""
    volumes_ready: bool = False
    volumes_trouble: Trouble | None = None
    gone_at: datetime | None = None
    ending: Ending | None = None
    terminating: Mapping[str, datetime] = field(default_factory=dict)
    is_deletion_asked: bool = False

    def of(self, name: str) -> ContainerFacts:
        """Give what is known of a container."""
        return self.containers.get(name) or _NOTHING

    def is_troubled(self) -> bool:
        """Whether something stands in the way of a container or a volume."""
        return self.volumes_trouble is not None or any(known.trouble for known in self.containers.values())

    def running(self) -> Sequence[str]:
        """Give the names of the containers that run."""
        return [name for name, facts in self.containers.items() if facts.is_running]


_NOTHING = ContainerFacts()


def spec_of(pod: ReadOnlyObject) -> Mapping[str, Any]:
    """Give the Pod's spec."""
    return pod.get("spec") or {}


def init_containers(pod: ReadOnlyObject) -> Sequence[Mapping[str, Any]]:
    """Give the init containers in order, sidecars (``restartPolicy: Always``) among them."""
    return spec_of(pod).get("initContainers") or ()


def containers(pod: ReadOnlyObject) -> Sequence[Mapping[str, Any]]:
    """Give the containers proper."""
    return spec_of(pod).get("containers") or ()


def is_sidecar(container: Mapping[str, Any]) -> bool:
    """Tell whether an init container goes on running beside the others. Source: KEP-753."""
    return container.get("restartPolicy") == "Always"


def on_host_network(pod: ReadOnlyObject) -> bool:
    """Tell whether the Pod shares the machine's own addresses."""
    return bool(spec_of(pod).get("hostNetwork"))


def chooses_ports_on_loopback(pod: ReadOnlyObject) -> bool:
    """Tell whether TCP ports that the kernel chooses are listened on at 127.0.0.1, and not at the Pod's own address.

    For programs that tell their peers the addresses of the machine's interfaces, as MPI does: a Pod's is on none.
    """
    return annotations_of(pod).get(CHOSEN_PORTS_ANNOTATION) == "loopback"


def is_brief(pod: ReadOnlyObject) -> bool:
    """Tell whether nobody waits for the Pod to be seen under way."""
    return annotations_of(pod).get(BRIEF_ANNOTATION) == "true"


def phase_of(pod: ReadOnlyObject) -> str:
    """Give the phase that the API has, empty if none."""
    return str((pod.get("status") or {}).get("phase") or "")


def has_ended(pod: ReadOnlyObject) -> bool:
    """Tell whether the API has a final phase, which nothing may change any more."""
    return phase_of(pod) in ("Succeeded", "Failed")
