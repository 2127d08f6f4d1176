"""The ``providers`` of ConfigMap ``kfp-launcher``: how stores are reached, as values. Pure; read ``roots`` next.

    s3:
      default: {endpoint: …, region: …, credentials: {secretRef: {secretName: …, accessKeyKey: …, secretKeyKey: …}}}
      overrides: [{bucketName: …, keyPrefix: …, credentials: {fromEnv: true}}]

Source: kubeflow/pipelines ``backend/src/v2/config/s3.go``, ``minio.go``, ``gcs.go``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from beamhall.kernel.errors import BadRequest
from beamhall.storage import StoreOptions

_SCHEMES = ("minio", "s3", "gs")


@dataclass(frozen=True, slots=True)
class Provider:
    """How a store is reached, with where its credentials are.

    Attributes:
        options: Without credentials.
        secret_name: The Secret that has them; empty: the environment has.
        key_key: Its key with the access key; empty for ``gs``.
        secret_key: Its key with the secret part.
    """

    options: StoreOptions
    secret_name: str = ""
    key_key: str = ""
    secret_key: str = ""

    def source(self, namespace: str) -> str:
        """Say where its credentials are, for messages."""
        keys = " and ".join(repr(key) for key in (self.key_key, self.secret_key) if key)
        return f"Secret {self.secret_name} in namespace {namespace} (keys {keys})"


def providers_of(text: str, where: str) -> Sequence[Provider]:
    """Read providers: those for a part of a store before that for all of it.

    Args:
        text: YAML.
        where: What it stands in, for messages.

    Raises:
        BadRequest: It cannot be read; the message says which field.
    """
    try:
        found = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise BadRequest(f"{where}: providers is no YAML: {str(error).splitlines()[0]}") from error
    fields = _Fields(found or {}, f"{where}: providers")
    return [one for scheme in _SCHEMES if fields.has(scheme) for one in _of_scheme(scheme, fields.object(scheme))]


class _Fields:
    """An object, whose fields are known by name whatever their case, as Go reads them."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, Mapping):
            raise BadRequest(f"{where} must be an object, is {value!r}")
        self.where = where
        self._fields = {str(name).lower(): item for name, item in value.items()}

    def has(self, name: str) -> bool:
        return self._fields.get(name.lower()) is not None

    def object(self, name: str) -> "_Fields":
        return _Fields(self._fields[name.lower()], f"{self.where}.{name}")

    def objects(self, name: str) -> "Iterator[_Fields]":
        items = self._fields.get(name.lower()) or []
        if not isinstance(items, list):
            raise BadRequest(f"{self.where}.{name} must be a list, is {items!r}")
        for n, item in enumerate(items):
            yield _Fields(item, f"{self.where}.{name}[{n}]")

    def get(self, name: str, default: Any) -> Any:
        value = self._fields.get(name.lower())
        if value is None:
            return default
        if type(value) is not type(default):
            kind = {str: "text", bool: "true or false", int: "a number"}[type(default)]
            raise BadRequest(f"{self.where}.{name} must be {kind}, is {value!r}")
        return value

    def required(self, name: str) -> str:
        value = str(self.get(name, ""))
        if not value:
            raise BadRequest(f"{self.where}.{name} is missing")
        return value


def _of_scheme(scheme: str, fields: _Fields) -> Iterator[Provider]:
    whole = fields.object("default") if fields.has("default") else None
    plain = _options(whole, StoreOptions(scheme)) if whole is not None else StoreOptions(scheme)
    for part in fields.objects("overrides"):
        yield _provider(scheme, part, _options(part, plain))
    if whole is not None:
        yield _provider(scheme, whole, plain)


def _options(fields: _Fields, base: StoreOptions) -> StoreOptions:
    return StoreOptions(
        scheme=base.scheme,
        bucket=fields.get("bucketName", ""),
        prefix=fields.get("keyPrefix", ""),
        endpoint=fields.get("endpoint", base.endpoint),
        region=fields.get("region", base.region),
        is_secure=not fields.get("disableSSL", not base.is_secure),
        is_path_style=fields.get("forcePathStyle", base.is_path_style),
        retries=fields.get("maxRetries", base.retries),
    )


def _provider(scheme: str, fields: _Fields, options: StoreOptions) -> Provider:
    if not fields.has("credentials"):
        raise BadRequest(f"{fields.where}.credentials is missing: write fromEnv: true, or secretRef")
    credentials = fields.object("credentials")
    if credentials.get("fromEnv", False):
        return Provider(options)
    if not credentials.has("secretRef"):
        raise BadRequest(f"{credentials.where}.secretRef is missing; or write fromEnv: true")
    reference = credentials.object("secretRef")
    name = reference.required("secretName")
    if scheme == "gs":
        return Provider(options, name, "", reference.required("tokenKey"))
    return Provider(options, name, reference.required("accessKeyKey"), reference.required("secretKeyKey"))
