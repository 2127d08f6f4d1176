"""Volumes that are made from objects: ConfigMaps, Secrets, fields of the Pod and tokens, as files. Pure.

``contents_needed`` says what must be read, ``files_of`` what the files are. How they get to the disk is
``publishing``'s business, and when ``podvolumes``'.

Source: Kubernetes "Projected Volumes"; ``pkg/volume/projected``.
"""

import base64
import binascii
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from beamhall.embedded.agent.directory import safe_name
from beamhall.embedded.agent.environment import ConfigError, field_value, resource_value
from beamhall.embedded.agent.facts import containers, init_containers, spec_of
from beamhall.kernel.kinds import CONFIG_MAP, PERSISTENT_VOLUME_CLAIM, SECRET, Kind
from beamhall.kernel.objects import Object, ReadOnlyObject, name_of

Volume = Mapping[str, Any]
_KINDS = ("projected", "configMap", "secret", "downwardAPI")
_TOKEN_S = 3600


class VolumeError(Exception):
    """A volume cannot be made as things are; the message says which and why."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of a volume that is made from objects."""

    path: str
    content: bytes
    mode: int


@dataclass(frozen=True, slots=True)
class TokenSpec:
    """What is asked of a service account's token: for whom it is, and how long it holds, in seconds."""

    audience: str
    expiration_s: int


