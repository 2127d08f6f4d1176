"""The ``pods/log`` subresource on this node: which file is meant, and reading it while it grows.

Must not know HTTP. The format is ``criformat``'s; the files are ``sandbox``'s.
Source: ``pkg/kubelet/kubelet_pods.go`` (``validateContainerLogStatus``) for which run is meant.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from beamhall.client.protocol import LogOptions
from beamhall.embedded.agent.criformat import LogText
from beamhall.embedded.agent.facts import containers, init_containers
from beamhall.embedded.agent.logfiles import LogReader
from beamhall.embedded.agent.pods import PodWorker
from beamhall.embedded.agent.runs import Run
from beamhall.kernel.clock import Clock, format_micro_time
from beamhall.kernel.errors import BadRequest, NotFound
from beamhall.kernel.objects import Object, ReadOnlyObject, name_of, uid_of

_NO_LOG = {
    "ErrImagePull": "trying and failing to pull image",
    "ImagePullBackOff": "image can't be pulled",
}


class Workers(Protocol):
    """Where the Pods of a node are found."""

    def worker_of(self, uid: str) -> PodWorker | None:
        """Give the worker of a Pod, if it is on this node."""
        ...

    @property
    def clock(self) -> Clock:
        """The time."""
        ...


@dataclass(slots=True)
class PodLogs:
    """Reads the logs of a node's Pods.

    Attributes:
        workers: The agent.
    """

    workers: Workers

    @asynccontextmanager
    async def open(self, pod: ReadOnlyObject, options: LogOptions) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open the log of a container for reading.

        Args:
            pod: The object.
            options: Which container, and which part of its log.

        Raises:
            BadRequest: There is no such container, or it has no log yet; the message says why.
            NotFound: The Pod is not on this node any more.
        """
        container = choose_container(pod, options.container)
        worker = self.workers.worker_of(uid_of(pod))
        if worker is None:
            if not (pod.get("spec") or {}).get("nodeName"):
                raise BadRequest(f"pod {name_of(pod)} does not have a host assigned")
            raise NotFound(f'the logs of pod "{name_of(pod)}" are no longer on its node')
        run = choose_run(pod, container, worker, previous=options.previous)
        since = ""
        if options.since_s is not None:
            since = format_micro_time(self.workers.clock.now() - timedelta(seconds=options.since_s)).rstrip("Z")
        text = LogText(options.timestamps, since, options.limit_bytes)
        if not run.sandbox.log_path.exists():  # its program could not even be started
            yield _nothing()
            return
        with LogReader(run) as reader:
            yield _read(reader, text, options)


def choose_container(pod: ReadOnlyObject, asked: str) -> str:
    """Find the container that is meant.

    Raises:
        BadRequest: There are several and none was named, or there is none of that name.
    """
    mains = [str(c["name"]) for c in containers(pod)]
    inits = [str(c["name"]) for c in init_containers(pod)]
    if asked:
        if asked not in (*mains, *inits):
            raise BadRequest(f"container {asked} is not valid for pod {name_of(pod)}")
        return asked
    if len(mains) == 1:
        return mains[0]
    extra = f" or one of the init containers: [{' '.join(inits)}]" if inits else ""
    names = " ".join(mains)
    raise BadRequest(f"a container name must be specified for pod {name_of(pod)}, choose one of: [{names}]{extra}")


def choose_run(pod: ReadOnlyObject, container: str, worker: PodWorker, *, previous: bool) -> Run:
    """Find the run that is meant: the last one, or the one before the last restart.

    Raises:
        BadRequest: There is no such run.
    """
    runs = worker.runs_of(container)
    if runs and not previous:
        return runs[-1]
    status = _container_status(worker.status(), container)
    waiting = (status.get("state") or {}).get("waiting")
    where = f'container "{container}" in pod "{name_of(pod)}"'
    if previous:
        number = runs[-1].number if runs and waiting is not None else runs[-1].number - 1 if runs else -1
        found = [run for run in runs if run.number == number]
        if not found:
            raise BadRequest(f"previous terminated {where} not found")
        return found[0]
    reason = str((waiting or {}).get("reason") or "ContainerCreating")
    raise BadRequest(f"{where} is waiting to start: {_NO_LOG.get(reason, reason)}")


def _container_status(status: Object, container: str) -> Mapping[str, Any]:
    every = [*(status.get("initContainerStatuses") or ()), *status["containerStatuses"]]
    return next((entry for entry in every if entry["name"] == container), {})


async def _read(reader: LogReader, text: LogText, options: LogOptions) -> AsyncIterator[bytes]:
    """Give the log's text from where it was asked for, and go on with what is written until the run has ended."""
    if options.tail_lines is not None:
        await reader.to_tail(options.tail_lines)
    async for block in reader.blocks(lambda: options.follow):
        if shown := text.feed(block):
            yield shown
        if text.is_full:
            break


async def _nothing() -> AsyncIterator[bytes]:
    none: tuple[bytes, ...] = ()
    for block in none:
        yield block
