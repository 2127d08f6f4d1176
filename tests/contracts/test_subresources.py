"""The laws of ``Client.create_subresource``: tokens of service accounts, bindings."""

import base64
import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from beamhall.client.protocol import Client
from beamhall.kernel.clock import parse_time
from beamhall.kernel.errors import AlreadyExists, BadRequest, Conflict, Invalid, NotFound
from beamhall.kernel.kinds import POD, SERVICE_ACCOUNT
from beamhall.kernel.objects import Object, uid_of

ISSUER = "https://kubernetes.default.svc.cluster.local"


def claims_of(answer: Object) -> dict[str, Any]:
    """Read a token as anybody can."""
    payload = answer["status"]["token"].split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


@pytest.fixture
async def account(client: Client, namespace: str) -> Object:
    return await client.create(SERVICE_ACCOUNT, {"metadata": {"name": "worker", "namespace": namespace}})


async def token(client: Client, namespace: str, name: str = "worker", **spec: Any) -> Object:
    return await client.create_subresource(SERVICE_ACCOUNT, name, namespace, "token", {"spec": spec})


async def test_a_token_says_whose_it_is(client: Client, namespace: str, account: Object) -> None:
    answer = await token(client, namespace, audiences=["https://vault"], expirationSeconds=1200)
    claims = claims_of(answer)
    assert claims["sub"] == f"system:serviceaccount:{namespace}:worker"
    assert claims["aud"] == ["https://vault"]
    assert claims["kubernetes.io"]["namespace"] == namespace
    assert claims["kubernetes.io"]["serviceaccount"] == {"name": "worker", "uid": uid_of(account)}
    assert claims["exp"] - claims["iat"] == 1200
    left = parse_time(answer["status"]["expirationTimestamp"]) - datetime.now(UTC)
    assert timedelta(minutes=18) < left <= timedelta(minutes=21)


async def test_a_token_is_for_an_hour_if_nothing_is_said(client: Client, namespace: str, account: Object) -> None:
    answer = await client.create_subresource(SERVICE_ACCOUNT, "worker", namespace, "token", {"spec": {}})
    claims = claims_of(answer)
    assert claims["exp"] - claims["iat"] == answer["spec"]["expirationSeconds"] == 3600
    assert claims["aud"] == answer["spec"]["audiences"]


async def test_a_token_cannot_be_short_lived(client: Client, namespace: str, account: Object) -> None:
    with pytest.raises(Invalid, match="may not specify a duration less than 10 minutes"):
        await token(client, namespace, expirationSeconds=599)


async def test_tokens_need_an_account(client: Client, namespace: str) -> None:
    with pytest.raises(NotFound, match='serviceaccounts "nobody" not found'):
        await token(client, namespace, "nobody")


async def test_a_token_is_bound_to_a_pod_of_its_account(client: Client, namespace: str, account: Object) -> None:
    pod = await client.create(
        POD,
        {
            "metadata": {"name": "p", "namespace": namespace},
            "spec": {
                "serviceAccountName": "worker",
                "nodeSelector": {"beamhall.test/exists": "never"},
                "containers": [{"name": "a", "image": "python:1"}],
            },
        },
    )
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": uid_of(pod)}
    claims = claims_of(await token(client, namespace, boundObjectRef=reference))
    assert claims["kubernetes.io"]["pod"] == {"name": "p", "uid": uid_of(pod)}
    with pytest.raises(Conflict, match="does not match the UID in record"):
        await token(client, namespace, boundObjectRef={**reference, "uid": "of-another"})
    with pytest.raises(NotFound, match='pods "q" not found'):
        await token(client, namespace, boundObjectRef={**reference, "name": "q"})
    await client.create(SERVICE_ACCOUNT, {"metadata": {"name": "other", "namespace": namespace}})
    with pytest.raises(BadRequest, match="different serviceaccount"):
        await token(client, namespace, "other", boundObjectRef=reference)


async def test_a_pod_is_bound_to_a_node_once(client: Client, namespace: str) -> None:
    with contextlib.suppress(AlreadyExists):  # a cluster with controllers has made it
        await client.create(SERVICE_ACCOUNT, {"metadata": {"name": "default", "namespace": namespace}})
    await client.create(
        POD,
        {
            "metadata": {"name": "p", "namespace": namespace},
            "spec": {"schedulerName": "nobody", "containers": [{"name": "a", "image": "python:1"}]},
        },
    )
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"name": "some-node"}}
    await client.create_subresource(POD, "p", namespace, "binding", binding)
    assert (await client.get(POD, "p", namespace))["spec"]["nodeName"] == "some-node"
    with pytest.raises(Conflict, match="already assigned to node"):
        await client.create_subresource(POD, "p", namespace, "binding", binding)


async def test_what_has_no_such_subresource_is_not_found(client: Client, namespace: str, account: Object) -> None:
    with pytest.raises(NotFound):
        await client.create_subresource(SERVICE_ACCOUNT, "worker", namespace, "nothing", {})
