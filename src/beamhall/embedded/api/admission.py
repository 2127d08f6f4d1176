"""Admission that is always on: what a write gets from other objects before it is validated, and what refuses it.

Next: ``priorities`` (PriorityClass), ``limits`` (LimitRange), ``quota`` (ResourceQuota), which is asked last, once
it is settled what is asked for.
"""

from collections.abc import Sequence

from beamhall.embedded.api.core import Admission
from beamhall.embedded.api.limits import LimitRanger
from beamhall.embedded.api.storage import StorageAdmission
from beamhall.embedded.store.store import Store


def standard_admissions(store: Store) -> Sequence[Admission]:
    """Give what is always asked before a write, in order."""
    return (StorageAdmission(store), LimitRanger(store))
