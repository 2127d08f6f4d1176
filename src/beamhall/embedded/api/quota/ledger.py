"""What each quota's namespace takes now, kept from the writes themselves, and what writes under way will take.

A write that was admitted but is not durable yet holds a reservation, so that many at once cannot pass a quota together.
Namespaces without quotas cost one look-up a write. Must not know HTTP; ``admission`` asks, ``reporting`` tells.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from beamhall.embedded.api.quota.scopes import counts
from beamhall.embedded.api.quota.usage import Usage, amount_of, usage_of
from beamhall.embedded.api.registry import Registry
from beamhall.embedded.api.resources import Resource
from beamhall.embedded.store.store import Store
from beamhall.kernel.kinds import EVENT, RESOURCE_QUOTA, Kind
from beamhall.kernel.objects import ReadOnlyObject, name_of, namespace_of, uid_of

_ZERO = Decimal(0)


@dataclass(slots=True)
class Account:
    """What one quota counts.

    Attributes:
        quota: The object.
        hard: What it allows, by name.
        used: What is taken, by name; only of names in ``hard``.
        shares: What each object takes of it, by uid.
        reserved: What writes under way will take beyond that, by a token of each.
    """

    quota: ReadOnlyObject
    hard: Mapping[str, Decimal]
    used: dict[str, Decimal] = field(default_factory=dict)
    shares: dict[str, Usage] = field(default_factory=dict)
    reserved: dict[object, Usage] = field(default_factory=dict)

    def share_of(self, kind: Kind, obj: ReadOnlyObject) -> dict[str, Decimal]:
        """Give what an object takes, or would take, of this quota."""
        if not counts(self.quota, kind, obj):
            return {}
        return {name: amount for name, amount in usage_of(kind, obj).items() if name in self.hard and amount}

    def put(self, uid: str, share: Usage) -> bool:
        """Book what an object takes from now on; tell whether that changed anything."""
        before = self.shares.pop(uid, {})
        if share:
            self.shares[uid] = share
        if before == share:
            return False
        for name in {*before, *share}:
            self.used[name] = self.used.get(name, _ZERO) - before.get(name, _ZERO) + share.get(name, _ZERO)
        return True

    def taken(self, name: str) -> Decimal:
        """Give how much of a resource is taken, reservations included."""
        return self.used.get(name, _ZERO) + sum((r.get(name, _ZERO) for r in self.reserved.values()), _ZERO)


class Ledger:
    """Keeps accounts of all quotas. An ``Observer``.

    Args:
        store: Where objects are.
        registry: Which kinds they are of.

    Attributes:
        changed: Accounts whose status is to be written, by (namespace, name).
        wake: Set when something is in ``changed``.
    """

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry
        self._accounts: dict[str, dict[str, Account]] = {}
        self.changed: dict[tuple[str, str], None] = {}
        self.wake = asyncio.Event()
        for quota in store.list(RESOURCE_QUOTA.resource).items:
            self._open(quota)

    def accounts_in(self, namespace: str) -> Sequence[Account]:
        """Give the accounts of a namespace's quotas, by name."""
        return [account for _, account in sorted(self._accounts.get(namespace, {}).items())]

    def account(self, namespace: str, name: str) -> Account | None:
        """Give the account of one quota."""
        return self._accounts.get(namespace, {}).get(name)

    def reserve(self, wanted: Iterable[tuple[Account, Usage]]) -> Callable[[], None]:
        """Hold amounts until the returned function is called, which is when the write has ended either way."""
        held = [(account, dict(share)) for account, share in wanted]
        token = object()
        for account, share in held:
            account.reserved[token] = share

        def let_go() -> None:
            for account, _ in held:
                account.reserved.pop(token, None)

        return let_go

    def written(self, resource: Resource, obj: ReadOnlyObject, *, is_gone: bool) -> None:
        """Book a durable write."""
        namespace = namespace_of(obj)
        accounts = self._accounts.get(namespace)
        if accounts:
            for name, account in accounts.items():
                share = {} if is_gone else account.share_of(resource.kind, obj)
                if account.put(uid_of(obj), share):
                    self._note(namespace, name)
        if resource.kind == RESOURCE_QUOTA:
            self._follow(obj, is_gone=is_gone)

    def _follow(self, quota: ReadOnlyObject, *, is_gone: bool) -> None:
        namespace, name = namespace_of(quota), name_of(quota)
        if is_gone:
            self._accounts.get(namespace, {}).pop(name, None)
            if not self._accounts.get(namespace):
                self._accounts.pop(namespace, None)
            return
        known = self.account(namespace, name)
        if known is None or known.quota.get("spec") != quota.get("spec"):
            self._open(quota)
        else:
            known.quota = quota

    def _open(self, quota: ReadOnlyObject) -> None:
        """Begin an account: count everything that is there now."""
        namespace = namespace_of(quota)
        hard = {name: amount_of(text) for name, text in ((quota.get("spec") or {}).get("hard") or {}).items()}
        account = Account(quota, hard, dict.fromkeys(hard, _ZERO))
        for name in self._store.resources():
            resource = self._registry.stored_as(name)
            if resource is None or not resource.kind.namespaced or resource.kind == EVENT:
                continue
            for obj in self._store.list(name, namespace).items:
                account.put(uid_of(obj), account.share_of(resource.kind, obj))
        self._accounts.setdefault(namespace, {})[name_of(quota)] = account
        self._note(namespace, name_of(quota))

    def _note(self, namespace: str, name: str) -> None:
        self.changed[(namespace, name)] = None
        self.wake.set()
