"""What the handlers of all resources are given: the history, the cluster, the bells, the time, who may do what."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from starlette.requests import Request

from beamhall.client.protocol import Client
from beamhall.history.history import History
from beamhall.history.queries import R
from beamhall.history.records import AnyRecord, Artifact, Experiment, Moment, Pipeline, RecurringRun, Run
from beamhall.kernel.clock import Clock
from beamhall.kernel.errors import NotFound
from beamhall.kernel.identity import User, namespace_of_account
from beamhall.pipelines.api.messages import moment_of
from beamhall.pipelines.signals import Signals
from beamhall.storage import Storage

Authorize = Callable[[Request, str, str, str], Awaitable[None]]
"""Takes a request, a verb, a resource and a namespace; raises ``Forbidden`` where the caller may not.

Source: Kubeflow Pipelines, the verbs and resources of the group ``pipelines.kubeflow.org``.
"""

StorageOf = Callable[[str], Awaitable[Storage]]
"""Gives the storage of a namespace."""

RESOURCES: Mapping[type[AnyRecord], str] = {
    Experiment: "experiments",
    Pipeline: "pipelines",
    Run: "runs",
    RecurringRun: "jobs",
    Artifact: "runs",
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
        storage_of: Gives what reads the bytes of a namespace's artifacts and logs, with its credentials. It must not
            read local files outside of ``readable_roots``.
        may_fetch_privately: Packages may be fetched from loopback, link-local and private addresses too: from whatever
            the service's machine reaches, for anybody who may upload pipelines.
        default_namespace: Which namespace a request means that names none, unless it comes from a Pod.
        time_zone: That of cron expressions that name none.
        pipeline_root: Where runs keep their files that name no place.
        readable_roots: Directories of this machine, and beginnings of web addresses, that artifacts may be read from.
    """

    history: History
    clock: Clock
    authorize: Authorize
    client: Client
    signals: Signals
    storage_of: StorageOf
    may_fetch_privately: bool = False
    default_namespace: str = "default"
    time_zone: str = "UTC"
    pipeline_root: str = ""
    readable_roots: Sequence[str] = ()

    def now(self) -> Moment:
        """Give the time as the history has it."""
        return moment_of(self.clock.now())

    def namespace_for(self, request: Request) -> str:
        """Give the namespace that a request means that names none: the own one of a service account."""
        user: User | None = request.scope.get("state", {}).get("user")
        return (namespace_of_account(user.name) if user is not None else "") or self.default_namespace

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
