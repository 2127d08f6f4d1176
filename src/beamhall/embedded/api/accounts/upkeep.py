"""Keeps what service accounts need: the certificate authority in every namespace, tokens in Secrets that ask for one.

Work is noticed from the writes themselves; at the start, everything is looked at once. ``kube-root-ca.crt`` is put back
where somebody changed or deleted it. A Secret of type ``kubernetes.io/service-account-token`` is filled, and deleted
when its account is gone.

Source: Kubernetes "Managing Service Accounts"; ``kubernetes/pkg/controller/certificates/rootcacertpublisher``,
``kubernetes/pkg/controller/serviceaccount``.
"""

import asyncio
import base64
from typing import NamedTuple

import structlog

from beamhall.embedded.api.accounts.pod_access import AUTHORITY_NAME
from beamhall.embedded.api.core import Core, WriteOptions
from beamhall.embedded.api.deletion import DeleteOptions, Deletion
from beamhall.embedded.api.resources import Resource
from beamhall.embedded.api.tokens import ServiceAccountTokens
from beamhall.embedded.api.writing import Writing
from beamhall.kernel.errors import AlreadyExists, ApiError, Conflict, NotFound
from beamhall.kernel.identity import ADMIN_GROUP, User
from beamhall.kernel.kinds import CONFIG_MAP, NAMESPACE, SECRET, SERVICE_ACCOUNT
from beamhall.kernel.objects import (
    Object,
    ReadOnlyObject,
    annotations_of,
    is_being_deleted,
    name_of,
    namespace_of,
    uid_of,
)

DEFAULT = "default"
"""The account of Pods that name none."""

TOKEN_TYPE = "kubernetes.io/service-account-token"  # noqa: S105  a type of Secrets
ACCOUNT_NAME = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"
_KEEPER = User("system:serviceaccount:kube-system:service-account-controller", (ADMIN_GROUP,))
_DESCRIPTION = "kubernetes.io/description"
_RETRY_S = 1.0
_log = structlog.get_logger(__name__)


class _Task(NamedTuple):
    """Look at the authority of a namespace, or (with a name) at a Secret in it."""

    namespace: str
    secret: str = ""


