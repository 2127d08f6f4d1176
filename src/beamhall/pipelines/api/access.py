"""What the handlers of all resources are given: the history, the cluster, the bells, the time, who may do what."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request

from beamhall.client.protocol import Client
from beamhall.history.history import History
from beamhall.history.records import Moment
from beamhall.kernel.clock import Clock
from beamhall.pipelines.api.messages import moment_of
from beamhall.pipelines.signals import Signals

Authorize = Callable[[Request, str, str, str], Awaitable[None]]
"""Takes a request, a verb, a resource and a namespace; raises ``Forbidden`` where the caller may not.

Source: Kubeflow Pipelines, the verbs and resources of the group ``pipelines.kubeflow.org``.
"""


@dataclass(frozen=True, slots=True)
class Access:
    """Attributes of the API as a whole.

    Attributes:
        history: The facts.
        clock: The time.
        authorize: Who may do what.
        client: The resource API, where the steps of runs are Pods.
        signals: Tells the driver of runs, and followers of what the driver did.
        default_namespace: Which namespace a request means that names none.
    """

    history: History
    clock: Clock
    authorize: Authorize
    client: Client
    signals: Signals
    default_namespace: str = "default"

    def now(self) -> Moment:
        """Give the time as the history has it."""
        return moment_of(self.clock.now())
