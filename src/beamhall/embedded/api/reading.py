"""Get and list: selectors, pages, continue tokens. Next: ``watching``."""

import asyncio
import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from beamhall.client.protocol import Page, Selection
from beamhall.embedded.api.core import Core, as_version
from beamhall.embedded.api.list_options import EXACT, PRESENT, ListOptions, revision_in
from beamhall.embedded.api.resources import Resource
from beamhall.embedded.store.reader import Listing, Range
from beamhall.embedded.store.tables import decode, encode_whole, whole
from beamhall.kernel.errors import BadRequest, Cause, Expired, Timeout
from beamhall.kernel.objects import Object, ReadOnlyObject, labels_of, name_of, namespace_of
from beamhall.kernel.selectors import field_matcher, parse_field_selector, parse_selector

_PAGE = 500
_ALWAYS_SELECTABLE = frozenset({"metadata.name", "metadata.namespace"})

Matcher = Callable[[ReadOnlyObject], bool]


def matcher_of(resource: Resource, selection: Selection) -> Matcher | None:
    """Make the test that a selection's label and field selectors state; None if everything passes.

    Raises:
        BadRequest: A selector cannot be read, or selects on a field for which that is not served.
    """
    try:
        selector = parse_selector(selection.labels) if selection.labels else None
        for path, _, _ in parse_field_selector(selection.fields):
            if path not in _ALWAYS_SELECTABLE and path not in resource.selectable:
                allowed = ", ".join(sorted(_ALWAYS_SELECTABLE | resource.selectable))
                raise BadRequest(f'field label not supported: "{path}"; {resource.name} can be selected by {allowed}')
        fields = field_matcher(selection.fields, resource.field_places) if selection.fields else None
    except ValueError as error:
        raise BadRequest(f"unable to parse the selector: {error}") from error
    if selector is None:
        return fields
    if fields is None:
        return lambda obj: selector.matches(labels_of(obj))
    return lambda obj: selector.matches(labels_of(obj)) and fields(obj)


