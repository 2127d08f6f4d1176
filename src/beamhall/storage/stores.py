"""Which store serves which URI. File systems are kept between uses, one for each way of reaching a store.

Blocking; ``Storage`` is the same for an event loop.
"""

import importlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from beamhall.kernel.errors import BadRequest, Forbidden
from beamhall.storage.local import LocalStore
from beamhall.storage.locations import Location
from beamhall.storage.options import StoreOptions, options_for
from beamhall.storage.protocol import Store

_ADAPTERS = {"s3": "s3", "minio": "s3", "gs": "gs", "memory": "memory"}
_WEB = ("http", "https")
_SERVED = "s3://, minio://, gs://, http(s):// or an absolute path"
_KEPT = 16


class Pool:
    """File systems by how their stores are reached; those that were used last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stores: OrderedDict[StoreOptions, Store] = OrderedDict()

    def store(self, options: StoreOptions) -> Store:
        """Give the store that is reached so.

        Raises:
            BadRequest: What its scheme needs is not installed, or nothing serves it.
        """
        with self._lock:
            store = self._stores.pop(options, None) or _made(options)
            self._stores[options] = store
            while len(self._stores) > _KEPT:
                self._stores.popitem(last=False)
            return store


class Stores:
    """The stores that somebody may use.

    Args:
        options: How they are reached; the first that is for a place counts.
        local_roots: Directories of this machine that may be used; empty: all that this process may.
        pool: Where file systems are kept; None: a pool of its own.
    """

    def __init__(
        self, options: Sequence[StoreOptions] = (), local_roots: Sequence[Path] = (), pool: Pool | None = None
    ) -> None:
        self.options = tuple(options)
        self.local = LocalStore(local_roots)
        self.pool = pool or Pool()

    def of(self, location: Location) -> Store:
        """Give the store that serves a place.

        Raises:
            BadRequest: Nothing serves its scheme, or what does is not installed.
            Forbidden: Its credentials are not where they are said to be.
        """
        if location.is_local:
            return self.local
        options = options_for(location, self.options)
        if options.problem:
            raise Forbidden(f"{location.uri}: {options.problem}")
        return self.pool.store(options)


def _made(options: StoreOptions) -> Store:
    if options.scheme in _WEB:
        web: Store = importlib.import_module("beamhall.storage.web").WebStore()
        return web
    if options.scheme not in _ADAPTERS:
        raise BadRequest(f"{options.scheme}:// is not served; use {_SERVED}")
    adapter = getattr(importlib.import_module("beamhall.storage.adapters"), _ADAPTERS[options.scheme])
    remote: Store = importlib.import_module("beamhall.storage.remote").RemoteStore(adapter(options))
    return remote
