"""Reads from a request what a list or a watch is asked for.

Source: Kubernetes API concepts, "The resourceVersion parameter" and "Streaming lists"; the words of refusals are those
of apimachinery's ``ValidateListOptions``.
"""

from collections.abc import Sequence

from beamhall.embedded.api.list_options import EXACT, NOT_OLDER_THAN, ListOptions, WatchOptions
from beamhall.embedded.api.requests import Request
from beamhall.kernel.errors import BadRequest, Cause, Invalid


def read_list_options(request: Request) -> ListOptions:
    """Read the parameters of a list.

    Raises:
        Invalid: They do not go together.
        BadRequest: One cannot be read.
    """
    query = request.query
    found = ListOptions(
        max(request.number("limit") or 0, 0),
        query.get("continue", ""),
        query.get("resourceVersion", ""),
        query.get("resourceVersionMatch", ""),
    )
    causes = []
    if found.match:
        if not found.revision:
            causes.append(_forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided"))
        if found.continue_:
            causes.append(_forbidden("resourceVersionMatch is forbidden when continue is provided"))
        if found.match not in (EXACT, NOT_OLDER_THAN):
            causes.append(_unsupported(found.match, f'"{EXACT}", "{NOT_OLDER_THAN}", ""'))
        if found.match == EXACT and found.revision == "0":
            causes.append(_forbidden('resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    if "sendInitialEvents" in query:
        causes.append(_forbidden("sendInitialEvents is forbidden for list", "sendInitialEvents"))
    _refuse_if(causes)
    if found.continue_ and found.revision not in ("", "0"):
        raise BadRequest("specifying resource version is not allowed when using continue")
    return found


def read_watch_options(request: Request) -> WatchOptions:
    """Read the parameters of a watch.

    Raises:
        Invalid: They do not go together.
    """
    query = request.query
    match = query.get("resourceVersionMatch", "")
    sends_initial = request.flag("sendInitialEvents") if "sendInitialEvents" in query else None
    causes = []
    if sends_initial is not None and match != NOT_OLDER_THAN:
        causes.append(_forbidden(f"sendInitialEvents requires setting resourceVersionMatch to {NOT_OLDER_THAN}"))
    if match:
        if sends_initial is None:
            causes.append(
                _forbidden("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
            )
        if match != NOT_OLDER_THAN:
            causes.append(_unsupported(match, f'"{NOT_OLDER_THAN}"'))
        if query.get("continue"):
            causes.append(_forbidden("resourceVersionMatch is forbidden when continue is provided"))
    _refuse_if(causes)
    return WatchOptions(query.get("resourceVersion", ""), sends_initial)


def _forbidden(message: str, field: str = "resourceVersionMatch") -> Cause:
    return Cause("FieldValueForbidden", f"Forbidden: {message}", field)


def _unsupported(value: str, supported: str) -> Cause:
    message = f'Unsupported value: "{value}": supported values: {supported}'
    return Cause("FieldValueNotSupported", message, "resourceVersionMatch")


def _refuse_if(causes: Sequence[Cause]) -> None:
    if not causes:
        return
    parts = [f"{cause.field}: {cause.message}" for cause in causes]
    text = parts[0] if len(parts) == 1 else f"[{', '.join(parts)}]"
    details = {"group": "meta.k8s.io", "kind": "ListOptions"}
    raise Invalid(f'ListOptions.meta.k8s.io "" is invalid: {text}', details=details, causes=causes)
