"""Tokens of service accounts: good while what they speak of is there."""

import base64
from typing import Any

import jwt
import pytest

from beamhall.client.local import LocalClient
from beamhall.embedded.api.signing import SigningKey
from beamhall.embedded.api.tokens import ISSUER
from beamhall.embedded.api.verbs import Api
from beamhall.kernel.kinds import POD, SECRET, SERVICE_ACCOUNT
from beamhall.kernel.objects import Object, uid_of
from tests.unit.embedded.api.conftest import StandingClock, pod

ACCOUNT: Object = {"metadata": {"name": "worker", "namespace": "default"}}


@pytest.fixture
async def account(client: LocalClient) -> Object:
    return await client.create(SERVICE_ACCOUNT, ACCOUNT)


async def token(client: LocalClient, **spec: Any) -> str:
    answer = await client.create_subresource(SERVICE_ACCOUNT, "worker", "default", "token", {"spec": spec})
    return str(answer["status"]["token"])


async def test_a_token_stands_for_its_account(api: Api, client: LocalClient, account: Object) -> None:
    user = api.tokens.user_of(await token(client))
    assert user is not None
    assert (user.name, user.uid) == ("system:serviceaccount:default:worker", uid_of(account))
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated")
    assert user.extra["authentication.kubernetes.io/credential-id"][0].startswith("JTI=")


async def test_a_token_expires(api: Api, client: LocalClient, clock: StandingClock, account: Object) -> None:
    made = await token(client, expirationSeconds=600)
    clock.advance(599)
    assert api.tokens.user_of(made) is not None
    clock.advance(1)
    assert api.tokens.user_of(made) is None


async def test_a_token_is_for_its_audience(api: Api, client: LocalClient, account: Object) -> None:
    made = await token(client, audiences=["vault", "store"])
    assert api.tokens.user_of(made) is None
    verified = api.tokens.verify(made, ("store", ISSUER))
    assert verified is not None
    assert verified.audiences == ("store",)


async def test_a_token_ends_with_its_account(api: Api, client: LocalClient, account: Object) -> None:
    made = await token(client)
    await client.delete(SERVICE_ACCOUNT, "worker", "default")
    assert api.tokens.user_of(made) is None
    await client.create(SERVICE_ACCOUNT, ACCOUNT)  # of the same name, but another one
    assert api.tokens.user_of(made) is None


async def test_a_token_ends_with_its_pod(api: Api, client: LocalClient, clock: StandingClock, account: Object) -> None:
    its = pod()
    its["spec"]["serviceAccountName"] = "worker"
    its["spec"]["nodeName"] = "n"
    made = await client.create(POD, its)
    bound = await token(client, boundObjectRef={"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": uid_of(made)})
    user = api.tokens.user_of(bound)
    assert user is not None
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("p",)
    await client.delete(POD, "p", "default", grace_period_s=300)
    clock.advance(359)
    assert api.tokens.user_of(bound) is not None  # it still has to end in good order
    clock.advance(2)
    assert api.tokens.user_of(bound) is None
    await client.delete(POD, "p", "default", grace_period_s=0)
    assert api.tokens.user_of(bound) is None


async def test_a_pods_token_serves_clients_that_read_it_once(
    api: Api, client: LocalClient, clock: StandingClock, account: Object
) -> None:
    its = pod()
    its["spec"]["serviceAccountName"] = "worker"
    made = await client.create(POD, its)
    reference = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": uid_of(made)}
    answer = await client.create_subresource(
        SERVICE_ACCOUNT,
        "worker",
        "default",
        "token",
        {"spec": {"expirationSeconds": 3607, "boundObjectRef": reference}},
    )
    assert answer["status"]["expirationTimestamp"] == "2026-01-02T04:04:12Z"  # when the agent has to have another
    clock.advance(300 * 24 * 3600)
    assert api.tokens.user_of(answer["status"]["token"]) is not None


async def test_a_token_of_another_key_is_nobodys(api: Api, client: LocalClient, account: Object) -> None:
    made = await token(client)
    claims = jwt.decode(made, options={"verify_signature": False})
    assert api.tokens.user_of(SigningKey().sign(claims)) is None
    head, _, rest = made.partition(".")
    unsigned = jwt.encode(claims, "", algorithm="none")
    for forged in ("", "a", "a.b.c", f"{head}x.{rest}", made[:-2], unsigned, "ä.ö.ü"):
        assert api.tokens.user_of(forged) is None, forged
    assert api.tokens.user_of(made) is not None


async def test_anybody_can_check_a_token_with_the_key_set(api: Api, client: LocalClient, account: Object) -> None:
    made = await token(client, audiences=["vault"])
    key = jwt.PyJWK(api.tokens.key.key_set()["keys"][0])
    assert jwt.get_unverified_header(made)["kid"] == key.key_id
    options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    assert jwt.decode(made, key, audience="vault", options=options)["sub"] == "system:serviceaccount:default:worker"


async def test_a_token_in_a_secret_is_good_while_it_is_there(api: Api, client: LocalClient, account: Object) -> None:
    made = api.tokens.legacy_token(account, "worker-token")
    assert api.tokens.user_of(made) is None
    data = {"token": base64.b64encode(made.encode()).decode()}
    await client.create(SECRET, {"metadata": {"name": "worker-token", "namespace": "default"}, "data": data})
    user = api.tokens.user_of(made)
    assert user is not None
    assert user.name == "system:serviceaccount:default:worker"
    other = base64.b64encode(b"another").decode()
    await client.patch(SECRET, "worker-token", "default", {"data": {"token": other}})
    assert api.tokens.user_of(made) is None
    await client.patch(SECRET, "worker-token", "default", {"data": data})
    assert api.tokens.user_of(made) is not None
    await client.delete(SECRET, "worker-token", "default")
    assert api.tokens.user_of(made) is None
