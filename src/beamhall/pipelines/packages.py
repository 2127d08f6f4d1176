"""Packages that users upload: YAML, JSON, zip, tar.gz. From bytes to the documents that ``spec.reading`` takes.

What a package is, its content says, not its name. Archives are read in memory and never unpacked to disk, so that names
in them can do no harm; everything has a limit, so that neither a bomb nor nesting can. Blocking: call it in a thread.

Source: reference "KFP", section 1.5 (package formats).
"""

import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from gzip import GzipFile
from typing import IO, Any

import msgspec
import yaml

from beamhall.kernel.errors import BadRequest, TooLarge
from beamhall.pipelines.spec.sources import Json

MAX_PACKAGE_BYTES = 32 * 2**20
"""How large a package may be, and the specification in it."""

MAX_UNPACKED_BYTES = 2 * MAX_PACKAGE_BYTES
"""How large an archive may be when it is decompressed."""

MAX_MEMBERS = 1_000
MAX_NODES = 1_000_000
MAX_DEPTH = 200
"""How many values a YAML document may have, and how deep they may be nested: libyaml overruns the stack otherwise."""

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_ZIP_ENTRY = b"PK\x01\x02"
_GZIP = b"\x1f\x8b"
_ENDINGS = (".yaml", ".yml", ".json")
_BEST = ("pipeline.yaml", "pipeline.yml", "pipeline.json")
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, RuntimeError,
    NotImplementedError,
)  # fmt: skip


def documents_of(content: bytes, file_name: str = "") -> Sequence[Json]:
    """Give the documents of a package: a specification, and perhaps a platform specification.

    Args:
        content: The package.
        file_name: What it was called; only said in messages.

    Raises:
        TooLarge: It, or what is in it, is over a limit.
        BadRequest: It cannot be read.
    """
    called = f"the package {file_name!r}" if file_name else "the package"
    if len(content) > MAX_PACKAGE_BYTES:
        raise TooLarge(f"{called} has {len(content)} bytes; {MAX_PACKAGE_BYTES} are allowed")
    try:
        if content.startswith(_ZIP):
            content = _from_zip(content)
        elif content.startswith(_GZIP):
            content = _from_tar(content)
    except _BROKEN as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadRequest(f"{called} is a broken archive: {reason}") from error
    return _documents(content, called)


def _from_zip(content: bytes) -> bytes:
    if content.count(_ZIP_ENTRY) > MAX_MEMBERS:
        raise BadRequest(f"the archive has more than {MAX_MEMBERS} files")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        name = _chosen([entry.filename for entry in archive.infolist() if not entry.is_dir()])
        with archive.open(name) as member:
            return _limited(member, MAX_PACKAGE_BYTES)


def _from_tar(content: bytes) -> bytes:
    with GzipFile(fileobj=io.BytesIO(content)) as compressed:
        unpacked = _limited(compressed, MAX_UNPACKED_BYTES)
    with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r:") as archive:
        files: dict[str, tarfile.TarInfo] = {}
        for number, member in enumerate(archive):
            if number >= MAX_MEMBERS:
                raise BadRequest(f"the archive has more than {MAX_MEMBERS} files")
            if member.isreg():
                files[member.name] = member
        found = archive.extractfile(files[_chosen(list(files))])
        assert found is not None, "a regular file has content"
        return _limited(found, MAX_PACKAGE_BYTES)


def _limited(file: IO[bytes] | GzipFile, limit: int) -> bytes:
    """Read a file of an archive: no more is decompressed than may be."""
    found = file.read(limit + 1)
    if len(found) > limit:
        raise TooLarge(f"the archive holds more than {limit} bytes when it is decompressed")
    return found


def _chosen(names: Sequence[str]) -> str:
    """Choose the file of an archive that is the specification: the only one, or ``pipeline.yaml``."""
    plain = {name: name.removeprefix("./") for name in names}
    found = [name for name in names if name.lower().endswith(_ENDINGS) and not _is_litter(plain[name])]
    best = [name for wanted in _BEST for name in found if plain[name] == wanted]
    if not best and len(found) != 1:
        what = f"{len(found)} of them" if found else "none"
        raise BadRequest(f"the archive must hold a pipeline.yaml, or one YAML or JSON file; there are {what}")
    return (best or found)[0]


def _is_litter(name: str) -> bool:
    """Tell whether a file is one that macOS puts beside others."""
    return name.startswith("__MACOSX/") or name.rpartition("/")[2].startswith("._")


def _documents(content: bytes, called: str) -> Sequence[Json]:
    content = content.removeprefix(b"\xef\xbb\xbf").strip()
    if not content:
        raise BadRequest(f"{called} is empty")
    if content.startswith(b"{"):
        try:
            return [msgspec.json.decode(content)]
        except (msgspec.DecodeError, RecursionError):
            pass  # YAML can begin so, too, and says better what is wrong
    try:
        text = content.decode()
        _check_shape(text, called)
        loaded = list(yaml.load_all(text, _Loader))
        found: list[Json] = msgspec.json.decode(msgspec.json.encode(loaded))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadRequest(f"{called} is neither YAML nor JSON: {_place(error)}") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRequest(f"{called} holds what JSON has no form for: {error}") from error
    return [document for document in found if document is not None]


def _check_shape(text: str, called: str) -> None:
    """Count before anything is built: memory, time and the C parser's stack are spent on what passes only."""
    depth = n_nodes = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            raise BadRequest(f"{called} has an alias (*{event.anchor}): write the value out")
        elif isinstance(event, yaml.NodeEvent):
            n_nodes += 1
            depth += isinstance(event, yaml.CollectionStartEvent)
        if depth > MAX_DEPTH:
            raise BadRequest(f"{called} is nested more than {MAX_DEPTH} deep")
        if n_nodes > MAX_NODES:
            raise TooLarge(f"{called} has more than {MAX_NODES} values")


class _Loader(yaml.CSafeLoader):
    """Reads YAML as JSON would have it: what looks like a time is text, and no name is given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001,FBT002 - PyYAML's
        """Make a mapping; a task that is there twice would else silently be the last one."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"{key.value!r} is given twice", key.start_mark
                    )  # fmt: skip
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def _place(error: Exception) -> str:
    """Say what is wrong and where, in one line."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split())[:300]
    return f"{getattr(error, 'problem', None) or 'it cannot be read'} (line {mark.line + 1}, column {mark.column + 1})"