@dataclass(frozen=True, slots=True)
class Contents:
    """What volumes are made from.

    Attributes:
        objects: ConfigMaps, Secrets, claims and their volumes by kind and name; None: there is none of that name.
        tokens: Tokens of the Pod's service account by what was asked for.
        fields: Fields of the Pod that only the agent knows.
        group: The group that volumes are to belong to; None: the service's.
        allocatable: The node's resources.
    """

    objects: Mapping[tuple[Kind, str], Object | None]
    tokens: Mapping[TokenSpec, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    group: int | None = None
    allocatable: Mapping[str, str] = field(default_factory=dict)


def volumes_of(pod: ReadOnlyObject) -> Sequence[Volume]:
    """Give the Pod's volumes."""
    return spec_of(pod).get("volumes") or ()


def contents_needed(pod: ReadOnlyObject, volumes: Sequence[Volume]) -> frozenset[tuple[Kind, str]]:
    """Give which objects must be read to make some of the Pod's volumes."""
    needed: set[tuple[Kind, str]] = set()
    for volume in volumes:
        if claim := claim_of(pod, volume):
            needed.add((PERSISTENT_VOLUME_CLAIM, claim))
        for source in sources_of(volume):
            if config := source.get("configMap"):
                needed.add((CONFIG_MAP, str(config.get("name") or "")))
            if secret := source.get("secret"):
                needed.add((SECRET, str(secret.get("secretName") or secret.get("name") or "")))
    return frozenset(needed)


def tokens_needed(pod: ReadOnlyObject) -> Sequence[TokenSpec]:
    """Give which tokens must be asked for to make the Pod's volumes."""
    return [
        _token_spec(source["serviceAccountToken"])
        for volume in volumes_of(pod)
        for source in sources_of(volume)
        if source.get("serviceAccountToken") is not None
    ]


def claim_of(pod: ReadOnlyObject, volume: Volume) -> str:
    """Give the name of the claim that a volume stands for; empty: it is none."""
    if (claim := volume.get("persistentVolumeClaim")) is not None:
        return str(claim.get("claimName") or "")
    return f"{name_of(pod)}-{volume['name']}" if volume.get("ephemeral") is not None else ""


def is_made_from_objects(volume: Volume) -> bool:
    """Tell whether a volume's files are written by the agent."""
    return any(volume.get(kind) is not None for kind in _KINDS)


def holds_token(volume: Volume) -> bool:
    """Tell whether one of a volume's files is a service account's token."""
    return any(source.get("serviceAccountToken") is not None for source in sources_of(volume))


def files_of(pod: ReadOnlyObject, volume: Volume, contents: Contents) -> Sequence[File]:
    """Give the files of a volume that is made from objects.

    Raises:
        VolumeError: Something that is not optional is missing.
    """
    stated = next((volume[kind].get("defaultMode") for kind in _KINDS if volume.get(kind) is not None), None)
    usual = 0o600 if volume.get("secret") is not None else 0o644
    default_mode = usual if stated is None else int(stated)
    files: dict[str, File] = {}
    for source in sources_of(volume):
        for file in _files_of_source(pod, source, contents, default_mode):
            files[file.path] = file
    return list(files.values())


def decode_secret(secret: ReadOnlyObject) -> dict[str, bytes]:
    """Give a Secret's values as bytes; one that is no base64 counts as empty."""
    decoded: dict[str, bytes] = {}
    for key, value in (secret.get("data") or {}).items():
        with contextlib.suppress(binascii.Error, ValueError):
            decoded[key] = base64.b64decode(value)
    return decoded


def sources_of(volume: Volume) -> Sequence[Mapping[str, Any]]:
    """Give the sources of a volume that is made from objects, each as a projected volume would state it."""
    if (projected := volume.get("projected")) is not None:
        return projected.get("sources") or ()
    return [{kind: volume[kind]} for kind in ("configMap", "secret", "downwardAPI") if volume.get(kind) is not None]


def _files_of_source(
    pod: ReadOnlyObject, source: Mapping[str, Any], contents: Contents, default_mode: int
) -> Iterator[File]:
    if (config := source.get("configMap")) is not None:
        yield from _from_object(config, CONFIG_MAP, contents, default_mode)
    elif (secret := source.get("secret")) is not None:
        yield from _from_object(secret, SECRET, contents, default_mode)
    elif (downward := source.get("downwardAPI")) is not None:
        for item in downward.get("items") or ():
            yield File(_inner(item), _downward(pod, item, contents).encode(), _mode(item, default_mode))
    elif (token := source.get("serviceAccountToken")) is not None:
        yield File(_inner(token), contents.tokens[_token_spec(token)].encode(), default_mode)
    elif (source.get("clusterTrustBundle") or {}).get("optional"):
        return
    else:
        raise VolumeError(f"projected source {sorted(source)} is not supported")


def _token_spec(token: Mapping[str, Any]) -> TokenSpec:
    return TokenSpec(str(token.get("audience") or ""), int(token.get("expirationSeconds") or _TOKEN_S))


def _from_object(reference: Mapping[str, Any], kind: Kind, contents: Contents, default_mode: int) -> Iterator[File]:
    name = str(reference.get("secretName") or reference.get("name") or "")
    found = contents.objects.get((kind, name))
    if found is None:
        if reference.get("optional"):
            return
        raise VolumeError(f'{kind.kind.lower()} "{name}" not found')
    data = _data_of(found)
    items = reference.get("items")
    if not items:
        for key, content in data.items():
            yield File(safe_name(key), content, default_mode)
        return
    for item in items:
        if item["key"] in data:
            yield File(_inner(item), data[item["key"]], _mode(item, default_mode))
        elif not reference.get("optional"):
            raise VolumeError(f'{kind.kind.lower()} "{name}" references non-existent key: {item["key"]}')


def _data_of(obj: ReadOnlyObject) -> dict[str, bytes]:
    if obj.get("kind") == "Secret":
        return decode_secret(obj)
    data = {key: str(value).encode() for key, value in (obj.get("data") or {}).items()}
    for key, value in (obj.get("binaryData") or {}).items():
        data[key] = base64.b64decode(value)
    return data


def _downward(pod: ReadOnlyObject, item: Mapping[str, Any], contents: Contents) -> str:
    try:
        if reference := item.get("fieldRef"):
            return field_value(pod, str(reference.get("fieldPath") or ""), contents.fields)
        reference = item.get("resourceFieldRef") or {}
        named = [c for c in (*containers(pod), *init_containers(pod)) if c["name"] == reference.get("containerName")]
        return resource_value(named[0] if named else {}, reference, contents.allocatable)
    except ConfigError as error:
        raise VolumeError(str(error)) from error


def _inner(item: Mapping[str, Any]) -> str:
    path = str(item.get("path") or "")
    if not path or path.startswith("/") or ".." in path.split("/") or "\0" in path:
        raise VolumeError(f'path "{path}" of a volume item must be relative and without ".."')
    return path


def _mode(item: Mapping[str, Any], default_mode: int) -> int:
    return int(item["mode"]) if item.get("mode") is not None else default_mode
