"""A command in a running container, beside its program, as the service sees it. Made by ``Sandboxes.execute``.

Knows no streams and no Pods. Next: ``child.execution`` is the process that keeps it; ``exec`` runs one to its end.
"""

from collections.abc import Sequence
from typing import Any

from beamhall.embedded.agent.sandbox.child import record
from beamhall.embedded.agent.sandbox.sandbox import Sandbox
from beamhall.embedded.agent.sandbox.specification import TERMINAL, StartFailed
from beamhall.embedded.agent.sandbox.zygotes import Answers


class Command:
    """A command that was started.

    Args:
        answers: What its keeper tells.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._code: int | None = None

    async def started(self) -> None:
        """Wait until its program runs.

        Raises:
            StartFailed: It cannot be started, or the container has ended.
        """
        answer = await self._answers.next()
        if answer is None:
            raise StartFailed("service", "the process that was to keep the command died; try again")
        if "stage" in answer:
            raise StartFailed(str(answer["stage"]), str(answer["message"]))

    def fileno(self) -> int:
        """Give what becomes readable when it has ended."""
        return self._answers.fileno()

    def has_ended(self) -> bool:
        """Tell whether it has ended; ``wait`` then gives its exit code at once."""
        return self._code is not None or self._answers.is_next_here()

    async def wait(self) -> int:
        """Wait until it has ended; what it started may go on until the container ends. For one caller at a time.

        Returns:
            Its exit code; 128+n for signal n, 137 if its keeper was killed.
        """
        if self._code is None:
            answer = await self._answers.next()
            self._code = int(answer["code"]) if answer else 137
        return self._code

    def hang_up(self) -> None:
        """Forget it. If it has not ended, it is killed with everything that it started."""
        self._answers.close()


def order_beside(sandbox: Sandbox, argv: Sequence[str], *, tty: bool) -> dict[str, Any]:
    """Write the order for a command in a container: that of the container, with another command line. Blocks.

    Raises:
        StartFailed: The container does not run, or its order is not on disk.
    """
    started = sandbox.started
    if sandbox.exit is not None or started is None:
        raise StartFailed("gone", "the container is not running")
    order = record.read(str(sandbox.directory), record.ORDER)
    if order is None:
        raise StartFailed("service", f"{sandbox.directory / record.ORDER} cannot be read; restart the container")
    env: Any = order["env"]
    if tty:
        env = {"TERM": TERMINAL, **env}
    return {**order, "argv": list(argv), "env": env, "warm": None, "beside": {**started, "tty": tty}}
