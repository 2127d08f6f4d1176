"""What a step is: a Pod, a claim to make or delete, or an artifact to import; and what can be wrong with one.

Knows nothing of how it is made, which is ``step``.
"""

from collections.abc import Mapping, Sequence

import msgspec

from beamhall.kernel.errors import UserError
from beamhall.kernel.objects import Object
from beamhall.pipelines.engine.values import ArtifactRef
from beamhall.pipelines.spec.sources import Json


class BadStep(UserError):
    """What a user gave cannot be made into a step; the message says which task, what is wrong, what would be right."""


class BadOutput(UserError):
    """A step ended well, and left behind something that is no output; the message says which, and what would be."""


class Transfers(msgspec.Struct, frozen=True):
    """What the launcher does around a step, since its files are not on this machine.

    Attributes:
        fetch: Pairs of a URI and the path where the step looks for it.
        store: Pairs of a path that the step writes to and the URI that it stands for.
    """

    fetch: Sequence[tuple[str, str]] = ()
    store: Sequence[tuple[str, str]] = ()


class Import(msgspec.Struct, frozen=True):
    """An artifact to take note of.

    Attributes:
        output: Name of the output that it becomes.
        artifact: What it is; without an id.
        reimport: Whether it becomes a new artifact even if one of the same URI, type and metadata is known.
        workspace_path: Where its bytes go first, as the Pods see it (below ``/kfp-workspace``); empty: nowhere.
    """

    output: str
    artifact: ArtifactRef
    reimport: bool = False
    workspace_path: str = ""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt. Exactly one of ``pod``, ``claim``, ``deleted_claim`` and ``imported`` says what is to be done.

    Attributes:
        name: Of its Pod or claim; the same whenever it is made again.
        root: URI of its directory; no slash at its end.
        run_root: URI of its run's directory.
        executor_input: The ExecutorInput, in JSON.
        result_files: URIs to read when its Pod has succeeded, for ``results.outputs_of``; some may not be there.
        directories: Directories of this machine that must be there before its Pod starts.
        pod: The Pod to make.
        claim: The PersistentVolumeClaim to make; its name is the output ``name``.
        deleted_claim: Name of the claim to delete; it must be there.
        imported: The artifact to import.
        deadline_s: After how many seconds it is to be stopped, 0 is never; the Pod says so itself.
        needs_workspace: Whether the run's workspace must be there before it starts (``claims.workspace_of``).
        transfers: What the launcher does, if the Pod runs it.
    """

    name: str
    root: str
    run_root: str
    executor_input: Mapping[str, Json]
    result_files: Sequence[str] = ()
    directories: Sequence[str] = ()
    pod: Object | None = None
    claim: Object | None = None
    deleted_claim: str = ""
    imported: Import | None = None
    deadline_s: int = 0
    needs_workspace: bool = False
    transfers: Transfers | None = None
