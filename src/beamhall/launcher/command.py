"""The step's own command, run as if it were alone."""

import signal
import subprocess
from collections.abc import Mapping, Sequence

from beamhall.kernel.errors import UserError

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def run(command: Sequence[str], env: Mapping[str, str]) -> int:
    """Run a command to its end. Signals that would end it reach it, and not the launcher.

    Returns:
        Its exit code; 128 + n where signal n ended it.

    Raises:
        UserError: There is no such program, or it cannot be run.
    """
    waiting: list[int] = []
    before = {number: signal.signal(number, lambda got, _: waiting.append(got)) for number in _FORWARDED}
    try:
        with subprocess.Popen(command, env=dict(env)) as process:
            for number in _FORWARDED:
                signal.signal(number, lambda got, _: process.send_signal(got))
            for got in waiting:
                process.send_signal(got)
            code = process.wait()
    except OSError as error:
        raise UserError(f"cannot run {command[0]!r}: {error.strerror or error}") from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code
