"""What all parts of the driver are given."""

from dataclasses import dataclass

from beamhall.client.protocol import Client
from beamhall.history.history import History
from beamhall.history.records import Moment
from beamhall.kernel.clock import Clock
from beamhall.pipelines.driver.files import Files, RootOf
from beamhall.pipelines.driver.fitting import Fitting
from beamhall.pipelines.driver.janitor import Janitor
from beamhall.pipelines.driver.pods import Pods
from beamhall.pipelines.driver.records import moment_of
from beamhall.pipelines.driver.settings import DriverSettings
from beamhall.pipelines.driver.slots import Slots
from beamhall.pipelines.signals import Signals


@dataclass(frozen=True, slots=True)
class Tools:
    """The parts that runs share.

    Attributes:
        history: The facts.
        client: Where Pods are.
        root_of: Where the files of a namespace's steps are.
        clock: The time.
        signals: Tells followers what is new.
        settings: What can be chosen.
        pods: Follows Pods.
        slots: Says how many steps run at once.
        janitor: Deletes Pods.
        fitting: Makes Pods fit the nodes.
    """

    history: History
    client: Client
    root_of: RootOf
    clock: Clock
    signals: Signals
    settings: DriverSettings
    pods: Pods
    slots: Slots
    janitor: Janitor
    fitting: Fitting

    async def files(self, namespace: str) -> Files:
        """Give what reads and writes a namespace's files. Raises ``ApiError``."""
        return (await self.root_of(namespace)).storage

    def now(self) -> Moment:
        """Give the time as the history has it."""
        return moment_of(self.clock.now())
