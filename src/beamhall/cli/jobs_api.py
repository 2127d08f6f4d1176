"""Training jobs as the command line calls for them: plain HTTP, errors in one line."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import httpx2
import msgspec

from beamhall.cli.connection import connect
from beamhall.cli.kfp_api import server_sent
from beamhall.kernel.kinds import NAMESPACE, Kind
from beamhall.training.overview import find_kind

BASE = "/api/jobs"
_RETRY_FOLLOW_S = 3.0

Message = Mapping[str, Any]


class NoSuchObject(click.ClickException):
    """There is no such object."""


class ObjectExists(click.ClickException):
    """There is one of this name already."""


class JobsApi:
    """The jobs of one namespace of a running service, as one user.

    Every method raises ``ClickException`` with what the service says is wrong.

    Args:
        http: Reaches it, with the user's token.
        namespace: Where the jobs are.
    """

    def __init__(self, http: httpx2.Client, namespace: str) -> None:
        self.http = http
        self.namespace = namespace

    def jobs(self) -> list[Message]:
        """Give all jobs, the newest first."""
        jobs: list[Message] = _message(self.http.get(f"{BASE}/", params={"namespace": self.namespace}))["jobs"]
        return jobs

    def job(self, kind: Kind, name: str) -> Message:
        """Give one job with its Pods and its events."""
        return _message(self.http.get(self._path(kind, name)))

    def named(self, written: str) -> tuple[Kind, str]:
        """Find a job by ``KIND/NAME``, or by its name where only one kind has it."""
        kind_text, slash, name = written.rpartition("/")
        if slash:
            kind = find_kind(kind_text)
            if kind is None:
                raise click.ClickException(f"{kind_text!r} is no kind of training job")
            return kind, name
        found = [kind for job in self.jobs() if job["name"] == name and (kind := find_kind(job["kind"]))]
        if not found:
            raise click.ClickException(
                f"there is no training job {name!r} in namespace {self.namespace}; "
                f"`beamhall jobs list -n {self.namespace}` shows all"
            )
        if len(found) > 1:
            names = ", ".join(f"{kind.kind.lower()}/{name}" for kind in found)
            raise click.ClickException(f"several jobs are named {name!r}; say which: {names}")
        return found[0], name

    def events(self, kind: Kind, name: str) -> Iterator[Message]:
        """Follow a job with its logs to its end, over lost connections."""
        query = {"logs": "true"}
        while True:
            try:
                with self.http.stream("GET", f"{self._path(kind, name)}:events", params=query, timeout=60) as answer:
                    _check(answer)
                    yield from server_sent(answer.iter_lines())
            except (httpx2.ReadError, httpx2.RemoteProtocolError, httpx2.ReadTimeout, httpx2.ConnectError):
                click.echo("the connection is lost; trying again", err=True)
                query["tail"] = "0"  # what was printed is not printed again
                time.sleep(_RETRY_FOLLOW_S)
            else:
                return

    def log(self, kind: Kind, name: str, **query: str | int) -> Iterator[str]:
        """Give the log of all replicas in pieces; ``follow=true`` stays until the job has ended."""
        timeout = httpx2.Timeout(30, read=None)
        with self.http.stream("GET", f"{self._path(kind, name)}:logs", params=query, timeout=timeout) as answer:
            _check(answer)
            yield from answer.iter_text()

    def ensure_namespace(self) -> None:
        """Make the namespace if there is none, where the caller may."""
        answer = self.http.get(f"/k8s{NAMESPACE.path}/namespaces/{self.namespace}")
        if answer.status_code == 404:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
            _message(self.http.post(f"/k8s{NAMESPACE.path}/namespaces", json=body))

    def get(self, kind: Kind, name: str) -> Message:
        """Give an object. Raises ``NoSuchObject``."""
        return _message(self.http.get(f"{self._objects(kind)}/{name}"))

    def create(self, kind: Kind, obj: Message) -> Message:
        """Create an object. Raises ``ObjectExists``."""
        return _message(self.http.post(self._objects(kind), json=obj))

    def patch(self, kind: Kind, name: str, patch: Message) -> Message:
        """Merge a patch into an object. Raises ``NoSuchObject``."""
        headers = {"content-type": "application/merge-patch+json"}
        body = msgspec.json.encode(patch)
        return _message(self.http.patch(f"{self._objects(kind)}/{name}", content=body, headers=headers))

    def delete(self, kind: Kind, name: str) -> None:
        """Delete an object, and in the background what it owns. Raises ``NoSuchObject``."""
        query = {"propagationPolicy": "Background"}
        _message(self.http.delete(f"{self._objects(kind)}/{name}", params=query))

    def _objects(self, kind: Kind) -> str:
        return f"/k8s{kind.path}/namespaces/{self.namespace}/{kind.plural}"

    def _path(self, kind: Kind, name: str) -> str:
        return f"{BASE}/{self.namespace}/{kind.kind.lower()}/{name}"


def jobs_of(data: Path | None, namespace: str) -> JobsApi:
    """Connect to the service that runs on a data directory; errors as ``connection.connect``."""
    return JobsApi(connect(data), namespace or "default")


def _check(answer: httpx2.Response) -> None:
    if answer.status_code != 200:
        answer.read()
        _message(answer)


def _message(answer: httpx2.Response) -> Message:
    try:
        body = msgspec.json.decode(answer.content) if answer.content else {}
    except msgspec.DecodeError:
        body = {}
    if answer.is_success and isinstance(body, Mapping):
        return body
    said = next((body[key] for key in ("message", "error") if isinstance(body, Mapping) and body.get(key)), "")
    error = {404: NoSuchObject, 409: ObjectExists}.get(answer.status_code, click.ClickException)
    raise error(str(said or f"{answer.url} answered {answer.status_code}"))
