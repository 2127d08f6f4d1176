"""Reaching into the Pods of this node: the ``exec``, ``attach`` and ``portforward`` subresources.

Which run of which container is meant is decided as for logs. Must not know HTTP. Next: ``processes``, ``attached``.
Source: ``pkg/kubelet/kubelet_pods.go`` (``GetExec``, ``GetPortForward``).
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from beamhall.client.protocol import ExecOptions, RemoteProcess
from beamhall.embedded.agent.attached import attached
from beamhall.embedded.agent.facts import containers, init_containers
from beamhall.embedded.agent.logs import Workers, choose_container
from beamhall.embedded.agent.pods import PodWorker
from beamhall.embedded.agent.processes import run_beside
from beamhall.embedded.agent.runs import Run
from beamhall.embedded.agent.sandbox import Sandboxes, StartFailed
from beamhall.kernel.errors import BadRequest, InternalError, NotFound
from beamhall.kernel.objects import ReadOnlyObject, name_of, uid_of

_CONNECT_LIMIT_S = 30.0


@dataclass(slots=True)
class PodStreams:
    """Reaches into a node's Pods.

    Attributes:
        workers: The agent.
        sandboxes: Starts commands.
    """

    workers: Workers
    sandboxes: Sandboxes

    def check(self, pod: ReadOnlyObject, container: str) -> None:
        """See whether a container runs.

        Raises:
            BadRequest: There is no such container, several and none was named, or the Pod is on no node yet.
            NotFound: It does not run.
        """
        self._running(pod, container)

    @asynccontextmanager
    async def exec(self, pod: ReadOnlyObject, options: ExecOptions) -> AsyncIterator[RemoteProcess]:
        """Run a command in a container for as long as the context is open. Raises as ``check``."""
        run = self._running(pod, options.container)
        try:
            async with run_beside(self.sandboxes, run.sandbox, options) as process:
                yield process
        except StartFailed as failure:
            if failure.stage == "gone":
                raise _not_found(choose_container(pod, options.container)) from failure
            raise InternalError(f"error executing command in container: {failure.message}") from failure

    @asynccontextmanager
    async def attach(self, pod: ReadOnlyObject, options: ExecOptions) -> AsyncIterator[RemoteProcess]:
        """Follow the output of a container's program, for as long as the context is open. Raises as ``check``."""
        run = self._running(pod, options.container)
        name = choose_container(pod, options.container)
        container = next(c for c in (*containers(pod), *init_containers(pod)) if c["name"] == name)
        async with attached(run, container, stdin=options.stdin) as process:
            yield process

    async def connect(self, pod: ReadOnlyObject, port: int) -> socket.socket:
        """Open a connection to a port of the Pod.

        Raises:
            OSError: Nothing listens there, or the connection is refused.
            BadRequest: The Pod is on no node yet, or has ended.
        """
        worker = self._worker(pod)
        address = str((worker.status()).get("podIP") or "")
        if not address or not worker.is_running:
            raise BadRequest(f"unable to forward port because pod is not running. Current status={_phase(worker)}")
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            async with asyncio.timeout(_CONNECT_LIMIT_S):
                await asyncio.get_running_loop().sock_connect(connection, (address, port))
        except (OSError, TimeoutError):
            connection.close()
            raise
        return connection

    def _running(self, pod: ReadOnlyObject, container: str) -> Run:
        name = choose_container(pod, container)
        runs = self._worker(pod).runs_of(name)
        if not runs or runs[-1].sandbox.exit is not None:
            raise _not_found(name)
        return runs[-1]

    def _worker(self, pod: ReadOnlyObject) -> PodWorker:
        worker = self.workers.worker_of(uid_of(pod))
        if worker is not None:
            return worker
        if not (pod.get("spec") or {}).get("nodeName"):
            raise BadRequest(f"pod {name_of(pod)} does not have a host assigned")
        raise NotFound(f'pod "{name_of(pod)}" is no longer on its node')


def _not_found(container: str) -> NotFound:
    return NotFound(f'container not found ("{container}")')


def _phase(worker: PodWorker) -> str:
    return str(worker.status().get("phase") or "Pending")
