"""Kubeconfigs: which is found, what credentials of every sort send, and what is said when something is wrong."""

import json
import os
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from beamhall.app.certificates import ensure_certificates
from beamhall.client.http import HttpClient, HttpSettings
from beamhall.client.kubeconfig import KubeconfigError, load_kubeconfig, render_kubeconfig
from beamhall.kernel.errors import ServiceUnavailable, Unauthorized
from beamhall.kernel.kinds import NODE
from tests.unit.client.conftest import FakeServer, refusal, serving, write_kubeconfig

NODE_A = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}}


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment with an empty home directory."""
    (tmp_path / "home").mkdir()
    return {"HOME": str(tmp_path / "home")}


def load(environ: dict[str, str], path: Path | None = None, context: str = "", account: Path = Path("/none")) -> Any:
    return load_kubeconfig(path, context, environ=environ, service_account=account)


def test_a_file_that_is_named_wins(tmp_path: Path, home: dict[str, str]) -> None:
    named = write_kubeconfig(tmp_path / "named", "https://named")
    other = write_kubeconfig(tmp_path / "other", "https://other")
    config = load(home | {"KUBECONFIG": str(other)}, named)
    assert (config.cluster.server, config.namespace, config.user.token) == ("https://named", "home", "secret")


def test_then_the_environment_then_home_then_the_pod(tmp_path: Path, home: dict[str, str]) -> None:
    account = tmp_path / "account"
    account.mkdir()
    for name, text in (("token", "t"), ("ca.crt", "c"), ("namespace", "mine\n")):
        (account / name).write_text(text)
    inside = home | {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}
    config = load(inside, account=account)
    assert (config.cluster.server, config.namespace) == ("https://[fd00::1]:6443", "mine")
    assert (config.user.token_file, config.cluster.certificate_auth) == (
        str(account / "token"),
        str(account / "ca.crt"),
    )
    (Path(home["HOME"]) / ".kube").mkdir()
    write_kubeconfig(Path(home["HOME"]) / ".kube/config", "https://home")
    assert load(inside, account=account).cluster.server == "https://home"
    listed = write_kubeconfig(tmp_path / "listed", "https://listed")
    assert load(inside | {"KUBECONFIG": str(listed)}, account=account).cluster.server == "https://listed"


def test_files_of_the_environment_are_merged(tmp_path: Path, home: dict[str, str]) -> None:
    first = tmp_path / "first"
    first.write_text("{contexts: [{name: y, context: {cluster: c, user: u}}], current-context: y}")
    second = write_kubeconfig(tmp_path / "second", "https://second")
    third = write_kubeconfig(tmp_path / "third", "https://third")
    environ = home | {
        "KUBECONFIG": os.pathsep.join(["", str(tmp_path / "absent"), str(first), str(second), str(third)])
    }
    config = load(environ)
    assert (config.context_name, config.cluster.server) == ("y", "https://second")
    assert load(environ, context="x").namespace == "home"


def test_paths_are_relative_to_their_file(tmp_path: Path, home: dict[str, str]) -> None:
    user = {"client-certificate": "u.crt", "client-key": "/abs/u.key"}
    file = write_kubeconfig(tmp_path / "k", "https://a", user, authority="ca.crt")
    config = load(home, file)
    assert config.cluster.certificate_auth == str(tmp_path.resolve() / "ca.crt")
    assert (config.user.client_cert, config.user.client_key) == (str(tmp_path.resolve() / "u.crt"), "/abs/u.key")


@pytest.mark.parametrize(
    ("command", "found"), [("./bin/login", "bin/login"), ("login", None), ("/abs/login", "/abs/login")]
)
def test_plugins_with_a_path_are_relative_too(
    tmp_path: Path, home: dict[str, str], command: str, found: str | None
) -> None:
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": command}}
    config = load(home, write_kubeconfig(tmp_path / "k", "https://a", user))
    assert config.user.exec.command == (command if found is None else str(tmp_path.resolve() / found))


def test_what_cannot_be_followed_is_refused(tmp_path: Path, home: dict[str, str]) -> None:
    file = write_kubeconfig(tmp_path / "k", "https://a", {"token": "t", "as": "other"})
    with pytest.raises(KubeconfigError, match="user 'u' sets as, which Beamhall cannot follow"):
        load(home, file)
    file.write_text(file.read_text().replace('"as"', '"x"').replace('"server"', '"proxy-url": "http://p", "server"'))
    with pytest.raises(KubeconfigError, match="cluster 'c' sets proxy-url"):
        load(home, file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "is not YAML"),
        ("just text", "holds no kubeconfig"),
        ("clusters: 3", "clusters must be a list"),
        ("clusters: [{name: a}]", "must have a name and a cluster"),
        ("{}", "has no current-context; choose one of: none"),
        ("current-context: z", "has no context 'z'; it has: none"),
        ("{contexts: [{name: z, context: {cluster: q}}], current-context: z}", "names cluster 'q', which is not there"),
        (
            "{contexts: [{name: z, context: {cluster: c, user: q}}], clusters: [{name: c, cluster: {}}],"
            " current-context: z}",
            "names user 'q', which is not there",
        ),
        (
            "{contexts: [{name: z, context: {cluster: c}}], clusters: [{name: c, cluster: {server: 3}}],"
            " current-context: z}",
            "is malformed",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, home: dict[str, str], text: str, said: str) -> None:
    file = tmp_path / "k"
    file.write_text(text)
    with pytest.raises(KubeconfigError) as caught:
        load(home, file)
    assert said in caught.value.message
    assert str(file) in caught.value.message


def test_nothing_at_all_says_what_to_do(tmp_path: Path, home: dict[str, str]) -> None:
    with pytest.raises(KubeconfigError, match="beamhall kubeconfig > FILE"):
        load(home)
    with pytest.raises(KubeconfigError, match="which does not exist"):
        load(home | {"KUBECONFIG": str(tmp_path / "absent")})
    with pytest.raises(KubeconfigError, match="cannot be read"):
        load(home, tmp_path / "absent")


async def test_what_is_rendered_can_be_used(tmp_path: Path, home: dict[str, str], server: FakeServer) -> None:
    server.says(NODE_A)
    tls, authority = ensure_certificates(tmp_path / "tls", ["127.0.0.1"], datetime.now(UTC))
    async with serving(server, tls) as url:
        file = tmp_path / "k"
        file.write_text(render_kubeconfig(f"{url}/k8s", authority, "to: ken", "mine"))
        config = load(home, file)
        assert config.namespace == "mine"
        async with HttpClient(config) as client:
            assert await client.get(NODE, "a") == NODE_A
    assert server.last.headers["authorization"] == "Bearer to: ken"


async def test_a_stranger_is_not_trusted(tmp_path: Path, home: dict[str, str], server: FakeServer) -> None:
    server.says(NODE_A)
    tls, _ = ensure_certificates(tmp_path / "tls", ["127.0.0.1"], datetime.now(UTC))
    _, other = ensure_certificates(tmp_path / "other", ["127.0.0.1"], datetime.now(UTC))
    async with serving(server, tls) as url:
        file = tmp_path / "k"
        file.write_text(render_kubeconfig(url, other, "token"))
        async with HttpClient(load(home, file), HttpSettings(attempts=1)) as client:
            with pytest.raises(ServiceUnavailable, match="not signed by the authority"):
                await client.get(NODE, "a")
    assert server.asked == []


def make_client_certificate(directory: Path) -> str:
    """Make a client's certificate that vouches for itself, and its key; gives the certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "user")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    (directory / "client.crt").write_bytes(certificate)
    (directory / "client.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate.decode()


async def test_client_certificates_are_shown(tmp_path: Path, home: dict[str, str], server: FakeServer) -> None:
    server.says(NODE_A)
    tls, authority = ensure_certificates(tmp_path / "tls", ["127.0.0.1"], datetime.now(UTC))
    tls.load_verify_locations(cadata=make_client_certificate(tmp_path))
    tls.verify_mode = ssl.CERT_REQUIRED
    (tmp_path / "ca").write_text(authority)
    pair = {"client-certificate": "client.crt", "client-key": "client.key"}
    async with serving(server, tls) as url:
        without = write_kubeconfig(tmp_path / "without", url, authority="ca")
        with_pair = write_kubeconfig(tmp_path / "with", url, pair, authority="ca")
        async with HttpClient(load(home, with_pair)) as client:
            assert await client.get(NODE, "a") == NODE_A
        async with HttpClient(load(home, without), HttpSettings(attempts=1)) as client:
            with pytest.raises(ServiceUnavailable):
                await client.get(NODE, "a")


def plugin(tmp_path: Path, script: str) -> Path:
    file = tmp_path / "plugin"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_exec_plugins_give_tokens(tmp_path: Path, home: dict[str, str], server: FakeServer, version: str) -> None:
    server.says(NODE_A)
    credential = {"kind": "ExecCredential", "status": {"token": "made"}}
    command = plugin(
        tmp_path, f"""echo "$1 $WITH $KUBERNETES_EXEC_INFO" > {tmp_path}/called; echo '{json.dumps(credential)}'"""
    )
    user = {
        "exec": {
            "apiVersion": f"client.authentication.k8s.io/{version}",
            "command": str(command),
            "args": ["login"],
            "env": [{"name": "WITH", "value": "this"}],
        }
    }
    async with serving(server) as url, HttpClient(load(home, write_kubeconfig(tmp_path / "k", url, user))) as client:
        await client.get(NODE, "a")
    assert server.last.headers["authorization"] == "Bearer made"
    called = (tmp_path / "called").read_text()
    assert called.startswith("login this {")
    assert f"client.authentication.k8s.io/{version}" in called


@pytest.mark.parametrize("script", ["echo no login >&2; exit 3", """echo '{"status": {}}'"""])
async def test_an_exec_plugin_that_fails_is_told(
    tmp_path: Path, home: dict[str, str], server: FakeServer, script: str
) -> None:
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin(tmp_path, script))}}
    async with serving(server) as url, HttpClient(load(home, write_kubeconfig(tmp_path / "k", url, user))) as client:
        with pytest.raises(Unauthorized, match="no credentials for"):
            await client.get(NODE, "a")
    assert server.asked == []


async def test_a_rotated_token_is_read_again(tmp_path: Path, home: dict[str, str], server: FakeServer) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    server.says(NODE_A)
    async with serving(server) as url:
        file = write_kubeconfig(tmp_path / "k", url, {"tokenFile": "token"})
        async with HttpClient(load(home, file)) as client:
            await client.get(NODE, "a")
            token.write_text("new")
            server.says(refusal(401), NODE_A)
            assert await client.get(NODE, "a") == NODE_A
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer old", "Bearer old", "Bearer new"]


def test_credentials_that_cannot_be_used_are_told(tmp_path: Path, home: dict[str, str]) -> None:
    missing = write_kubeconfig(
        tmp_path / "k", "https://127.0.0.1", {"client-certificate": "no.crt", "client-key": "no.key"}
    )
    with pytest.raises(Unauthorized, match="context 'x' cannot be used"):
        HttpClient(load(home, missing))
    provider = write_kubeconfig(tmp_path / "p", "https://127.0.0.1", {"auth-provider": {"name": "old"}})
    with pytest.raises(Unauthorized, match="auth-provider not supported"):
        HttpClient(load(home, provider))
