"""Bytes by URI: local files, S3 and what speaks it, Google's store, the web, and memory for tests.

``Storage`` is what the service uses, from its event loop; ``Stores`` is the same for programs without one, such as the
launcher in a step's Pod. Nothing here knows pipelines, runs, or where credentials come from: they are given as
``StoreOptions``. Start reading at ``storage``; ``stores`` says which scheme is served by what.
"""

from beamhall.storage.locations import Location, locate
from beamhall.storage.options import StoreOptions
from beamhall.storage.protocol import Entry, Stat
from beamhall.storage.storage import Storage
from beamhall.storage.stores import Stores

__all__ = ["Entry", "Location", "Stat", "Storage", "StoreOptions", "Stores", "locate"]
