"""Writes what is taken into the status of each quota, soon after it changed.

Many Pods at once make one write of the status, not one each.
"""

import asyncio

import structlog

from beamhall.embedded.api.core import Core, WriteOptions
from beamhall.embedded.api.quota.ledger import Account, Ledger
from beamhall.embedded.api.quota.usage import say
from beamhall.embedded.api.writing import Writing
from beamhall.kernel.errors import ApiError, NotFound
from beamhall.kernel.identity import ADMIN_GROUP, User
from beamhall.kernel.kinds import RESOURCE_QUOTA
from beamhall.kernel.objects import Object

_REPORTER = User("system:serviceaccount:kube-system:resourcequota-controller", (ADMIN_GROUP,))
_DELAY_S = 0.05
_RETRY_S = 1.0
_log = structlog.get_logger(__name__)


class QuotaReporter:
    """Keeps quotas' status true. ``run`` it once.

    Args:
        core: What the verbs share.
        writing: To write the status.
        ledger: What is taken.
    """

    def __init__(self, core: Core, writing: Writing, ledger: Ledger) -> None:
        self._core = core
        self._writing = writing
        self._ledger = ledger

    async def run(self) -> None:
        """Write what changed, until cancelled."""
        while True:
            await self._ledger.wake.wait()
            await asyncio.sleep(_DELAY_S)
            self._ledger.wake.clear()
            while self._ledger.changed:
                where = next(iter(self._ledger.changed))
                del self._ledger.changed[where]
                await self._report(where)

    async def _report(self, where: tuple[str, str]) -> None:
        account = self._ledger.account(*where)
        if account is None:
            return
        resource = self._core.registry.find(RESOURCE_QUOTA)
        status = status_of(account)

        def change(quota: Object) -> Object:
            quota["status"] = status
            return quota

        try:
            await self._writing.change(_REPORTER, resource, where, change, "status", WriteOptions())
        except NotFound:
            return
        except ApiError as error:
            _log.warning("quota_status_not_written", quota="/".join(where), why=error.message)
            self._ledger.changed[where] = None
            await asyncio.sleep(_RETRY_S)


def status_of(account: Account) -> Object:
    """Give the status of a quota: what it allows, and what is taken of that."""
    return {
        "hard": dict((account.quota.get("spec") or {}).get("hard") or {}),
        "used": {name: say(name, account.used[name]) for name in account.hard},
    }
