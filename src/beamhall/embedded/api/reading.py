"""Get and list: selectors, pages, continue tokens. Next: ``watching``."""

import asyncio
import base64
import binascii
from collections.abc import Callable

import msgspec

from beamhall.client.protocol import Page, Selection
from beamhall.embedded.api.core import Core, as_version
from beamhall.embedded.api.resources import Resource
from beamhall.kernel.errors import BadRequest
from beamhall.kernel.objects import Object, ReadOnlyObject, labels_of
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
        fields = field_matcher(selection.fields) if selection.fields else None
    except ValueError as error:
        raise BadRequest(f"unable to parse the selector: {error}") from error
    if selector is None:
        return fields
    if fields is None:
        return lambda obj: selector.matches(labels_of(obj))
    return lambda obj: selector.matches(labels_of(obj)) and fields(obj)


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

    async def list(self, resource: Resource, selection: Selection, limit: int, continue_: str) -> Page:
        """Give a page of objects.

        Raises:
            BadRequest: A selector or the continue token cannot be read.
            Expired: The continue token is too old.
        """
        matches = matcher_of(resource, selection)
        after, revision = _read_token(continue_) if continue_ else (None, 0)
        found: list[Object] = []
        while True:
            wanted = min(_PAGE, limit - len(found)) if limit else 0
            listing = await asyncio.to_thread(
                self._core.store.list,
                resource.name,
                selection.namespace,
                limit=wanted if matches is None else (_PAGE if limit else 0),
                after=after,
                at_revision=revision,
            )
            revision = listing.revision
            items = listing.items if matches is None else [item for item in listing.items if matches(item)]
            room = limit - len(found) if limit else len(items)
            found.extend(as_version(resource, item) for item in items[:room])
            after = listing.continue_
            if len(items) > room or (limit and len(found) >= limit and after is not None):
                return Page(found, str(revision), _token(found[-1], revision))
            if after is None:
                return Page(found, str(revision))


def _token(last: ReadOnlyObject, revision: int) -> str:
    metadata = last["metadata"]
    body = msgspec.json.encode([metadata.get("namespace") or "", metadata["name"], revision])
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def _read_token(token: str) -> tuple[tuple[str, str], int]:
    try:
        body = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        namespace, name, revision = msgspec.json.decode(body, type=tuple[str, str, int])
    except (binascii.Error, msgspec.MsgspecError, ValueError, UnicodeError) as error:
        raise BadRequest("continue key is not valid: list again without it") from error
    return (namespace, name), revision
