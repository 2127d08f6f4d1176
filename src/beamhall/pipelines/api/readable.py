"""Which bytes may be read through the API: those that an artifact of an allowed namespace names, where that is right.

A step may name anything as an artifact, ``/etc/passwd`` as well as what another namespace's run made, and this service
can read both. So local files must lie below the roots that are for it, links resolved, and must be of no run of another
namespace; addresses of the web, which may lead to whatever this machine reaches, are read only where a root names
them. In object stores the credentials of the namespace decide.

Source: reference "KFP", section 1.7 (isolation holes that users complain about: #4790, #4649, #8406).
"""

import os.path
from pathlib import PurePath

from beamhall.history.protocol import Reading
from beamhall.history.queries import Where
from beamhall.history.records import Artifact, Run
from beamhall.kernel.errors import Forbidden, NotFound
from beamhall.pipelines.api.access import Access
from beamhall.storage import locate

_WEB = ("http", "https")
_PARTS = 32
_LARGE = ("tasks", "state_history", "parameters", "plugins", "description", "error")


async def readable_uri(access: Access, artifact: Artifact, below: str = "") -> str:
    """Give the URI of an artifact, or of what lies below it under a relative path, if it may be read.

    Raises:
        NotFound: It has no bytes: it is a number, or its metadata alone.
        BadRequest: Its URI, or the path, cannot be read.
        Forbidden: It must not be read through the API.
    """
    if not artifact.uri:
        raise NotFound(f"artifact {artifact.id} ({artifact.name}) has no bytes: its value and metadata are all of it")
    location = locate(artifact.uri)
    if below:
        location = locate(location.below(below.strip("/")).uri)
    if location.scheme in _WEB and not any(_is_below(location.uri, root) for root in access.readable_roots):
        raise Forbidden(f"{location.uri} is not read through this service; open it yourself")
    if location.is_local:
        await access.history.read(lambda tx: _check_local(tx, access, artifact, location.path))
    return location.uri


def _is_below(place: str, root: str) -> bool:
    return place == root or place.startswith(root.rstrip("/") + "/")


def _check_local(tx: Reading, access: Access, artifact: Artifact, path: str) -> None:
    """Refuse what lies, links resolved, outside of the roots, or is another namespace's. Blocks."""
    real = os.path.realpath(path)
    roots = [os.path.realpath(root) for root in access.readable_roots if root.startswith("/")]
    if not any(_is_below(real, root) for root in roots):
        raise Forbidden(f"{path} lies outside of the directories that this service gives artifacts from")
    # The first is where runs keep their files that name no place; the service may have been told of another since.
    for own in (roots[0], os.path.realpath(access.pipeline_root)):
        if _is_below(real, own):
            _check_owner(tx, artifact, PurePath(real).relative_to(own).parts)


def _check_owner(tx: Reading, artifact: Artifact, parts: tuple[str, ...]) -> None:
    """Refuse what runs of other namespaces keep: below the root that all share, paths have the ids of runs in them."""
    if len(parts) < 3:
        raise Forbidden(f"{artifact.uri} has the files of several runs")
    runs = tx.find(Run, Where("id", "in", parts[:_PARTS]), limit=_PARTS, without=_LARGE)
    is_theirs = any(run.namespace != artifact.namespace for run in runs)
    if not runs:  # it was deleted: an artifact of another namespace may still tell whose it was
        elsewhere = Where("namespace", "!=", artifact.namespace)
        is_theirs = tx.count(Artifact, Where("uri", "=", artifact.uri), elsewhere) > 0
    if is_theirs:
        raise Forbidden(f"{artifact.uri} belongs to a run of another namespace")
