"""What the handlers of all resources are given: the history, the cluster, the bells, the time, who may do what."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request

from beamhall.client.protocol import Client
from beamhall.history.history import History
from beamhall.history.queries import R
from beamhall.history.records import AnyRecord, Experiment, Moment, Pipeline, RecurringRun, Run
from beamhall.kernel.clock import Clock
from beamhall.kernel.errors import NotFound
from beamhall.pipelines.api.messages import moment_of
from beamhall.pipelines.signals import Signals

Authorize = Callable[[Request, str, str, str], Awaitable[None]]
"""Takes a request, a verb, a resource and a namespace; raises ``Forbidden`` where the caller may not.

Source: Kubeflow Pipelines, the verbs and resources of the group ``pipelines.kubeflow.org``.
"""

RESOURCES: Mapping[type[AnyRecord], str] = {
    Experiment: "experiments",
    Pipeline: "pipelines",
    Run: "runs",
    RecurringRun: "jobs",
}
"""What the kinds of records are called where it is told who may do what."""


@dataclass(frozen=True, slots=True)
class Access:
    """Attributes of the API as a whole.

    Attributes:
        history: The facts.
        clock: The time.
        authorize: Who may do what.
        client: The resource API, where the steps of runs are Pods.
        signals: Tells the driver of runs, and followers of what the driver did.
        may_fetch_privately: Packages may be fetched from loopback, link-local and private addresses too: from whatever
            the service's machine reaches, for anybody who may upload pipelines.
        default_namespace: Which namespace a request means that names none.
        time_zone: That of cron expressions that name none.
    """

    history: History
    clock: Clock
    authorize: Authorize
    client: Client
    signals: Signals
    may_fetch_privately: bool = False
    default_namespace: str = "default"
    time_zone: str = "UTC"

    def now(self) -> Moment:
        """Give the time as the history has it."""
        return moment_of(self.clock.now())

    async def allowed(self, request: Request, verb: str, record: type[R], key: str) -> R:
        """Give the record of an id that the caller may do something with.

        Raises:
            NotFound: There is none of this id.
            Forbidden: It is in a namespace where the caller may not do this.
        """
        found = None if "\0" in key else await self.history.read(lambda tx: tx.get(record, key))
        if found is None:
            raise NotFound(f"{record.__name__} {key[:80]!r} not found")
        await self.authorize(request, verb, RESOURCES[record], found.namespace)
        return found
