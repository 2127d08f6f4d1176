"""A server that answers ``hf download`` as the Hugging Face Hub does: repositories of files, held in memory.

Source: what huggingface_hub asks for: ``GET /api/{models,datasets}/REPO/revision/REVISION`` tells the commit,
``…/tree/COMMIT`` its files, then come ``HEAD`` and ``GET`` of ``[/datasets]/REPO/resolve/COMMIT/FILE`` for each.
"""

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Repositories = Mapping[str, Mapping[str, bytes]]
"""Files by their names, by ``models/OWNER/NAME`` or ``datasets/OWNER/NAME``."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, repositories: Repositories, *args: Any) -> None:
        self._repositories = repositories
        super().__init__(*args)

    def log_request(self, code: Any = "", size: Any = "") -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        if asked := re.fullmatch(r"/api/((?:models|datasets)/[^/]+/[^/]+)(?:/(revision|tree)/[^/]+)?", path):
            self._tell(asked[1], is_tree=asked[2] == "tree")
        elif resolved := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            self._give(f"{resolved[1] or 'models/'}{resolved[2]}", resolved[3])
        else:
            self._send(404, b"", {})

    def _tell(self, repository: str, *, is_tree: bool) -> None:
        files = self._repositories.get(repository)
        if files is None:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
            return
        listed = [
            {"type": "file", "path": name, "size": len(content), "oid": _hash(content)}
            for name, content in files.items()
        ]
        about = {"_id": "1", "id": repository.partition("/")[2], "sha": _hash(repository.encode()), "siblings": []}
        self._send(200, json.dumps(listed if is_tree else about).encode(), {"Content-Type": "application/json"})

    def _give(self, repository: str, name: str) -> None:
        content = self._repositories.get(repository, {}).get(name)
        if content is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        self._send(200, content, {"ETag": f'"{_hash(content)}"', "X-Repo-Commit": _hash(repository.encode())})

    def _send(self, code: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


def _hash(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


@contextlib.contextmanager
def hub_server(repositories: Repositories) -> Iterator[str]:
    """Serve repositories while the context is open, and give the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, repositories)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
