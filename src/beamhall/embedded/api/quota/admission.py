"""Refuses writes that would take more than a quota allows.

Source: ``k8s.io/apiserver/pkg/admission/plugin/resourcequota``, whose words people know.
"""

from collections.abc import Mapping
from decimal import Decimal

from beamhall.embedded.api.core import Operation
from beamhall.embedded.api.quota.ledger import Account, Ledger
from beamhall.embedded.api.quota.scopes import counts
from beamhall.embedded.api.quota.usage import Usage, missing_of, say
from beamhall.kernel.errors import Forbidden
from beamhall.kernel.kinds import POD
from beamhall.kernel.objects import ReadOnlyObject, name_of, namespace_of, uid_of

_ZERO = Decimal(0)


class QuotaAdmission:
    """Asked last of all admissions, since others change what is asked for.

    Args:
        ledger: What is taken.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def admit(self, operation: Operation) -> None:
        """Let pass what fits, and hold its amounts until the write has ended.

        Raises:
            Forbidden: A quota would be exceeded, or a container does not say what a quota counts.
        """
        obj, resource = operation.object, operation.resource
        if operation.verb == "delete" or operation.subresource or not resource.kind.namespaced:
            return
        wanted = []
        for account in self._ledger.accounts_in(namespace_of(obj)):
            if resource.kind == POD and operation.verb == "create" and counts(account.quota, POD, obj):
                _require_said(account, operation)
            more = _more(account, operation)
            if more:
                _require_room(account, operation, more)
                wanted.append((account, more))
        if wanted and not operation.dry_run:
            operation.settled.append(self._ledger.reserve(wanted))


def _more(account: Account, operation: Operation) -> dict[str, Decimal]:
    """Give what the write takes beyond what its object takes already."""
    share = account.share_of(operation.resource.kind, operation.object)
    before: Usage = account.shares.get(uid_of(operation.object), {}) if operation.old is not None else {}
    return {
        name: amount - before.get(name, _ZERO) for name, amount in share.items() if amount > before.get(name, _ZERO)
    }


def _require_said(account: Account, operation: Operation) -> None:
    missing = missing_of(operation.object, account.hard)
    if missing:
        raise _forbidden(operation, f"failed quota: {name_of(account.quota)}: must specify {'; '.join(missing)}")


def _require_room(account: Account, operation: Operation, more: Mapping[str, Decimal]) -> None:
    over = sorted(name for name, amount in more.items() if account.taken(name) + amount > account.hard[name])
    if not over:
        return
    requested = ",".join(f"{name}={say(name, more[name])}" for name in over)
    used = ",".join(f"{name}={say(name, account.taken(name))}" for name in over)
    limited = ",".join(f"{name}={say(name, account.hard[name])}" for name in over)
    raise _forbidden(
        operation,
        f"exceeded quota: {name_of(account.quota)}, requested: {requested}, used: {used}, limited: {limited}",
    )


def _forbidden(operation: Operation, why: str) -> Forbidden:
    obj: ReadOnlyObject = operation.object
    resource = operation.resource
    return Forbidden(f"{resource.describe(name_of(obj))} is forbidden: {why}", details=resource.details(name_of(obj)))
