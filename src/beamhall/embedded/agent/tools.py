"""What every Pod's worker uses, made once by the agent."""

from collections.abc import Mapping
from dataclasses import dataclass

from beamhall.client.protocol import Client
from beamhall.embedded.agent.devices import Devices
from beamhall.embedded.agent.events import EventRecorder
from beamhall.embedded.agent.following import Following
from beamhall.embedded.agent.images import Catalog
from beamhall.embedded.agent.lifecycle import Pace
from beamhall.embedded.agent.limits.limits import Limits
from beamhall.embedded.agent.network import Addresses, Names
from beamhall.embedded.agent.sandbox import Sandboxes
from beamhall.embedded.agent.security import Service
from beamhall.embedded.agent.settings import AgentSettings
from beamhall.embedded.agent.volumes import Roots
from beamhall.kernel.clock import Clock


@dataclass(frozen=True, slots=True)
class Tools:
    """What every worker uses; made once by the agent.

    Attributes:
        client: The API.
        catalog: Environments for images.
        sandboxes: Starts and adopts processes.
        recorder: Events.
        clock: The time.
        settings: The agent's.
        addresses: Pod addresses.
        names: Hosts files.
        devices: GPUs.
        roots: Where volumes may be.
        service: Who this service is to the machine.
        following: Tells what changed of what volumes show.
        allocatable: The node's resources.
        passed: Variables of the host that Pods get.
        limits: What containers may use.
    """

    client: Client
    catalog: Catalog
    sandboxes: Sandboxes
    recorder: EventRecorder
    clock: Clock
    settings: AgentSettings
    addresses: Addresses
    names: Names
    devices: Devices
    roots: Roots
    service: Service
    following: Following
    allocatable: Mapping[str, str]
    passed: Mapping[str, str]
    limits: Limits

    @property
    def pace(self) -> Pace:
        """The times that decisions depend on."""
        return Pace(self.settings.restart, self.settings.minimum_grace_s)
