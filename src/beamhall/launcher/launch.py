"""Around a step: its inputs are fetched, its command runs, its outputs are stored.

Source: reference "KFP", 2.8; kubeflow/pipelines ``backend/src/v2/component/launcher_v2.go``.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from beamhall.kernel.errors import ApiError, UserError
from beamhall.launcher.command import run
from beamhall.launcher.orders import Orders, orders_of
from beamhall.launcher.pausing import pause_after, pause_before
from beamhall.storage import Stores, locate

_OUTPUT_FILE = "executor_output.json"
_PARAMETERS = "parameters"
_AT_ONCE = 8
_FAILED = 1


def main(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Do what is ordered. What goes wrong is said on the error output, in one line.

    Returns:
        The exit code of the step's command; 1 if something around it failed.
    """
    try:
        orders = orders_of(arguments, environ)
        stores = Stores(orders.options)
        _fetch(orders, stores)
        pause_before(environ)
        code = run(orders.command, orders.env)
        pause_after(environ, code)
        if code == 0:
            _store(orders, stores)
    except (UserError, ApiError) as error:
        _say(str(error))
        return _FAILED
    return code


def _fetch(orders: Orders, stores: Stores) -> None:
    """Get what the step reads, and make the directories that it writes to."""

    def fetch(pair: tuple[str, str]) -> None:
        uri, path = pair
        at = locate(uri)
        if not stores.of(at).fetch(at, Path(path)):
            _say(f"there is nothing at {uri}; the step goes on without it")

    _at_once(fetch, (pair for pair in orders.fetch if pair[1].startswith("/")), "fetch an input")
    for path, _ in orders.store:
        try:
            Path(path, _PARAMETERS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make {path} for the step's outputs: {error.strerror}") from error


def _store(orders: Orders, stores: Stores) -> None:
    """Keep what the step wrote; last of all what it says of it, so that where that is, all is."""

    def store(pair: tuple[Path, str]) -> None:
        path, uri = pair
        at = locate(uri)
        stores.of(at).keep(path, at)

    for directory, uri in orders.store:
        told = Path(directory, _OUTPUT_FILE)
        moved = list(_moved(told, orders, directory, uri))
        _at_once(store, moved, "store an output")
        if locate(uri).is_local:
            continue
        taken = {path for path, _ in moved}
        entries = sorted(path for path in Path(directory).iterdir() if path != told and path not in taken)
        _at_once(store, ((path, f"{uri}/{path.name}") for path in entries), "store an output")
        if told.exists():
            _at_once(store, [(told, f"{uri}/{_OUTPUT_FILE}")], "store an output")


def _moved(told: Path, orders: Orders, directory: str, uri: str) -> Iterator[tuple[Path, str]]:
    """Give what the step left elsewhere than in its directory, with where it belongs."""
    fetched = {at for at, _ in orders.fetch}
    for artifact in _artifacts(told):
        place = str(artifact.get("uri") or "")
        custom = str(artifact.get("custom_path") or artifact.get("customPath") or "")
        if custom and place:
            if not Path(custom).exists():
                _say(f"the step says that an artifact is at {custom}, where there is nothing")
            elif os.path.realpath(custom) != os.path.realpath(place):
                yield Path(custom), place
        elif "://" in place and place not in fetched and not place.startswith(f"{uri}/"):
            path = Path("/", *_mount_of(place), *locate(place).path.split("/"))
            if _mount_of(place) and path.exists() and not path.is_relative_to(directory):
                yield path, place


def _mount_of(uri: str) -> tuple[str, ...]:
    at = locate(uri)
    mount = {"s3": "s3", "minio": "minio", "gs": "gcs"}.get(at.scheme)
    return (mount, at.bucket) if mount else ()


def _artifacts(told: Path) -> Iterator[Mapping[str, Any]]:
    """Give the artifacts of an ExecutorOutput. What is wrong with it is said by who reads it next."""
    try:
        output = json.loads(told.read_bytes())
        for listed in (output.get("artifacts") or {}).values():
            yield from (one for one in listed.get("artifacts") or () if isinstance(one, dict))
    except (OSError, ValueError, AttributeError, TypeError):
        return


def _at_once(do: Callable[[Any], None], pairs: Iterable[tuple[Any, Any]], what: str) -> None:
    try:
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            for _ in threads.map(do, pairs):
                pass
    except ApiError as error:
        raise UserError(f"cannot {what}: {error.message}") from error


def _say(words: str) -> None:
    sys.stderr.write(f"beamhall: {words}\n")
    sys.stderr.flush()
