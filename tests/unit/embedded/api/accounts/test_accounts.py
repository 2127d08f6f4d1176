"""Whose Pod it is, how it reaches the API, and what is kept for that in every namespace."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from beamhall.client.local import LocalClient
from beamhall.embedded.api.core import WriteOptions
from beamhall.embedded.api.factory import Api, Identity, create_resource_api
from beamhall.embedded.store.store import Store
from beamhall.kernel.errors import Forbidden, Invalid, NotFound
from beamhall.kernel.identity import SERVICE_ACCOUNT_DIRECTORY as MOUNT_PATH
from beamhall.kernel.kinds import CONFIG_MAP, NAMESPACE, POD, SECRET, SERVICE_ACCOUNT
from beamhall.kernel.objects import Object, uid_of
from tests.unit.embedded.api.conftest import ADMIN, StandingClock, pod, until

AUTHORITY = "-----BEGIN CERTIFICATE-----\n"


@pytest.fixture
async def api(tmp_path: Path, clock: StandingClock) -> AsyncIterator[Api]:
    """An API that Pods can reach."""
    store = await Store.open(tmp_path / "objects.db")
    try:
        api = create_resource_api(store, clock, Random(1), identity=Identity(authority=AUTHORITY))
        async with asyncio.TaskGroup() as parts:
            running = parts.create_task(api.run())
            await until(lambda: store.get("namespaces", "", "kube-node-lease"))
            yield api
            running.cancel()
    finally:
        await store.close()


def mounts(container: Object) -> list[tuple[str, str]]:
    return [(mount["name"], mount["mountPath"]) for mount in container.get("volumeMounts") or ()]


async def account(client: LocalClient, name: str = "worker", **fields: Any) -> Object:
    return await client.create(SERVICE_ACCOUNT, {"metadata": {"name": name, "namespace": "default"}, **fields})


def of_account(name: str, **spec: Any) -> Object:
    made = pod()
    made["spec"] |= {"serviceAccountName": name, **spec}
    return made


async def test_a_pod_is_the_default_accounts_though_nobody_has_made_it(client: LocalClient) -> None:
    await client.create(NAMESPACE, {"metadata": {"name": "new"}})
    made = await client.create(POD, {**pod(), "metadata": {"name": "p", "namespace": "new"}})
    assert made["spec"]["serviceAccountName"] == "default"
    assert await client.get(SERVICE_ACCOUNT, "default", "new")
    authority = await client.get(CONFIG_MAP, "kube-root-ca.crt", "new")
    assert authority["data"] == {"ca.crt": AUTHORITY}


async def test_a_pod_of_no_account_is_refused(client: LocalClient) -> None:
    with pytest.raises(Forbidden) as caught:
        await client.create(POD, of_account("nobody"))
    assert caught.value.message == (
        'pods "p" is forbidden: error looking up service account default/nobody: serviceaccount "nobody" not found'
    )


async def test_a_pod_gets_a_token_where_libraries_look(client: LocalClient) -> None:
    spec = pod()["spec"] | {"initContainers": [{"name": "first", "image": "python"}]}
    made = await client.create(POD, {**pod(), "spec": spec})
    (volume,) = made["spec"]["volumes"]
    assert volume["name"] == f"kube-api-access-{uid_of(made)[:5]}"
    token, authority, namespace = volume["projected"]["sources"]
    assert token == {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
    assert authority["configMap"] == {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    assert namespace["downwardAPI"]["items"][0]["fieldRef"]["fieldPath"] == "metadata.namespace"
    for container in (*made["spec"]["initContainers"], *made["spec"]["containers"]):
        assert container["volumeMounts"] == [{"name": volume["name"], "readOnly": True, "mountPath": MOUNT_PATH}]


@pytest.mark.parametrize(
    ("of_pod", "of_the_account", "has_token"),
    [(None, None, True), (None, False, False), (True, False, True), (False, True, False), (None, True, True)],
)
async def test_pod_and_account_say_whether(
    client: LocalClient, of_pod: Any, of_the_account: Any, has_token: bool
) -> None:
    fields = {} if of_the_account is None else {"automountServiceAccountToken": of_the_account}
    await account(client, **fields)
    made = await client.create(
        POD, of_account("worker", **({} if of_pod is None else {"automountServiceAccountToken": of_pod}))
    )
    assert bool(made["spec"].get("volumes")) is has_token
    assert bool(mounts(made["spec"]["containers"][0])) is has_token


async def test_what_a_pod_mounts_there_itself_stays(client: LocalClient) -> None:
    own = {"name": "own", "mountPath": MOUNT_PATH}
    containers = [
        {"name": "a", "image": "python", "volumeMounts": [own]},
        {"name": "b", "image": "python", "volumeMounts": [{"name": "own", "mountPath": "/elsewhere"}]},
    ]
    made = await client.create(
        POD, of_account("default", containers=containers, volumes=[{"name": "own", "emptyDir": {}}])
    )
    first, second = made["spec"]["containers"]
    assert mounts(first) == [("own", MOUNT_PATH)]
    assert [path for _, path in mounts(second)] == ["/elsewhere", MOUNT_PATH]
    only = await client.create(POD, {
        **of_account("default", containers=containers[:1], volumes=[{"name": "own", "emptyDir": {}}]),
        "metadata": {"name": "q", "namespace": "default"},
    })  # fmt: skip
    assert [volume["name"] for volume in only["spec"]["volumes"]] == ["own"]


async def test_pull_secrets_come_from_the_account_if_the_pod_names_none(client: LocalClient) -> None:
    await account(client, imagePullSecrets=[{"name": "registry"}])
    made = await client.create(POD, of_account("worker"))
    assert made["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    own = of_account("worker", imagePullSecrets=[{"name": "own"}])
    own["metadata"]["name"] = "q"
    assert (await client.create(POD, own))["spec"]["imagePullSecrets"] == [{"name": "own"}]


async def test_a_dry_run_makes_nothing(api: Api, client: LocalClient) -> None:
    await api.create(ADMIN, POD, pod(), options=WriteOptions(dry_run=True))
    with pytest.raises(NotFound):
        await client.get(SERVICE_ACCOUNT, "default", "default")


async def test_the_authority_is_in_every_namespace_and_comes_back(api: Api, client: LocalClient) -> None:
    def published(namespace: str) -> bool:
        found = api.core.store.get("configmaps", namespace, "kube-root-ca.crt")
        return found is not None and found["data"] == {"ca.crt": AUTHORITY}

    await until(lambda: published("kube-system"))
    await client.create(NAMESPACE, {"metadata": {"name": "new"}})
    await until(lambda: published("new"))
    await client.patch(CONFIG_MAP, "kube-root-ca.crt", "new", {"data": {"ca.crt": "another"}})
    await until(lambda: published("new"))
    await client.delete(CONFIG_MAP, "kube-root-ca.crt", "new")
    await until(lambda: published("new"))
    await client.delete(NAMESPACE, "new")
    await until(lambda: api.core.store.get("namespaces", "", "new") is None)
    assert api.core.store.get("configmaps", "new", "kube-root-ca.crt") is None


def token_secret(account_name: str = "worker", **annotations: str) -> Object:
    said = {"kubernetes.io/service-account.name": account_name, **annotations}
    return {
        "metadata": {"name": "s", "namespace": "default", "annotations": {k: v for k, v in said.items() if v}},
        "type": "kubernetes.io/service-account-token",
    }


async def test_a_secret_that_asks_for_a_token_gets_one(api: Api, client: LocalClient) -> None:
    made = await account(client)
    await client.create(SECRET, token_secret())
    found = await until(lambda: _filled(api))
    data = {key: base64.b64decode(value).decode() for key, value in found["data"].items()}
    assert (data["namespace"], data["ca.crt"]) == ("default", AUTHORITY)
    assert found["metadata"]["annotations"]["kubernetes.io/service-account.uid"] == uid_of(made)
    user = api.tokens.user_of(data["token"])
    assert user is not None
    assert user.name == "system:serviceaccount:default:worker"
    await client.delete(SERVICE_ACCOUNT, "worker", "default")
    assert api.tokens.user_of(data["token"]) is None
    await until(lambda: api.core.store.get("secrets", "default", "s") is None)


def _filled(api: Api) -> Object | None:
    found = api.core.store.get("secrets", "default", "s")
    return found if found is not None and "token" in (found.get("data") or {}) else None


async def test_a_secret_that_names_no_account_is_refused_or_goes(api: Api, client: LocalClient) -> None:
    with pytest.raises(Invalid, match=r"kubernetes.io/service-account.name\]: Required value"):
        await client.create(SECRET, token_secret(""))
    await client.create(SECRET, token_secret("nobody"))
    await until(lambda: api.core.store.get("secrets", "default", "s") is None)