Write = Callable[[Object], bytes]
"""Writes an object in the form that a client wants; it may be called in any thread."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Written:
    """A page like ``client.protocol.Page``, whose objects are bytes."""

    items: Sequence[bytes]
    revision: str
    continue_: str = ""
    remaining: int | None = None


class Reading:
    """The verbs that read.

    Args:
        core: What the verbs share.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """Give an object in the resource's version. Raises ``NotFound``."""
        return as_version(resource, self._core.stored(resource, namespace, name))

    async def list(self, resource: Resource, selection: Selection, options: ListOptions = PRESENT) -> Page:
        """Give a page of objects.

        Raises:
            BadRequest: A selector, the revision or the continue token cannot be read.
            Expired: The continue token or the revision is too old.
            Timeout: The revision is one that this store has not reached.
        """
        matches = matcher_of(resource, selection)
        limit = options.limit
        start = self._start(resource, selection, options)
        if (page := self._of_one_name(resource, selection, start, matches)) is not None:
            return page
        after, revision = start.after, start.revision
        found: list[Object] = []
        while True:
            wanted = min(_PAGE, limit - len(found)) if limit else 0
            listing = await self._listing(
                resource, selection.namespace, wanted if matches is None else (_PAGE if limit else 0), after, revision,
                is_continued=bool(options.continue_),
            )  # fmt: skip
            revision = listing.revision
            items = listing.items if matches is None else [item for item in listing.items if matches(item)]
            room = limit - len(found) if limit else len(items)
            found.extend(as_version(resource, item) for item in items[:room])
            after = listing.continue_
            if len(items) > room or (limit and len(found) >= limit and after is not None):
                left = max(1, start.total - len(found))
                remaining = left if matches is None else None  # as in Kubernetes: not known where there are selectors
                return Page(found, str(revision), _token(_place_of(found[-1]), revision, left), remaining)
            if after is None:
                return Page(found, str(revision))

    def _of_one_name(
        self, resource: Resource, selection: Selection, start: "_Start", matches: Matcher | None
    ) -> Page | None:
        """List one object by its name (``kubectl get -w``, ``wait``) without reading all others; None: not possible."""
        name, store = selection.only_name, self._core.store
        has_place = bool(selection.namespace) == resource.kind.namespaced
        if not name or not has_place or start.after is not None or start.revision or not store.is_settled:
            return None
        obj = store.get(resource.name, selection.namespace, name)
        is_in = obj is not None and (matches is None or matches(obj))
        return Page([as_version(resource, obj)] if obj is not None and is_in else [], str(store.revision))

    async def _listing(
        self,
        resource: Resource,
        namespace: str,
        limit: int,
        after: tuple[str, str] | None,
        revision: int,
        *,
        is_continued: bool,
    ) -> Listing[Object]:
        return await self._read(
            Range(resource.name, namespace, limit, after, revision), decode, is_continued=is_continued
        )

    async def list_as(
        self, resource: Resource, selection: Selection, options: ListOptions, write: Write | None
    ) -> Written:
        """Give a page of objects as bytes, each written in a thread as soon as it is read.

        Long lists come so: objects that live for a moment cost no memory, and the interpreter's collector no time.

        Args:
            resource: What to list.
            selection: Which of its objects.
            options: How.
            write: Writes an object; None: as JSON, which is mostly as it is stored.

        Raises:
            ApiError: As ``list``.
        """
        matches = matcher_of(resource, selection)
        is_stored = write is None and resource.stored_api_version == resource.kind.api_version
        written = write or encode_whole
        if options.limit and matches is not None:
            page = await self.list(resource, selection, options)
            return Written([written(item) for item in page.items], page.revision, page.continue_, page.remaining)

        def read(value: bytes, revision: int) -> bytes | None:
            if is_stored and matches is None:
                return whole(value, revision)
            obj = decode(value, revision)
            if matches is not None and not matches(obj):
                return None
            return whole(value, revision) if is_stored else written(as_version(resource, obj))

        start = self._start(resource, selection, options)
        wanted = Range(resource.name, selection.namespace, options.limit, start.after, start.revision)
        found = await self._read(wanted, read, is_continued=bool(options.continue_))
        if found.continue_ is None:
            return Written(found.items, str(found.revision))
        left = max(1, start.total - len(found.items))
        return Written(found.items, str(found.revision), _token(found.continue_, found.revision, left), left)

    async def _read(self, wanted: Range, read: Callable[[bytes, int], T | None], *, is_continued: bool) -> Listing[T]:
        try:
            return await asyncio.to_thread(self._core.store.list_as, wanted, read)
        except Expired as error:
            if not is_continued:
                raise
            raise Expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new"
                f" list without the continue parameter ({error.message})"
            ) from error

    def _start(self, resource: Resource, selection: Selection, options: ListOptions) -> "_Start":
        """Find where a page begins: after the one before it, or with the state that is wanted."""
        if options.continue_:
            return _read_token(options.continue_)
        wanted, current = revision_in(options.revision), self._core.store.revision
        if wanted > current:
            raise too_large(wanted, current)
        is_exact = options.match == EXACT or (not options.match and options.limit > 0)
        total = self._core.store.count(resource.name, selection.namespace)
        return _Start(None, wanted if is_exact else 0, total)


def too_large(wanted: int, current: int) -> Timeout:
    """Make the error for a revision that is ahead of this store, as a kube-apiserver says it: clients list afresh."""
    return Timeout(
        f"Too large resource version: {wanted}, current: {current}",
        causes=[Cause("ResourceVersionTooLarge", "Too large resource version")],
        retry_after_s=1,
    )


@dataclass(frozen=True, slots=True)
class _Start:
    """Where a page begins: after (namespace, name), at a revision (0: now), with about ``total`` objects from there."""

    after: tuple[str, str] | None
    revision: int
    total: int


def _place_of(obj: ReadOnlyObject) -> tuple[str, str]:
    return namespace_of(obj), name_of(obj)


def _token(last: tuple[str, str], revision: int, left: int) -> str:
    body = msgspec.json.encode([*last, revision, left])
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def _read_token(token: str) -> _Start:
    try:
        body = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        namespace, name, revision, left = msgspec.json.decode(body, type=tuple[str, str, int, int])
    except (binascii.Error, msgspec.MsgspecError, ValueError, UnicodeError) as error:
        raise BadRequest("continue key is not valid: list again without it") from error
    return _Start((namespace, name), revision, left)
