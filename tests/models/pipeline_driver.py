"""The driver of runs on a real history, with Pods in a cluster in memory and an agent that ends them as it is told."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from beamhall.client.protocol import ALL, Client, LogOptions, Page, Selection
from beamhall.history.history import History
from beamhall.history.queries import Order, Where
from beamhall.history.records import Run, Specification, Task
from beamhall.kernel.errors import NotFound
from beamhall.kernel.kinds import POD, Kind
from beamhall.kernel.objects import Key, Object, annotations_of, labels_of, metadata_of, name_of
from beamhall.kernel.selectors import parse_selector
from beamhall.pipelines.driver.driver import PipelineDriver
from beamhall.pipelines.driver.files import RootOf
from beamhall.pipelines.driver.records import moment_of
from beamhall.pipelines.driver.settings import DriverSettings
from beamhall.pipelines.roots import Root
from beamhall.pipelines.signals import Signals
from beamhall.pipelines.specifications import Specifications
from beamhall.storage import Storage
from tests.api_server import RealClock
from tests.models.cluster import ModelCluster

PATH, ROOT = "pipelines.beamhall.io/path", "pipelines.beamhall.io/root"
ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")


@dataclass(frozen=True)
class Act:
    """What the agent does with a Pod: its end, and what it leaves behind.

    Attributes:
        status: Of the Pod; None: it runs for ever.
        parameters: Output parameters.
        artifacts: Output artifacts, as an ExecutorOutput has them.
    """

    status: Mapping[str, Any] | None = field(default_factory=lambda: {"phase": "Succeeded"})
    parameters: Mapping[str, Any] = field(default_factory=dict)
    artifacts: Mapping[str, Any] = field(default_factory=dict)


def exits(code: int) -> Act:
    """Fail with an exit code."""
    ended = {"name": "main", "state": {"terminated": {"exitCode": code, "reason": "Error"}}}
    return Act({"phase": "Failed", "containerStatuses": [ended]})


FOREVER = Act(None)


class Cluster(ModelCluster):
    """A cluster whose Pods have logs, and whose lists heed labels."""

    async def list(self, kind: Kind, selection: Selection = ALL, *, limit: int = 0, continue_: str = "") -> Page:
        page = await super().list(kind, selection)
        wanted = [obj for obj in page.items if parse_selector(selection.labels).matches(labels_of(obj))]
        return Page(wanted, page.revision)

    @asynccontextmanager
    async def logs(self, name: str, namespace: str, options: LogOptions) -> AsyncIterator[AsyncIterator[bytes]]:
        if Key(POD, namespace, name) not in self.objects:
            raise NotFound(f"no Pod {name}")

        async def lines() -> AsyncIterator[bytes]:
            yield b"one\ntwo\n"

        yield lines()


_STORAGE = Storage()


async def _root_of(_: str) -> Root:
    return Root("", _STORAGE)


@dataclass
class World:
    """A service without a service: the driver may be ended and made anew at any time.

    Attributes:
        behave: What the agent does with the Pod of a path; called once a Pod.
        begun: Paths of the Pods that the agent saw, in order.
    """

    directory: Path
    history: History
    settings: DriverSettings
    behave: Callable[[str, Mapping[str, Any]], Act] = lambda path, given: Act()
    cluster: Cluster = field(default_factory=Cluster)
    signals: Signals = field(default_factory=Signals)
    client: Client | None = None
    namespace: str = "lab"
    specifications: Specifications | None = None
    tasks_of: dict[str, Task] = field(default_factory=dict)
    root_of: RootOf = _root_of
    begun: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[None]:
        """Have Pods carried out while the context is open."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._run_agent())
            try:
                yield
            finally:
                task.cancel()

    @asynccontextmanager
    async def driver(self, **settings: Any) -> AsyncIterator[PipelineDriver]:
        """Have runs carried while the context is open; leaving it is as a crash of the service."""
        self.signals = Signals()
        driver = PipelineDriver(
            self.history, self.client or self.cluster, self.root_of, RealClock(), self.signals,
            replace(self.settings, **settings),
        )  # fmt: skip
        if self.specifications is not None:
            driver.specifications = self.specifications
        async with asyncio.TaskGroup() as group:
            task = group.create_task(driver.run())
            await driver.wait_ready()
            try:
                yield driver
            finally:
                task.cancel()

    async def submit(self, document: Mapping[str, Any], **fields: Any) -> str:
        """Make a run of a pipeline, as the API does."""
        now = moment_of(RealClock().now())
        body = msgspec.json.encode(document)
        spec = Specification(id=hashlib.sha256(body).hexdigest(), namespace=self.namespace, body=body.decode())
        run = Run(
            id=str(uuid.uuid4()), namespace=self.namespace, experiment_id="e", display_name="r", created_at=now,
            spec_digest=spec.id, state_history=[{"update_time": now, "state": "PENDING"}], **fields,
        )  # fmt: skip

        def add(tx: Any) -> None:
            tx.put(spec)
            tx.add(run)

        await self.history.write(add)
        self.signals.wake(run.id)
        return run.id

    async def ask(self, run_id: str, asked: str, state: str) -> None:
        """Ask something of a run, as the API does."""

        def write(tx: Any) -> None:
            run = tx.get(Run, run_id)
            history = [*run.state_history, {"update_time": run.created_at, "state": state}]
            tx.change(Run, Where("id", "=", run_id), asked=asked, state=state, state_history=history)

        await self.history.write(write)
        self.signals.wake(run_id)

    async def run_of(self, run_id: str) -> Run:
        """Give a run as it is stored."""
        found = await self.history.read(lambda tx: tx.get(Run, run_id))
        assert found is not None
        return found

    async def tasks(self, run_id: str) -> dict[str, Task]:
        """Give the tasks of a run by path."""
        found = await self.history.read(lambda tx: tx.find(Task, Where("run_id", "=", run_id), order=Order("path")))
        return {task.path: task for task in found}

    async def until(self, holds: Callable[[], Any], timeout_s: float = 20) -> Any:
        """Wait until something holds; it may be a coroutine function."""
        async with asyncio.timeout(timeout_s):
            while True:
                found = holds()
                if asyncio.iscoroutine(found):
                    found = await found
                if found:
                    return found
                await asyncio.sleep(0.005)

    async def ended(self, run_id: str, timeout_s: float = 20) -> Run:
        """Wait for the end of a run."""

        async def over() -> Run | None:
            run = await self.run_of(run_id)
            return run if run.state in ENDED and not run.asked else None

        found = await self.until(over, timeout_s)
        assert isinstance(found, Run)
        return found

    def end_pod(self, pod: Object, status: Mapping[str, Any]) -> None:
        """End a Pod by hand."""
        self.cluster.status(POD, name_of(pod), self.namespace, status)

    def pods(self) -> list[Object]:
        """Give the Pods that are there."""
        return self.cluster.all(POD)

    async def _run_agent(self) -> None:
        while True:
            for pod in self.pods():
                if metadata_of(pod)["uid"] not in self.seen:
                    self.seen.add(metadata_of(pod)["uid"])
                    self._carry_out(pod)
            await asyncio.sleep(0.001)

    def _carry_out(self, pod: Object) -> None:
        path = str(annotations_of(pod)[PATH])
        self.begun.append(path)
        arguments = pod["spec"]["containers"][0].get("args")
        given = msgspec.json.decode(arguments[0]) if arguments else {}
        act = self.behave(path, given)
        if act.parameters or act.artifacts:
            output = Path(annotations_of(pod)[ROOT], "executor_output.json")
            output.parent.mkdir(parents=True, exist_ok=True)
            told = {"parameterValues": act.parameters, "artifacts": act.artifacts}
            output.write_bytes(msgspec.json.encode(told))
        if act.status is not None:
            self.cluster.status(POD, name_of(pod), self.namespace, act.status)
