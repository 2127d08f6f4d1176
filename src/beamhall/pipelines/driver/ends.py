"""How a Pod ended, in words: what a step's error begins with. Pure; what a log adds is for ``logs``.

Source: Kubernetes, "Pod Lifecycle"; ``ContainerStateTerminated``.
"""

import signal
from collections.abc import Sequence

import msgspec

from beamhall.kernel.objects import ReadOnlyObject

_NEVER_STARTS = frozenset(("InvalidImageName", "ErrImageNeverPull"))
_CANNOT_START = frozenset(
    (
        "ErrImagePull", "ImagePullBackOff", "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
        "ImageInspectError", "RegistryUnavailable",
    )
)  # fmt: skip
_BEGINS = ("ContainerCreating", "PodInitializing")
_SIGNALED = 128


class PodEnd(msgspec.Struct, frozen=True):
    """How a Pod ended: ``error`` is empty if it succeeded. ``has_log`` tells whether a container ran at all."""

    error: str = ""
    has_log: bool = True


def end_of(pod: ReadOnlyObject) -> PodEnd | None:
    """Say how a Pod ended; None while it goes on."""
    status = pod.get("status") or {}
    phase = status.get("phase")
    if phase == "Succeeded":
        return PodEnd()
    if phase != "Failed":
        return None
    reason, message = str(status.get("reason") or ""), str(status.get("message") or "")
    if reason == "DeadlineExceeded":
        limit = (pod.get("spec") or {}).get("activeDeadlineSeconds")
        if hindered := obstacle_of(pod)[0] or waits_for(pod):
            return PodEnd(f"{hindered}; after {limit} s (activeDeadlineSeconds) it was given up", has_log=False)
        return PodEnd(f"it ran longer than it may: {limit} s (activeDeadlineSeconds), and was stopped")
    for container in _statuses(status):
        if error := _container_error(container):
            return PodEnd(error)
    if reason or message:
        return PodEnd(f"its Pod failed: {': '.join(part for part in (reason, message) if part)}")
    return PodEnd("its Pod failed, and nothing says why")


def obstacle_of(pod: ReadOnlyObject) -> tuple[str, bool]:
    """Say what keeps a Pod from starting, and whether it is for good; empty if nothing does."""
    for container in _statuses(pod.get("status") or {}):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason = str(waiting.get("reason") or "")
        if reason in _NEVER_STARTS or reason in _CANNOT_START:
            told = str(waiting.get("message") or "")
            image = f" (image {container.get('image')!r})" if "mage" in reason else ""
            return f"it cannot be started: {reason}{image}{f': {told}' if told else ''}", reason in _NEVER_STARTS
    return "", False


def waits_for(pod: ReadOnlyObject) -> str:
    """Say why no node was found for a Pod, or what its volumes lack; empty if nothing is known to be missing."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"it waits for a node: {condition.get('message') or condition.get('reason') or 'unschedulable'}"
    for container in _statuses(pod.get("status") or {}):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _BEGINS and waiting.get("message"):
            return f"it waits for its volumes: {waiting['message']}"
    return ""


def _statuses(status: ReadOnlyObject) -> Sequence[ReadOnlyObject]:
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _container_error(container: ReadOnlyObject) -> str:
    """Say why a container failed; empty if it did not."""
    ended = (container.get("state") or {}).get("terminated")
    if not ended:
        return ""
    code, reason = int(ended.get("exitCode") or 0), str(ended.get("reason") or "")
    if reason == "OOMKilled":
        return "it was killed because it used more memory than its limit (OOMKilled)"
    if number := int(ended.get("signal") or 0):
        return f"it was ended by {_signal(number)}"
    if not code:
        return ""
    told = str(ended.get("message") or "")
    if reason not in ("", "Error"):
        return f"it failed: {reason} (exit code {code}){f': {told}' if told else ''}"
    by = f", as after {_signal(code - _SIGNALED)}" if code > _SIGNALED and _signal_name(code - _SIGNALED) else ""
    return f"it exited with code {code}{by}{f': {told}' if told else ''}"


def _signal(number: int) -> str:
    name = _signal_name(number)
    return f"signal {number} ({name})" if name else f"signal {number}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""
