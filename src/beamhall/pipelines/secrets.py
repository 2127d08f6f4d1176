"""Credentials of stores, out of Secrets. They go into ``StoreOptions``, which shows none of them, and nowhere else."""

import base64
import binascii
from dataclasses import replace

from beamhall.client.protocol import Client
from beamhall.kernel.errors import NotFound
from beamhall.kernel.kinds import SECRET
from beamhall.kernel.objects import Object
from beamhall.pipelines.providers import Provider
from beamhall.storage import StoreOptions


class Secrets:
    """The Secrets of a namespace, each read once.

    Args:
        client: Where they are.
        namespace: Which namespace.
    """

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._known: dict[str, Object | None] = {}

    async def filled(self, provider: Provider) -> StoreOptions:
        """Give options with their credentials, or with what is wrong with them, to be said when they are used."""
        if not provider.secret_name:
            return provider.options
        found = await self._secret(provider.secret_name)
        if found is None:
            problem = f"there is no {provider.source(self._namespace)}, which has its credentials"
            return replace(provider.options, problem=problem)
        try:
            key, secret = _value(found, provider.key_key), _value(found, provider.secret_key)
        except (KeyError, binascii.Error, UnicodeDecodeError):
            problem = f"{provider.source(self._namespace)} does not have its credentials"
            return replace(provider.options, problem=problem)
        return replace(provider.options, key=key, secret=secret)

    async def _secret(self, name: str) -> Object | None:
        if name not in self._known:
            try:
                self._known[name] = await self._client.get(SECRET, name, self._namespace)
            except NotFound:
                self._known[name] = None
        return self._known[name]


def _value(secret: Object, key: str) -> str:
    return base64.b64decode(secret["data"][key], validate=True).decode().strip() if key else ""
