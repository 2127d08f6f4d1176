"""The file systems of ``fsspec``, one function a scheme. They are imported when one is used first: they are heavy."""

import importlib
import json
import os
from typing import Any

from beamhall.kernel.errors import BadRequest
from beamhall.storage.options import StoreOptions
from beamhall.storage.remote import FileSystem

_S3_ADVICE = (
    "name a Secret with them in ConfigMap kfp-launcher (providers.{scheme}), or set AWS_ACCESS_KEY_ID and"
    " AWS_SECRET_ACCESS_KEY where the service starts"
)
_GS_ADVICE = (
    "name a Secret with a service account's key in ConfigMap kfp-launcher (providers.gs), or set"
    " GOOGLE_APPLICATION_CREDENTIALS where the service starts"
)
_ENDPOINT_ENV = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_NO_ENDPOINT = (
    "minio:// has no address here: set providers.minio.default.endpoint in ConfigMap kfp-launcher, or AWS_ENDPOINT_URL"
    " where the service starts; or give the run another pipeline root"
)
_CONNECT_S = 10
_ONCE = {"max_attempts": 1, "mode": "standard"}  # s3fs tries again by itself


def s3(options: StoreOptions) -> FileSystem:
    """Make a file system for S3, or for what speaks it."""
    if options.scheme == "minio" and not options.endpoint and not any(map(os.environ.get, _ENDPOINT_ENV)):
        raise BadRequest(_NO_ENDPOINT)
    module = _load("s3fs", options.scheme, "s3")
    botocore = importlib.import_module("botocore.exceptions")
    addressing = "path" if options.is_path_style else "virtual"
    system = module.S3FileSystem(
        key=options.key or None,
        secret=options.secret or None,
        endpoint_url=options.endpoint_url or None,
        client_kwargs={"region_name": options.region} if options.region else {},
        config_kwargs={"s3": {"addressing_style": addressing}, "connect_timeout": _CONNECT_S, "retries": _ONCE},
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    system.retries = max(1, options.retries)
    advice = _S3_ADVICE.format(scheme=options.scheme)
    return FileSystem(system, (botocore.BotoCoreError, botocore.ClientError), advice)


def gs(options: StoreOptions) -> FileSystem:
    """Make a file system for Google's store."""
    module = _load("gcsfs", options.scheme, "gcs")
    http, auth = importlib.import_module("gcsfs.retry"), importlib.import_module("google.auth.exceptions")
    system = module.GCSFileSystem(
        token=_token(options),
        endpoint_url=options.endpoint_url or None,
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    return FileSystem(system, (http.HttpError, auth.GoogleAuthError), _GS_ADVICE)


def memory(options: StoreOptions) -> FileSystem:
    """Make a file system in this process' memory, for tests."""
    return FileSystem(_load("fsspec.implementations.memory", options.scheme, "").MemoryFileSystem())


def _token(options: StoreOptions) -> Any:
    if not options.secret:
        return None
    try:
        return json.loads(options.secret)
    except ValueError:  # not chained: the error would show the secret
        raise BadRequest(
            "the key of the service account for gs:// is no JSON; store the file as Google gave it"
        ) from None


def _load(module: str, scheme: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise BadRequest(f"{scheme}:// needs {error.name}: install it by `pip install 'beamhall[{extra}]'`") from error
