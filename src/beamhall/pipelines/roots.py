"""Where the files of a namespace's runs go, and how that is reached: ConfigMap ``kfp-launcher`` and its Secrets.

What people of a namespace say there is for that namespace alone; where they say nothing, the service's own root and
environment count. Nothing is an error before it is used: a Secret that is missing matters to who reads ``s3://``. The
Pods of steps are told the same by ``Root.env``, with references to Secrets in the place of what is in them.

Source: kubeflow/pipelines ``backend/src/v2/config`` (``env.go``, ``s3.go``, ``gcs.go``); reference "KFP", 1.6.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from beamhall.client.protocol import Client
from beamhall.kernel.clock import Clock
from beamhall.kernel.errors import BadRequest, Forbidden, NotFound
from beamhall.kernel.kinds import CONFIG_MAP
from beamhall.kernel.objects import Object
from beamhall.pipelines.providers import Provider, providers_of
from beamhall.pipelines.secrets import Secrets
from beamhall.storage import Storage, StoreOptions, locate

CONFIG_NAME = "kfp-launcher"
_FRESH_S = 10.0
_KEPT = 1_000


@dataclass(frozen=True, slots=True)
class Root:
    """Where files of a namespace's runs go.

    Attributes:
        uri: Below which runs keep their files that name no root themselves; empty: where the service says.
        storage: Reads and writes them, with what the namespace may use.
        env: Variables by which the launcher in a Pod does the same, as a container's ``env``.
    """

    uri: str
    storage: Storage
    env: Sequence[Object] = field(default=())


class Roots:
    """The roots of all namespaces. What was read is used for some seconds.

    Args:
        client: Where ConfigMaps and Secrets are.
        storage: What the service itself uses; its threads are shared.
        clock: Says how old what was read is.
    """

    def __init__(self, client: Client, storage: Storage, clock: Clock) -> None:
        self._client = client
        self._storage = storage
        self._clock = clock
        self._read: dict[str, tuple[float, Root]] = {}

    async def of(self, namespace: str) -> Root:
        """Give the root of a namespace.

        Raises:
            BadRequest: What the ConfigMap says cannot be read; the message says which field is wrong.
            ServiceUnavailable: The API cannot be asked now.
        """
        now = self._clock.monotonic()
        read_at, known = self._read.get(namespace, (0.0, None))
        if known is not None and now - read_at < _FRESH_S:
            return known
        root = await self._root(namespace)
        if len(self._read) >= _KEPT:
            self._read.clear()
        self._read[namespace] = (now, root)
        return root

    async def _root(self, namespace: str) -> Root:
        try:
            found = await self._client.get(CONFIG_MAP, CONFIG_NAME, namespace)
        except NotFound:
            return Root("", self._storage)
        data: Mapping[str, str] = found.get("data") or {}
        where = f"ConfigMap {CONFIG_NAME} in namespace {namespace}"
        uri = (data.get("defaultPipelineRoot") or "").rstrip("/")
        providers = providers_of(data.get("providers") or "", where)
        if not providers:
            return Root(uri, self._storage)
        secrets = Secrets(self._client, namespace)
        options = [await secrets.filled(provider) for provider in providers]
        storage = Storage(options, shared=self._storage)
        return Root(uri, storage, env_of(providers, namespace))


class Looking(Protocol):
    """What says whether something is there, or refuses to."""

    async def exists(self, uri: str) -> bool:
        """Tell whether a URI is there."""
        ...


async def check_root(uri: str, storage: Looking) -> None:
    """Refuse a directory of this machine that is not for runs: the service would write there for whoever asks.

    Args:
        uri: The root of a run. In a store it is not looked for: whether that can be used shows when it is.
        storage: That of the run's namespace.

    Raises:
        BadRequest: It is no URI and no absolute path, or a directory outside of those that the service uses.
    """
    if not locate(uri).is_local:
        return
    try:
        await storage.exists(uri)
    except Forbidden as error:
        mend = "name it in the setting artifact_roots, or use another pipeline root"
        said = f"pipeline root {uri} is outside of the directories that this service uses; {mend}"
        raise BadRequest(said) from error


def env_of(providers: Sequence[Provider], namespace: str) -> Sequence[Object]:
    """Give the variables that tell the launcher how stores are reached (``launcher.orders``)."""
    told, env = [], []
    for n, provider in enumerate(providers):
        told.append(_told(provider.options) | ({"from": provider.source(namespace)} if provider.secret_name else {}))
        for part, key in (("KEY", provider.key_key), ("SECRET", provider.secret_key)):
            if provider.secret_name and key:
                reference = {"name": provider.secret_name, "key": key, "optional": True}
                env.append({"name": f"BEAMHALL_STORE_{n}_{part}", "valueFrom": {"secretKeyRef": reference}})
    return [{"name": "BEAMHALL_STORES", "value": json.dumps(told)}, *env]


def _told(options: StoreOptions) -> dict[str, object]:
    plain = StoreOptions(options.scheme)
    names = ("bucket", "prefix", "endpoint", "region", "is_secure", "is_path_style", "retries")
    said = {name: getattr(options, name) for name in names if getattr(options, name) != getattr(plain, name)}
    return {"scheme": options.scheme, **said}
