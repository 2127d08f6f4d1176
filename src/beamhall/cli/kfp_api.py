"""The KFP API as the command line calls it: plain HTTP, errors in one line."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import httpx2
import msgspec

from beamhall.cli.connection import connect

BASE = "/apis/v2beta1"
PAGE_SIZE = 200
_RETRY_FOLLOW_S = 3.0

Message = Mapping[str, Any]


class KfpApi:
    """The API of a running service, as one user in one namespace.

    Args:
        http: Reaches it, with the user's token.
        namespace: Where experiments, runs and pipelines are; empty: the service's default.
    """

    def __init__(self, http: httpx2.Client, namespace: str = "") -> None:
        self.http = http
        self.namespace = namespace

    def get(self, path: str, **query: str | int) -> Message:
        """Read a resource below ``BASE``. Raises ``ClickException`` with what the service says."""
        return self._message(self.http.get(BASE + path, params=_said(query)))

    def post(self, path: str, body: Message | None = None, **query: str) -> Message:
        """Create or do something; errors as ``get``."""
        return self._message(self.http.post(BASE + path, params=_said(query), json=body))

    def delete(self, path: str, **query: str) -> Message:
        """Delete something; errors as ``get``."""
        return self._message(self.http.delete(BASE + path, params=_said(query)))

    def upload(self, path: str, content: bytes, **query: str) -> Message:
        """Upload a package; errors as ``get``."""
        files = {"uploadfile": ("pipeline", content)}
        return self._message(self.http.post(BASE + path, params=_said(query), files=files))

    def listing(self, path: str, key: str, limit: int, **query: str) -> Iterator[Message]:
        """List resources of this namespace, page by page, at most ``limit``."""
        token = ""
        while limit > 0:
            size = min(limit, PAGE_SIZE)
            page = self.get(path, page_size=size, page_token=token, namespace=self.namespace, **query)
            yield from page.get(key, ())
            limit -= size
            token = page.get("next_page_token", "")
            if not token:
                return

    def named(self, path: str, key: str, identity: str, what: str) -> Message:
        """Find a resource by its id or name, or the beginning of one of them; of several the newest.

        Raises:
            ClickException: There is none.
        """
        newest = list(self.listing(path, key, PAGE_SIZE, sort_by="created_at desc"))
        id_field = f"{what}_id"
        for each in newest:
            if identity in (each[id_field], each.get("display_name")):
                return each
        begun = [each for each in newest if len(identity) >= 4 and each[id_field].startswith(identity)]
        begun = begun or [each for each in newest if str(each.get("display_name")).startswith(f"{identity} ")]
        if begun:
            return begun[0]
        answer = self.http.get(f"{BASE}{path}/{quote(identity, safe='')}")
        if answer.status_code == 404:
            raise click.ClickException(f"there is no {what} {identity!r}; `beamhall {what}s list` shows all")
        return self._message(answer)

    def experiment(self, name: str) -> str:
        """Give the id of an experiment of this name; it is made where there is none."""
        wanted = {"predicates": [{"operation": "EQUALS", "key": "display_name", "string_value": name}]}
        query = {"filter": msgspec.json.encode(wanted).decode(), "namespace": self.namespace}
        found = self.get("/experiments", **query).get("experiments", ())
        if found:
            return str(found[0]["experiment_id"])
        made = self.post("/experiments", {"display_name": name, "namespace": self.namespace})
        return str(made["experiment_id"])

    def events(self, run_id: str, after: str = "") -> Iterator[Message]:
        """Follow the events of a run from its beginning, or after one, to its end, over lost connections."""
        while True:
            headers = {"accept": "text/event-stream", **({"last-event-id": after} if after else {})}
            try:
                with self.http.stream("GET", f"{BASE}/runs/{run_id}:events", headers=headers, timeout=60) as answer:
                    if answer.status_code != 200:
                        answer.read()
                        self._message(answer)
                    for event in server_sent(answer.iter_lines()):
                        after = str(event["id"])
                        yield event
            except (httpx2.ReadError, httpx2.RemoteProtocolError, httpx2.ReadTimeout):
                click.echo("the connection is lost; trying again", err=True)
                time.sleep(_RETRY_FOLLOW_S)
            else:
                return

    def last_event(self, run_id: str) -> str:
        """Give the id of the last event of a run."""
        events = self.get(f"/runs/{run_id}:events").get("events") or [{"id": ""}]
        return str(events[-1]["id"])

    def log(self, run_id: str, task_id: str, **query: str | int) -> Iterator[str]:
        """Read the log of a task in pieces; ``follow=true`` stays until the task has ended."""
        path = f"{BASE}/runs/{run_id}/tasks/{quote(task_id, safe='')}/log"
        with self.http.stream("GET", path, params=_said(query), timeout=httpx2.Timeout(30, read=None)) as answer:
            if answer.status_code != 200:
                answer.read()
                self._message(answer)
            yield from answer.iter_text()

    def _message(self, answer: httpx2.Response) -> Message:
        try:
            body = msgspec.json.decode(answer.content) if answer.content else {}
        except msgspec.DecodeError:
            body = {}
        if answer.is_success and isinstance(body, Mapping):
            return body
        said = next((body[key] for key in ("message", "error_message", "error") if body.get(key)), "")
        raise click.ClickException(str(said or f"{answer.url} answered {answer.status_code}"))


def api_of(data: Path | None, namespace: str) -> KfpApi:
    """Connect to the service that runs on a data directory; errors as ``connection.connect``."""
    return KfpApi(connect(data), namespace)


def _said(query: Mapping[str, str | int]) -> Mapping[str, str | int]:
    return {name: value for name, value in query.items() if value != ""}


def server_sent(lines: Iterator[str]) -> Iterator[Message]:
    """Read Server-Sent Events: the data of each, which is JSON. Comments are there to keep the connection."""
    data: list[str] = []
    for line in lines:
        if line.startswith("data:"):
            data.append(line[5:].strip())
        elif not line and data:
            yield msgspec.json.decode("\n".join(data))
            data = []
