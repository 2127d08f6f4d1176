"""What an initializer of a TrainJob runs: a dataset or a model comes to where the nodes look for it.

    beamhall-initializer (dataset|model) DIRECTORY

It stands in for the programs of Kubeflow Trainer's images ``dataset-initializer`` and ``model-initializer``, and reads
their variables: ``STORAGE_URI``, ``IGNORE_PATTERNS``, ``ACCESS_TOKEN`` (Hugging Face), and ``ENDPOINT``,
``ACCESS_KEY_ID``, ``SECRET_ACCESS_KEY``, ``REGION`` (S3). Besides ``hf://`` and ``s3://`` it takes whatever ``storage``
serves. The Hub is left to its own program ``hf``, which the image's environment has.

Source: kubeflow/trainer v2.3, ``pkg/initializers``.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from beamhall.kernel.errors import ApiError, UserError
from beamhall.launcher.command import run
from beamhall.storage import Location, StoreOptions, Stores, locate
from beamhall.storage.protocol import Store

_KINDS = ("dataset", "model")
_IGNORED_OF_MODELS = "*.msgpack,*.h5,*.bin,*.pt,*.pth"
_HUB = "hf"
_CACHE = "cache"
_AT_ONCE = 8
_FAILED = 1


def main(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Fetch what ``STORAGE_URI`` names. What goes wrong is said on the error output, in one line.

    Returns:
        0, or 1 if it could not be fetched.
    """
    try:
        if len(arguments) != 2 or arguments[0] not in _KINDS:
            raise UserError("usage: beamhall-initializer (dataset|model) DIRECTORY")
        kind, directory = arguments[0], Path(arguments[1])
        uri = environ.get("STORAGE_URI", "")
        if not uri:
            raise UserError(f"the {kind}'s storageUri is missing: STORAGE_URI environment variable must be set")
        ignored = _ignored(kind, environ)
        _make(directory)
        if uri.startswith(f"{_HUB}://"):
            _download(kind, uri, directory, ignored, environ)
        else:
            _fetch(uri, directory, ignored, environ)
    except (UserError, ApiError) as error:
        sys.stderr.write(f"beamhall: {error}\n")
        return _FAILED
    return 0


def _ignored(kind: str, environ: Mapping[str, str]) -> Sequence[str]:
    """Give the patterns of files that are not wanted."""
    text = environ.get("IGNORE_PATTERNS", _IGNORED_OF_MODELS if kind == "model" else "")
    return [pattern.strip() for pattern in text.split(",") if pattern.strip()]


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot make {directory}: {error.strerror}; mount a volume at {directory.parent} in the initializer"
        ) from error


def _download(kind: str, uri: str, directory: Path, ignored: Sequence[str], environ: Mapping[str, str]) -> None:
    """Have the Hub's own program fetch a repository whole."""
    repository = "/".join(uri.removeprefix(f"{_HUB}://").strip("/").split("/")[:2])
    if not repository:
        raise UserError(f"{uri} names no repository; write hf://OWNER/NAME")
    env = {**environ, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    if token := environ.get("ACCESS_TOKEN"):
        env["HF_TOKEN"] = token
    excluded = [word for pattern in ignored for word in ("--exclude", pattern)]
    download = ["hf", "download", repository, "--repo-type", kind, "--local-dir", str(directory), *excluded]
    # What an attempt before has left, it takes for the whole where it does not reach the Hub: so that is asked first.
    code = run(["hf", f"{kind}s", "info", repository], env) if any(directory.iterdir()) else 0
    code = code or run(download, env)
    if code:
        raise UserError(f"cannot download {uri}: hf ended with {code}; what it says stands above")


def _fetch(uri: str, directory: Path, ignored: Sequence[str], environ: Mapping[str, str]) -> None:
    """Fetch a file, or all files below a directory, from a store."""
    if uri.startswith(f"{_CACHE}://"):
        raise UserError(f"{uri}: the distributed data cache is not served here; name where the data itself is")
    if environ.get("ROLE_ARN"):
        raise UserError("ROLE_ARN is not served here; give ACCESS_KEY_ID and SECRET_ACCESS_KEY")
    at = locate(uri)
    store = Stores([_options(at, environ)] if at.scheme == "s3" else ()).of(at)
    wanted = list(_wanted(store, at, ignored))

    def fetch(pair: tuple[Location, str]) -> None:
        store.fetch(pair[0], directory / pair[1])

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for _ in threads.map(fetch, wanted):
            pass
    sys.stdout.write(f"{len(wanted)} {'file' if len(wanted) == 1 else 'files'} of {uri} in {directory}\n")


def _options(at: Location, environ: Mapping[str, str]) -> StoreOptions:
    return StoreOptions(
        at.scheme,
        endpoint=environ.get("ENDPOINT", ""),
        region=environ.get("REGION", ""),
        key=environ.get("ACCESS_KEY_ID", ""),
        secret=environ.get("SECRET_ACCESS_KEY", ""),
    )


def _wanted(store: Store, at: Location, ignored: Sequence[str]) -> Iterator[tuple[Location, str]]:
    """Give the files to fetch, with their paths below the directory.

    Raises:
        UserError: There is nothing.
    """
    found = store.stat(at)
    if found is None:
        raise UserError(f"there is nothing at {at.uri}")
    if not found.is_directory:
        yield at, PurePosixPath(at.path).name
        return
    for entry in store.tree(at):
        if not entry.stat.is_directory and not any(fnmatch(entry.name, pattern) for pattern in ignored):
            yield at.below(entry.name), entry.name


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
