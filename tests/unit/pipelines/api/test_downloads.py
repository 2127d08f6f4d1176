import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import pytest
import yaml

from beamhall.kernel.errors import BadRequest, TooLarge
from beamhall.pipelines.api.access import Access
from beamhall.pipelines.api.application import kfp_application
from beamhall.pipelines.api.downloads import fetch, is_public
from beamhall.pipelines.packages import MAX_PACKAGE_BYTES
from beamhall.pipelines.specifications import Specifications
from tests.unit.pipelines.specs import spec

YAML = yaml.safe_dump(spec()).encode()


class _Site(BaseHTTPRequestHandler):
    """Serves a package, redirections of many kinds, too much, and nothing at all."""

    asked: list[str]
    closing: threading.Event

    def do_GET(self) -> None:
        self.asked.append(self.path)
        location = {
            "/moved": "/p.yaml", "/loop": "/loop", "/file": "file:///etc/hostname", "/user": "http://u:p@127.0.0.1/",
        }.get(self.path)  # fmt: skip
        if location is not None:
            self._answer(302, b"", location=location)
        elif self.path == "/p.yaml":
            self._answer(200, YAML)
        elif self.path == "/large":
            self._answer(200, b"x" * (MAX_PACKAGE_BYTES + 1))
        elif self.path == "/slow":
            self.closing.wait(60)
        else:
            self._answer(404, b"a secret")

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def asked() -> list[str]:
    """The paths that the site was asked for."""
    return []


@pytest.fixture
def site(asked: list[str]) -> Iterator[str]:
    """The address of a site on this machine."""
    closing = threading.Event()
    handler = type("_ThisSite", (_Site,), {"asked": asked, "closing": closing})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        closing.set()
        server.shutdown()
        thread.join()


async def test_a_package_is_fetched_where_that_is_allowed(site: str, asked: list[str]) -> None:
    assert await fetch(f"{site}/p.yaml", may_be_private=True) == YAML
    assert await fetch(f"{site.replace('127.0.0.1', 'localhost')}/moved", may_be_private=True) == YAML
    assert asked == ["/p.yaml", "/moved", "/p.yaml"]


async def test_no_proxy_is_asked(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing answers there
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert await fetch(f"{site}/p.yaml", may_be_private=True) == YAML


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("/loop", "it redirects more than 5 times"),
        ("/file", "only http:// and https:// are fetched from"),
        ("/user", "it must hold no user and no password"),
        ("/nothing", "it answers 404 Not Found"),
    ],
)
async def test_what_gives_no_package_says_why(site: str, path: str, part: str) -> None:
    with pytest.raises(BadRequest) as refused:
        await fetch(site + path, may_be_private=True)
    assert part in refused.value.message
    assert "secret" not in refused.value.message


async def test_a_download_has_limits(site: str) -> None:
    with pytest.raises(TooLarge, match="gives more than 33554432 bytes"):
        await fetch(f"{site}/large", may_be_private=True)
    with pytest.raises(BadRequest, match=r"nothing came of it within 0\.2 s"):
        await fetch(f"{site}/slow", may_be_private=True, timeout_s=0.2)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "2130706433", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]"],
)
async def test_this_machine_is_not_asked(site: str, asked: list[str], host: str) -> None:
    with pytest.raises(BadRequest):
        await fetch(f"{site.replace('127.0.0.1', host)}/p.yaml")
    assert asked == []


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("file:///etc/passwd", "only http:// and https://"),
        ("ftp://example.org/p", "only http:// and https://"),
        ("http://", "only http:// and https://"),
        ("p.yaml", "only http:// and https://"),
        ("http://user:word@example.org/p", "no user and no password"),
        ("http://169.254.169.254/latest/meta-data", "in a private network"),
        ("http://10.1.2.3/p", "in a private network"),
        ("http://[fd00::1]/p", "in a private network"),
        ("http://no-such-host.invalid/p", "its host cannot be found"),
        ("http://[::1", "it is no address"),
    ],
)
async def test_what_is_not_fetched_from_says_why(url: str, part: str) -> None:
    with pytest.raises(BadRequest) as refused:
        await fetch(url)
    assert part in refused.value.message


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", True), ("2001:4860:4860::8888", True), ("127.0.0.1", False), ("10.0.0.1", False),
        ("172.16.0.1", False), ("192.168.1.1", False), ("169.254.169.254", False), ("100.64.0.1", False),
        ("0.0.0.0", False), ("224.0.0.1", False), ("255.255.255.255", False), ("::1", False), ("::", False),
        ("fe80::1%eth0", False), ("fd00::1", False), ("ff02::1", False), ("::ffff:10.0.0.1", False),
        ("::ffff:8.8.8.8", True), ("2002:7f00:1::", False), ("64:ff9b::7f00:1", False), ("64:ff9b::808:808", True),
    ],
)  # fmt: skip
def test_addresses_of_the_internet_are_told_from_others(address: str, expected: bool) -> None:
    assert is_public(address) is expected


async def test_a_version_is_made_of_what_an_address_gives(access: Access, api: httpx2.AsyncClient, site: str) -> None:
    key = (await api.post("pipelines", json={"name": "p"})).json()["pipeline_id"]
    asked = {"name": "v", "package_url": {"pipeline_url": f"{site}/p.yaml"}}
    answer = await api.post(f"pipelines/{key}/versions", json=asked)
    assert answer.status_code == 400
    assert "let whoever runs the service allow it" in answer.json()["message"]
    transport = httpx2.ASGITransport(app=kfp_application(replace(access, may_fetch_privately=True), Specifications()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://kfp/apis/v2beta1/") as open_api:
        async with asyncio.timeout(60):
            made = (await open_api.post(f"pipelines/{key}/versions", json=asked)).json()
    assert (made["package_url"], made["pipeline_spec"]) == (asked["package_url"], spec())
