"""Asking again what failed for a while: a server that restarts, a disk that is full. What will not mend is raised."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from beamhall.kernel.errors import Conflict, InternalError, ServiceUnavailable, Timeout, TooManyRequests

T = TypeVar("T")

_PASSING = (ServiceUnavailable, TooManyRequests, Timeout, InternalError, Conflict)
_FIRST_S, _LONGEST_S = 0.1, 15.0


async def patiently(ask: Callable[[], Awaitable[T]], *, attempts: int = 0) -> T:
    """Ask until there is an answer, waiting longer each time.

    Args:
        ask: Asks once. It may have been carried out though it raised.
        attempts: How often at most; 0 is without end.

    Raises:
        ApiError: Whatever is no passing trouble, or the last trouble of so many attempts.
    """
    delay_s, asked = _FIRST_S, 0
    while True:
        asked += 1
        try:
            return await ask()
        except _PASSING as error:
            if asked == attempts:
                raise
            await asyncio.sleep(min(_LONGEST_S, max(delay_s, float(error.retry_after_s or 0))))
            delay_s *= 2
