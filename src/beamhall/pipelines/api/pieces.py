"""Answers that are sent in pieces, of which the first was read before: an error then has an answer of its own."""

from collections.abc import AsyncIterator


async def after(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Give a piece, unless it is empty, and those that follow."""
    if first:
        yield first
    async for piece in rest:
        yield piece
