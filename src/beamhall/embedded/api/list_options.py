"""What a list or a watch may be asked for, beside the selection: pages, revisions, objects that come first.

Must not know HTTP; ``list_parameters`` reads these from a request.
Source: Kubernetes API concepts, "The resourceVersion parameter" and "Streaming lists".
"""

from dataclasses import dataclass

from beamhall.kernel.errors import BadRequest

EXACT = "Exact"
NOT_OLDER_THAN = "NotOlderThan"


@dataclass(frozen=True, slots=True)
class ListOptions:
    """How a list is wanted.

    Attributes:
        limit: At most so many objects; 0: all.
        continue_: Go on after the page that gave this.
        revision: A resourceVersion as the client gave it; empty or ``0``: the present state.
        match: ``Exact``: the state at that revision; ``NotOlderThan``: at it or later; empty: ``Exact`` where there is
            a limit, else ``NotOlderThan``.
    """

    limit: int = 0
    continue_: str = ""
    revision: str = ""
    match: str = ""


PRESENT = ListOptions()
"""Everything, as it is now."""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """How a watch is wanted.

    Attributes:
        revision: Changes after this; empty or ``0``: from the present state on.
        sends_initial: Whether all objects come first; None: where no revision is given.
    """

    revision: str = ""
    sends_initial: bool | None = None


def revision_in(text: str) -> int:
    """Read a resourceVersion; empty is 0.

    Raises:
        BadRequest: It is no number.
    """
    if text and not (text.isdecimal() and text.isascii() and len(text) < 19):
        raise BadRequest(f"resourceVersion {text!r} is not valid: use that of a list or of an object")
    return int(text or 0)