class Upkeep:
    """Does the work. ``run`` it once.

    Args:
        core: What the verbs share.
        tokens: What makes tokens.
        authority: Certificate authority of the API (PEM); empty: the API is not reached from Pods.
    """

    def __init__(self, core: Core, tokens: ServiceAccountTokens, authority: str) -> None:
        self._core = core
        self._writing = Writing(core)
        self._deletion = Deletion(core)
        self._tokens = tokens
        self._authority = authority
        self._published: set[str] = set()
        self._todo: dict[_Task, None] = {}  # an ordered set
        self._wake = asyncio.Event()

    @property
    def gives_access(self) -> bool:
        """Whether Pods are to get access to the API."""
        return bool(self._authority)

    def account(self, namespace: str, name: str) -> Object | None:
        """Give a service account, None if there is none of that name."""
        return self._core.store.get(SERVICE_ACCOUNT.resource, namespace, name)

    async def make_default_account(self, namespace: str) -> Object:
        """Make the account of Pods that name none. Raises ``ApiError`` where the namespace is going."""
        obj: Object = {"metadata": {"name": DEFAULT, "namespace": namespace}}
        resource = self._core.registry.find(SERVICE_ACCOUNT)
        try:
            return await self._writing.create(_KEEPER, resource, obj, WriteOptions())
        except AlreadyExists:
            return self.account(namespace, DEFAULT) or obj

    # Noticing

    def written(self, resource: Resource, obj: ReadOnlyObject, *, is_gone: bool) -> None:
        """Notice what follows from a durable write."""
        kind = resource.kind
        if kind == NAMESPACE:
            if is_gone or is_being_deleted(obj):
                self._published.discard(name_of(obj))
            elif name_of(obj) not in self._published:
                self._add(_Task(name_of(obj)))
        elif kind == CONFIG_MAP and name_of(obj) == AUTHORITY_NAME:
            if is_gone or (obj.get("data") or {}).get("ca.crt") != self._authority:
                self._published.discard(namespace_of(obj))
                self._add(_Task(namespace_of(obj)))
        elif kind == SECRET and obj.get("type") == TOKEN_TYPE and not is_gone:
            self._add(_Task(namespace_of(obj), name_of(obj)))
        elif kind == SERVICE_ACCOUNT and is_gone:
            for secret in self._core.store.list(SECRET.resource, namespace_of(obj)).items:
                self.written(self._core.registry.find(SECRET), secret, is_gone=False)

    def _add(self, task: _Task) -> None:
        self._todo[task] = None
        self._wake.set()

    # Doing

    async def run(self) -> None:
        """Look at everything once, then do what is noticed, until cancelled."""
        for kind in (NAMESPACE, SECRET):
            for obj in (await asyncio.to_thread(self._core.store.list, kind.resource)).items:
                self.written(self._core.registry.find(kind), obj, is_gone=False)
        async with asyncio.TaskGroup() as retries:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._todo:
                    task = next(iter(self._todo))
                    del self._todo[task]
                    if not await self._done(task):
                        retries.create_task(self._add_later(task))

    async def _add_later(self, task: _Task) -> None:
        await asyncio.sleep(_RETRY_S)
        self._add(task)

    async def _done(self, task: _Task) -> bool:
        try:
            if task.secret:
                await self._look_at_secret(task.namespace, task.secret)
            else:
                await self.ensure_authority(task.namespace)
        except (NotFound, Conflict):
            return True  # somebody else was quicker; what they wrote is noticed
        except ApiError as error:
            _log.warning("accounts_not_kept", task=str(task), error=error.message)
            return False
        return True

    async def ensure_authority(self, namespace: str) -> None:
        """Put the certificate authority into a namespace, if it is not there."""
        if namespace in self._published or not self._authority:
            return
        found = self._core.store.get(NAMESPACE.resource, "", namespace)
        if found is None or is_being_deleted(found):
            return
        resource = self._core.registry.find(CONFIG_MAP)
        obj: Object = {
            "metadata": {
                "name": AUTHORITY_NAME,
                "namespace": namespace,
                "annotations": {_DESCRIPTION: "The certificates that the API server's own can be verified with."},
            },
            "data": {"ca.crt": self._authority},
        }
        there = self._core.store.get(CONFIG_MAP.resource, namespace, AUTHORITY_NAME)
        if there is None:
            try:
                await self._writing.create(_KEEPER, resource, obj, WriteOptions())
            except AlreadyExists:
                return
        elif there.get("data") != obj["data"]:
            await self._writing.replace(_KEEPER, resource, obj, "", WriteOptions())
        self._published.add(namespace)

    async def _look_at_secret(self, namespace: str, name: str) -> None:
        secret = self._core.store.get(SECRET.resource, namespace, name)
        if secret is None or is_being_deleted(secret):
            return
        resource = self._core.registry.find(SECRET)
        said = annotations_of(secret)
        account = self.account(namespace, said.get(ACCOUNT_NAME, ""))
        if account is None or said.get(ACCOUNT_UID, uid_of(account)) != uid_of(account):
            await self._deletion.delete(_KEEPER, resource, (namespace, name), DeleteOptions(uid=uid_of(secret)))
            return
        data = secret.get("data") or {}
        if all(data.get(key) for key in ("token", "namespace")) and said.get(ACCOUNT_UID):
            return

        def change(obj: Object) -> Object:
            obj["metadata"].setdefault("annotations", {})[ACCOUNT_UID] = uid_of(account)
            obj["data"] = {**(obj.get("data") or {}), **self._secret_data(account, name)}
            return obj

        await self._writing.change(_KEEPER, resource, (namespace, name), change, "", WriteOptions())

    def _secret_data(self, account: ReadOnlyObject, secret: str) -> dict[str, str]:
        data = {"token": self._tokens.legacy_token(account, secret), "namespace": namespace_of(account)}
        if self._authority:
            data["ca.crt"] = self._authority
        return {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
