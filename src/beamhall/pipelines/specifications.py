"""Specifications as they are kept: once each, named by the digest of their text, and checked once in a service's life.

Reading and checking are Python's work for up to some seconds, so they are done on a thread; what was checked is kept
while its texts stay within a limit, so that runs of a pipeline that was run lately cost next to nothing. What a
specification means is told in ``spec``; how users send one, in ``packages`` and ``api``.
"""

import asyncio
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from beamhall.history.history import History
from beamhall.history.protocol import Writing
from beamhall.history.queries import Where
from beamhall.history.records import AnyRecord, PipelineVersion, RecurringRun, Run, Specification
from beamhall.kernel.errors import NotFound
from beamhall.pipelines.spec.checking import checked_pipeline
from beamhall.pipelines.spec.ir import Pipeline
from beamhall.pipelines.spec.reading import parts_of
from beamhall.pipelines.spec.sources import Json

KEPT_BYTES = 2 * 1024 * 1024
"""Texts of specifications whose checked form is kept at hand; that form takes several times as much."""

_USERS: tuple[type[AnyRecord], ...] = (PipelineVersion, Run, RecurringRun)


class Checked(msgspec.Struct, frozen=True):
    """A specification in which nothing is wrong.

    Attributes:
        digest: Names its text.
        body: Its text, JSON: the specification, or an object of ``pipeline_spec`` and ``platform_spec``.
        pipeline: What it means.
    """

    digest: str
    body: str
    pipeline: Pipeline


class Specifications:
    """Checks specifications, and remembers which it has checked.

    Args:
        kept_bytes: How large the texts of those may be together that are remembered.
    """

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._limit = kept_bytes
        self._size = 0
        self._known: OrderedDict[str, Checked] = OrderedDict()
        self._lock = threading.Lock()

    async def checked(self, documents: Json) -> Checked:
        """Check a specification, in any of the forms that ``spec.reading.read_pipeline`` takes.

        Raises:
            BadSpecification: Something is wrong; the message says where.
        """
        return await asyncio.to_thread(self._checked, documents)

    async def stored(self, history: History, digest: str) -> Checked:
        """Give a specification that is kept.

        Raises:
            NotFound: There is none of this digest.
            BadSpecification: It was kept by a Beamhall that allowed what this one does not.
        """
        known = self._recall(digest)
        if known is not None:
            return known
        found = await history.read(lambda tx: tx.get(Specification, digest))
        if found is None:
            raise NotFound(f"the specification {digest} is not kept any more")
        return await asyncio.to_thread(self._check, digest, found.body)

    def _checked(self, documents: Json) -> Checked:
        spec, platform = parts_of(documents)
        kept = {"pipeline_spec": spec, "platform_spec": platform} if platform else spec
        body = msgspec.json.encode(kept)
        digest = hashlib.sha256(body).hexdigest()
        return self._recall(digest) or self._check(digest, body.decode())

    def _check(self, digest: str, body: str) -> Checked:
        made = Checked(digest, body, checked_pipeline(msgspec.json.decode(body)))
        with self._lock:
            if digest not in self._known:
                self._known[digest] = made
                self._size += len(body)
            while self._size > self._limit:
                _, dropped = self._known.popitem(last=False)
                self._size -= len(dropped.body)
        return made

    def _recall(self, digest: str) -> Checked | None:
        with self._lock:
            if digest in self._known:
                self._known.move_to_end(digest)
            return self._known.get(digest)


def keep(tx: Writing, checked: Checked) -> None:
    """Write a specification down; in the transaction that writes what uses it."""
    if not tx.count(Specification, Where("id", "=", checked.digest)):
        tx.add(Specification(id=checked.digest, namespace="", body=checked.body))


def drop_unused(tx: Writing, digests: Iterable[str]) -> None:
    """Remove the specifications that nothing uses any more; in the transaction that removed their users."""
    for digest in set(digests):
        if not any(tx.count(kind, Where("spec_digest", "=", digest)) for kind in _USERS):
            tx.remove(Specification, Where("id", "=", digest))
