"""What the API server asks of whoever runs Pods: a command in one, its program's streams, a connection to a port.

The node agent implements it; nothing here imports the agent. Next: ``remote`` serves these to clients.
"""

import socket
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from beamhall.client.protocol import ExecOptions, RemoteProcess
from beamhall.kernel.objects import ReadOnlyObject


class PodStreams(Protocol):
    """Reaches into running Pods."""

    def check(self, pod: ReadOnlyObject, container: str) -> None:
        """See whether a container runs.

        Raises:
            BadRequest: There is no such container, several and none was named, or the Pod is on no node yet.
            NotFound: It does not run.
        """
        ...

    def exec(self, pod: ReadOnlyObject, options: ExecOptions) -> AbstractAsyncContextManager[RemoteProcess]:
        """Run a command in a container. Raises as ``check`` on entering."""
        ...

    def attach(self, pod: ReadOnlyObject, options: ExecOptions) -> AbstractAsyncContextManager[RemoteProcess]:
        """Follow the output of a container's own program, and write to its input. Raises as ``check`` on entering."""
        ...

    async def connect(self, pod: ReadOnlyObject, port: int) -> socket.socket:
        """Open a connection to a port of the Pod; non-blocking, and the caller's to close.

        Raises:
            OSError: Nothing listens there, or the connection is refused.
            BadRequest: The Pod is on no node yet, or has ended.
        """
        ...
