"""Container processes on Linux that outlive a crash of the service, and never outlive their Pod.

``Sandboxes`` starts them and finds them again. The parts in the order to read them: ``specification`` (the values),
``sandboxes``, ``sandbox``, ``zygotes``; then ``child``, which runs outside the service. Nothing here knows of Pods.
"""

from beamhall.embedded.agent.sandbox.capabilities import detect_capabilities
from beamhall.embedded.agent.sandbox.sandbox import Sandbox, log_files
from beamhall.embedded.agent.sandbox.sandboxes import Sandboxes
from beamhall.embedded.agent.sandbox.specification import (
    FILE,
    UNCONFINED,
    AlreadyStarted,
    Capabilities,
    Capability,
    Cgroup,
    Confinement,
    ContainerSpec,
    Direct,
    Exit,
    Identity,
    Mount,
    StartFailed,
    WarmStart,
)
from beamhall.embedded.agent.sandbox.warmth import warm_command

__all__ = [
    "FILE",
    "UNCONFINED",
    "AlreadyStarted",
    "Capabilities",
    "Capability",
    "Cgroup",
    "Confinement",
    "ContainerSpec",
    "Direct",
    "Exit",
    "Identity",
    "Mount",
    "Sandbox",
    "Sandboxes",
    "StartFailed",
    "WarmStart",
    "detect_capabilities",
    "log_files",
    "warm_command",
]
