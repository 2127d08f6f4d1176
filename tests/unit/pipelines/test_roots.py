"""Where files of a namespace's runs go: what its ConfigMap and Secrets say, and what is wrong with them."""

import base64
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

from beamhall.client.local import LocalClient
from beamhall.embedded.api.factory import create_resource_api
from beamhall.embedded.store.store import Store
from beamhall.kernel.errors import BadRequest, Forbidden
from beamhall.kernel.kinds import CONFIG_MAP, NAMESPACE, SECRET
from beamhall.launcher.orders import orders_of
from beamhall.pipelines.providers import Provider, providers_of
from beamhall.pipelines.roots import Roots
from beamhall.storage import Storage, StoreOptions
from tests.api_server import ADMIN
from tests.models.virtual_time import ManualClock
from tests.s3_server import S3Server, s3_server

SECRET_REF = "{secretName: lab, accessKeyKey: key, secretKeyKey: secret}"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        server.client().create_bucket(Bucket="lab")
        yield server


class Site:
    """Roots on an API of its own."""

    def __init__(self, client: LocalClient, storage: Storage) -> None:
        self.client = client
        self.clock = ManualClock()
        self.roots = Roots(client, storage, self.clock)

    async def configure(self, namespace: str = "default", **data: str) -> None:
        found = {"metadata": {"name": "kfp-launcher", "namespace": namespace}, "data": data}
        await self.client.create(CONFIG_MAP, found)

    async def secret(self, **data: str) -> None:
        encoded = {name: base64.b64encode(value.encode()).decode() for name, value in data.items()}
        await self.client.create(SECRET, {"metadata": {"name": "lab", "namespace": "default"}, "data": encoded})


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    store = await Store.open(tmp_path / "objects.db")
    storage = Storage(local_roots=[tmp_path])
    try:
        client = LocalClient(create_resource_api(store, ManualClock(), Random(1)), ADMIN)
        for name in ("default", "other"):
            await client.create(NAMESPACE, {"metadata": {"name": name}})
        yield Site(client, storage)
    finally:
        storage.close()
        await store.close()


def server_of(s3: S3Server, credentials: str) -> str:
    return f"s3: {{default: {{endpoint: '{s3.url}', region: us-east-1, maxRetries: 1, credentials: {credentials}}}}}"


async def test_a_namespace_that_says_nothing_has_the_root_of_the_service(site: Site) -> None:
    root = await site.roots.of("default")
    assert (root.uri, root.env) == ("", ())


async def test_the_config_map_says_where_files_go(site: Site) -> None:
    await site.configure(defaultPipelineRoot="s3://lab/root/", providers="")
    assert (await site.roots.of("default")).uri == "s3://lab/root"
    assert (await site.roots.of("other")).uri == ""


async def test_what_was_read_is_used_for_some_seconds(site: Site) -> None:
    await site.roots.of("default")
    await site.configure(defaultPipelineRoot="s3://lab/root")
    assert (await site.roots.of("default")).uri == ""
    site.clock.elapsed_s += 11
    assert (await site.roots.of("default")).uri == "s3://lab/root"


async def test_credentials_come_from_secrets(site: Site, s3: S3Server) -> None:
    await site.secret(key=s3.key, secret=s3.secret + "\n")
    await site.configure(providers=server_of(s3, f"{{fromEnv: false, secretRef: {SECRET_REF}}}"))
    root = await site.roots.of("default")
    await root.storage.write("s3://lab/a", b"1")
    assert s3.client().get_object(Bucket="lab", Key="a")["Body"].read() == b"1"
    with pytest.raises(Forbidden, match="lies outside"):  # what the service may not is not allowed by a ConfigMap
        await root.storage.read("/etc/passwd", 10_000)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "there is no Secret lab in namespace default (keys 'key' and 'secret'), which has its credentials"),
        ({"key": "x"}, "Secret lab in namespace default (keys 'key' and 'secret') does not have its credentials"),
    ],
)  # fmt: skip
async def test_credentials_that_are_missing_matter_to_who_needs_them(
    site: Site, s3: S3Server, data: Mapping[str, str] | None, words: str, tmp_path: Path
) -> None:
    if data:
        await site.secret(**data)
    await site.configure(providers=server_of(s3, f"{{secretRef: {SECRET_REF}}}"))
    root = await site.roots.of("default")
    await root.storage.write(f"{tmp_path}/x", b"1")
    with pytest.raises(Forbidden) as caught:
        await root.storage.read("s3://lab/a", 10)
    assert caught.value.message == f"s3://lab/a: {words}"


