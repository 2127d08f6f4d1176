"""Files on the web: from a server that knows ranges and one that does not."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from beamhall.kernel.errors import BadRequest, Forbidden, NotFound, ServiceUnavailable, TooLarge
from beamhall.storage import Storage

_DATA = bytes(range(256)) * 1000


class _Handler(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        codes = {"/none": 404, "/closed": 401, "/broken": 500}
        code, data, extra = codes.get(self.path, 200), _DATA, {}
        asked = self.headers.get("range", "")
        if self.path == "/headless" and not with_body:
            code = 405
        elif asked and self.path in ("/ranges", "/headless"):
            start, _, last = asked.removeprefix("bytes=").partition("-")
            data = _DATA[int(start) : int(last) + 1 if last else None]
            code, extra = 206, {"content-range": f"bytes {start}-{last}/{len(_DATA)}"}
            if not data:
                code = 416
        self.send_response(code)
        for name, value in {"content-length": str(len(data)), "etag": '"v1"', **extra}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", ["ranges", "whole"])
@pytest.mark.parametrize(
    ("start", "stop"), [(0, None), (0, 10), (5, 6), (5, 5), (200_000, None), (256_000, None), (9, 300_000)]
)
async def test_ranges(storage: Storage, url: str, name: str, start: int, stop: int | None) -> None:
    found = [c async for c in storage.chunks(f"{url}/{name}", start, stop)]
    assert b"".join(found) == _DATA[start:stop]


@pytest.mark.parametrize("name", ["ranges", "whole", "headless"])
async def test_reads_and_stats(storage: Storage, url: str, name: str, tmp_path: Path) -> None:
    assert await storage.read(f"{url}/{name}", len(_DATA)) == _DATA
    with pytest.raises(TooLarge):
        await storage.read(f"{url}/{name}", len(_DATA) - 1)
    stat = await storage.stat(f"{url}/{name}")
    assert stat is not None
    assert (stat.size_bytes, stat.etag) == (len(_DATA), "v1")
    assert await storage.fetch(f"{url}/{name}", tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == _DATA


async def test_what_is_wrong_is_said(storage: Storage, url: str, tmp_path: Path) -> None:
    assert not await storage.exists(f"{url}/none")
    assert not await storage.fetch(f"{url}/none", tmp_path / "f")
    assert not (tmp_path / "f").exists()
    for name, error in (("none", NotFound), ("closed", Forbidden), ("broken", ServiceUnavailable)):
        with pytest.raises(error, match=f"/{name}"):
            await storage.read(f"{url}/{name}", 10)
    for action in (
        storage.write(f"{url}/x", b""), storage.remove(f"{url}/x"), storage.keep(tmp_path, f"{url}/x"),
        storage.listing(f"{url}/x"), anext(storage.archive(f"{url}/x")),
    ):  # fmt: skip
        with pytest.raises(BadRequest):
            await action
    with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:9"):
        await storage.read("http://127.0.0.1:9/x", 10)
