"""What a container's probes say about it: counting answers against thresholds. Pure.

A probe asks again and again; what counts is ``count``'s verdict, and what follows from the verdicts of a container is
in its ``Health``. It must not know how a probe asks (``handlers``) or when (``care``), nor what is done about it
(``lifecycle``).

Source: Kubernetes ``pkg/kubelet/prober/worker.go`` (``doProbe``), described in "Pod Lifecycle: Container probes".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

Purpose = Literal["startup", "liveness", "readiness"]
_FIELDS: tuple[tuple[Purpose, str], ...] = (
    ("startup", "startupProbe"),
    ("liveness", "livenessProbe"),
    ("readiness", "readinessProbe"),
)


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe of a container.

    Attributes:
        purpose: What its verdict decides.
        handler: How it asks, as in the Pod's spec.
        initial_delay_s: How long after the container's start it first asks.
        period_s: How often it asks.
        timeout_s: How long an answer may take.
        success_threshold: Good answers in a row that make a failed one good.
        failure_threshold: Bad answers in a row that make it failed.
        grace_s: What the container gets between SIGTERM and SIGKILL when it is ended for this; None: as the Pod says.
    """

    purpose: Purpose
    handler: Mapping[str, Any]
    initial_delay_s: float = 0.0
    period_s: float = 10.0
    timeout_s: float = 1.0
    success_threshold: int = 1
    failure_threshold: int = 3
    grace_s: float | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """Answers so far.

    Attributes:
        verdict: What the probe says of the container; None: nothing yet.
        last: The last answer.
        in_a_row: How often that came in a row.
    """

    verdict: bool | None = None
    last: bool | None = None
    in_a_row: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a container that runs is to be ended.

    Attributes:
        what: What it did, such as ``failed liveness probe``.
        grace_s: What it gets between SIGTERM and SIGKILL; None: as the Pod says.
    """

    what: str
    grace_s: float | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """What probes and hooks say of the newest run of a container. Without any, it is started and ready as it runs.

    Attributes:
        is_hooked: Whether its postStart hook is over; until then it does not count as running.
        is_started: Whether its startup probe has succeeded, and its postStart hook.
        is_ready: Whether its readiness probe says so.
        failure: Why it is to be ended, if it is.
    """

    is_hooked: bool = True
    is_started: bool = True
    is_ready: bool = True
    failure: Failure | None = None


WELL = Health()


def probes_of(container: Mapping[str, Any]) -> Sequence[Probe]:
    """Give the probes that a container states; most state none."""
    return [_probe(purpose, container[name]) for purpose, name in _FIELDS if container.get(name)]


def initial_health(probes: Sequence[Probe], *, has_hook: bool) -> Health:
    """Give the health of a container that has just been started: what has a probe must first prove itself."""
    purposes = {probe.purpose for probe in probes}
    return Health(
        is_hooked=not has_hook,
        is_started=not has_hook and "startup" not in purposes,
        is_ready="readiness" not in purposes,
    )


def count(tally: Tally, probe: Probe, answer: bool) -> Tally:  # noqa: FBT001  the answer is a truth value
    """Count an answer; the verdict changes once a threshold is reached."""
    in_a_row = tally.in_a_row + 1 if tally.last is answer else 1
    threshold = probe.success_threshold if answer else probe.failure_threshold
    return Tally(answer if in_a_row >= threshold else tally.verdict, answer, in_a_row)


def judge(health: Health, probe: Probe, verdict: bool | None) -> Health:  # noqa: FBT001
    """Give a container's health once a probe has come to a verdict."""
    if probe.purpose == "readiness":
        return replace(health, is_ready=verdict is True)
    if verdict is False:
        return replace(health, failure=Failure(f"failed {probe.purpose} probe", probe.grace_s))
    return replace(health, is_started=True) if verdict and probe.purpose == "startup" else health


def _probe(purpose: Purpose, stated: Mapping[str, Any]) -> Probe:
    grace = stated.get("terminationGracePeriodSeconds")
    return Probe(
        purpose=purpose,
        handler=stated,
        initial_delay_s=max(0.0, float(stated.get("initialDelaySeconds") or 0)),
        period_s=float(stated.get("periodSeconds") or 10),
        timeout_s=float(stated.get("timeoutSeconds") or 1),
        success_threshold=int(stated.get("successThreshold") or 1),
        failure_threshold=int(stated.get("failureThreshold") or 3),
        grace_s=None if grace is None else float(grace),
    )