async def test_the_launcher_is_told_the_same_without_what_is_in_secrets(site: Site, s3: S3Server) -> None:
    await site.secret(key=s3.key, secret=s3.secret)
    text = (
        server_of(s3, f"{{secretRef: {SECRET_REF}}}")
        + "\nminio: {default: {endpoint: 'm:9', credentials: {fromEnv: true}}}"
    )
    await site.configure(providers=text)
    env = (await site.roots.of("default")).env
    assert s3.secret not in json.dumps(env)
    values = {"key": s3.key, "secret": s3.secret}
    environ = {one["name"]: one.get("value") or values[one["valueFrom"]["secretKeyRef"]["key"]] for one in env}
    assert {one["valueFrom"]["secretKeyRef"]["name"] for one in env if "valueFrom" in one} == {"lab"}
    orders = orders_of(["--", "x"], {**environ, "BEAMHALL_TRANSFERS": '{"fetch": [], "store": []}'})
    assert orders.options == [
        StoreOptions("minio", endpoint="m:9"),
        StoreOptions("s3", endpoint=s3.url, region="us-east-1", retries=1, key=s3.key, secret=s3.secret),
    ]
    assert orders.env == {}


def test_all_that_upstream_reads() -> None:
    found = providers_of(
        """
        s3:
          default:
            endpoint: s3.amazonaws.com
            region: eu
            disableSSL: true
            forcePathStyle: false
            maxRetries: 3
            credentials: {secretRef: {secretName: a, accessKeyKey: b, secretKeyKey: c}}
          Overrides:
            - {bucketName: lab, keyPrefix: x/y, credentials: {fromEnv: true}}
            - {bucketName: own, endpoint: "https://own", disableSSL: false,
               credentials: {secretRef: {secretName: d, accessKeyKey: e, secretKeyKey: f}}}
        gs:
          overrides: [{bucketName: g, credentials: {secretRef: {secretName: h, tokenKey: i}}}]
        """,
        "here",
    )
    plain: dict[str, Any] = {"region": "eu", "is_path_style": False, "retries": 3}
    amazon = {**plain, "endpoint": "s3.amazonaws.com", "is_secure": False}
    assert found == [
        Provider(StoreOptions("s3", "lab", "x/y", **amazon)),
        Provider(StoreOptions("s3", "own", endpoint="https://own", **plain), "d", "e", "f"),
        Provider(StoreOptions("s3", **amazon), "a", "b", "c"),
        Provider(StoreOptions("gs", "g"), "h", "", "i"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("s3: [", "here: providers is no YAML"),
        ("[1]", "here: providers must be an object, is [1]"),
        ("s3: x", "here: providers.s3 must be an object, is 'x'"),
        ("s3: {default: {}}", "here: providers.s3.default.credentials is missing: write fromEnv: true, or secretRef"),
        ("s3: {default: {credentials: {}}}", "providers.s3.default.credentials.secretRef is missing; or write fromEnv"),
        ("s3: {default: {credentials: {secretRef: {}}}}", "secretRef.secretName is missing"),
        ("s3: {default: {credentials: {secretRef: {secretName: a, accessKeyKey: b}}}}", "secretKeyKey is missing"),
        ("s3: {default: {region: 3, credentials: {fromEnv: true}}}", "providers.s3.default.region must be text, is 3"),
        (
            "s3: {default: {disableSSL: 'no', credentials: {fromEnv: true}}}",
            "disableSSL must be true or false, is 'no'",
        ),
        ("s3: {overrides: {a: b}}", "providers.s3.overrides must be a list"),
        ("s3: {overrides: [{bucketName: b}]}", "providers.s3.overrides[0].credentials is missing"),
    ],
)
def test_what_is_wrong_is_said(text: str, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        providers_of(text, "here")
    assert words in caught.value.message


def test_nothing_says_nothing() -> None:
    for text in ("", "{}", "s3: null", "s3: {}"):
        assert list(providers_of(text, "here")) == []


async def test_minio_needs_an_address(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    with pytest.raises(BadRequest, match=r"minio:// has no address here: set providers\.minio\.default\.endpoint"):
        await (await site.roots.of("default")).storage.read("minio://a/b", 1)
