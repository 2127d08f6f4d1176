"""What the launcher is told, by variables of its environment. Who makes the Pod sets them; the step never sees them.

``BEAMHALL_TRANSFERS`` holds ``{"fetch": [[URI, path], ...], "store": [[path, URI], ...]}``, ``BEAMHALL_STORES`` a list
of how stores are reached: the fields of ``StoreOptions`` but for its credentials. Those of the n-th one are in
``BEAMHALL_STORE_<n>_KEY`` and ``BEAMHALL_STORE_<n>_SECRET``, which come from the Secret that its ``from`` names.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beamhall.kernel.errors import UserError
from beamhall.storage import StoreOptions

TRANSFERS = "BEAMHALL_TRANSFERS"
STORES = "BEAMHALL_STORES"
CREDENTIALS = "BEAMHALL_STORE_"


@dataclass(frozen=True, slots=True)
class Orders:
    """What is to be done.

    Attributes:
        command: The step's own command line.
        env: Its variables.
        fetch: Pairs of a URI and the path where the step looks for it.
        store: Pairs of a directory that the step writes to, and the URI that it stands for.
        options: How stores are reached.
    """

    command: Sequence[str]
    env: Mapping[str, str]
    fetch: Sequence[tuple[str, str]]
    store: Sequence[tuple[str, str]]
    options: Sequence[StoreOptions]


def orders_of(arguments: Sequence[str], environ: Mapping[str, str]) -> Orders:
    """Read what is to be done.

    Raises:
        UserError: It cannot be read, or credentials are missing.
    """
    if list(arguments[:1]) != ["--"] or len(arguments) < 2:
        raise UserError("usage: beamhall-launcher -- COMMAND ARGUMENT...")
    try:
        transfers = json.loads(environ[TRANSFERS])
        fetch = [(str(uri), str(path)) for uri, path in transfers["fetch"]]
        store = [(str(path), str(uri)) for path, uri in transfers["store"]]
        stores: list[dict[str, Any]] = json.loads(environ.get(STORES) or "[]")
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"variable {TRANSFERS} or {STORES} does not say what to do: {error!r}") from error
    options = [_options(n, told, environ) for n, told in enumerate(stores)]
    env = {name: value for name, value in environ.items() if not _is_ours(name)}
    return Orders(arguments[1:], env, fetch, store, options)


def _options(n: int, told: Mapping[str, Any], environ: Mapping[str, str]) -> StoreOptions:
    fields = {name: value for name, value in told.items() if name != "from"}
    key, secret = (environ.get(f"{CREDENTIALS}{n}_{part}", "") for part in ("KEY", "SECRET"))
    if told.get("from") and not secret:
        raise UserError(f"there are no credentials for {told['scheme']}:// in {told['from']}")
    try:
        return StoreOptions(**fields, key=key, secret=secret)
    except TypeError as error:
        raise UserError(f"variable {STORES} does not say how stores are reached: {error}") from error


def _is_ours(name: str) -> bool:
    return name in (TRANSFERS, STORES) or name.startswith(CREDENTIALS)
