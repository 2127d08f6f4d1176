"""Reading and writing the catalog's YAML files: ``images:`` and ``environments:``, checked field by field.

A wrong file raises ``CatalogInvalid`` with file, line and field. What the entries mean together (whether an
environment exists) is checked in ``catalog``, since it takes all the files.

::

    images:
      - image: gcr.io/your-project/your-image   # a name, or a pattern with *
        environment: tensorflow
        path: [~/your-code]                     # directories with the image's own modules
    environments:
      lab:
        python: "3.12"                          # absent: the interpreter that runs Beamhall
        requirements: [numpy==2.4.6, lab-tools] # or the name of a requirements file
        env: {OMP_NUM_THREADS: "2"}
        warm: [numpy]
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from beamhall.catalog.entries import Environment, Image
from beamhall.catalog.errors import CatalogInvalid
from beamhall.catalog.references import parse_reference
from beamhall.kernel.errors import Cause

_Path = tuple[str | int, ...]

_NAME = re.compile(r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")
_PYTHON = re.compile(r"^3\.\d{1,2}(\.\d{1,2})?$")
_IMAGE_FIELDS = ("image", "environment", "env", "path", "workdir", "entrypoint", "command")
_ELSEWHERE = ("-r", "--requirement", "-c", "--constraint", "-e", "--editable")
_ENVIRONMENT_FIELDS = ("about", "python", "requirements", "env", "warm", "torch_backend")


@dataclass(frozen=True, slots=True)
class Document:
    """One file of the catalog.

    Attributes:
        images: Its images, in order.
        environments: Its environments.
        lines: The line of each image's entry, for messages of who checks further.
        has_comments: Whether writing it anew would lose comments.
    """

    images: Sequence[Image] = ()
    environments: Sequence[Environment] = ()
    lines: Mapping[str, int] = field(default_factory=dict)
    has_comments: bool = False


def read_document(file: Path) -> Document:
    """Read one file; a file that is absent is empty.

    Raises:
        CatalogInvalid: It is no YAML, or a field is wrong.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Document()
    except (OSError, UnicodeDecodeError) as e:
        raise CatalogInvalid(f"{file} cannot be read: {e}") from e
    return parse_document(text, file)


def parse_document(text: str, file: Path) -> Document:
    """Read a file's text. Relative paths in it are relative to the file. Raises as ``read_document`` does."""
    reader = _Reader(file, text)
    root = reader.mapping((), reader.root or {}, ("images", "environments"))
    images = [reader.image(("images", i), entry) for i, entry in enumerate(reader.items((), root, "images"))]
    environments = reader.optional((), root, "environments", dict, {})
    return Document(
        images=tuple(images),
        environments=tuple(reader.environment(("environments", name), name, e) for name, e in environments.items()),
        lines={image.pattern: reader.line(("images", i)) for i, image in enumerate(images)},
        has_comments=_has_comments(text.removeprefix(HEADER)),
    )


HEADER = (
    "# Written by 'beamhall images add', which does not keep comments. What may stand here: beamhall images --help\n"
)


def _has_comments(text: str) -> bool:
    """Tell whether there is a ``#`` outside all values; the text is YAML."""
    outside, at = "", 0
    for token in yaml.scan(text, Loader=yaml.CSafeLoader):
        if isinstance(token, yaml.ScalarToken):
            outside += text[at : token.start_mark.index]
            at = token.end_mark.index
    return "#" in outside + text[at:]


def with_image(text: str, image: Image) -> str:
    """Write a document anew with one image more, in the place of an entry of the same pattern if there is one.

    Args:
        text: The document, which ``parse_document`` has accepted. Its comments are lost.
        image: The entry.
    """
    content = yaml.load(text, Loader=yaml.CSafeLoader) or {}
    others = [entry for entry in content.get("images") or [] if entry["image"] != image.pattern]
    content["images"] = [*others, _image_fields(image)]
    return HEADER + yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=110)


def _image_fields(image: Image) -> dict[str, Any]:
    plain: dict[str, Any] = {"image": image.pattern, "environment": image.environment}
    plain |= {"env": dict(image.env), "path": list(image.path), "workdir": image.workdir}
    plain |= {"entrypoint": list(image.entrypoint), "command": list(image.command)}
    return {key: value for key, value in plain.items() if value}


class _Reader:
    """Reads values of one file and knows on which line each of them stands."""

    def __init__(self, file: Path, text: str) -> None:
        self._file = file
        self._lines: dict[_Path, int] = {}
        try:
            node = yaml.compose(text, Loader=yaml.CSafeLoader)
        except yaml.YAMLError as e:
            mark = getattr(e, "problem_mark", None)
            where = f" line {mark.line + 1}" if mark else ""
            hint = "; put names that begin with * in quotes" if "alias" in str(e) else ""
            raise CatalogInvalid(f"{file}{where} is no YAML: {getattr(e, 'problem', None) or e}{hint}") from e
        self.root: Any = None if node is None else self._value(node, ())

    def line(self, path: _Path) -> int:
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def fail(self, path: _Path, what: str) -> CatalogInvalid:
        name = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".") or "the file"
        message = f"{self._file} line {self.line(path)}: {name}: {what}"
        return CatalogInvalid(message, causes=[Cause("FieldValueInvalid", what, name)])

    def mapping(self, path: _Path, value: Any, fields: Sequence[str]) -> dict[str, Any]:
        """Check that a value is a mapping with no other fields than these."""
        if not isinstance(value, dict):
            raise self.fail(path, f"must be a mapping with {', '.join(fields)}")
        for key in value:
            if key not in fields:
                raise self.fail((*path, key), f"is no field here; use {', '.join(fields)}")
        return value

    def optional(self, path: _Path, entry: Mapping[str, Any], key: str, type_: type, default: Any) -> Any:
        value = entry.get(key)
        if value is None:
            return default
        if not isinstance(value, type_):
            names: dict[type, str] = {str: "text (put numbers in quotes)", list: "a list", dict: "a mapping"}
            raise self.fail((*path, key), f"must be {names[type_]}")
        return value

    def items(self, path: _Path, entry: Mapping[str, Any], key: str) -> list[Any]:
        return list(self.optional(path, entry, key, list, []))

    def text(self, path: _Path, entry: Mapping[str, Any], key: str) -> str:
        return str(self.optional(path, entry, key, str, ""))

    def texts(self, path: _Path, entry: Mapping[str, Any], key: str) -> tuple[str, ...]:
        """Give a list of texts; one text alone counts as a list of one."""
        if isinstance(entry.get(key), str):
            return (entry[key],)
        values = self.items(path, entry, key)
        for i, value in enumerate(values):
            if not isinstance(value, str):
                raise self.fail((*path, key, i), "must be text (put numbers in quotes)")
        return tuple(values)

    def variables(self, path: _Path, entry: Mapping[str, Any]) -> dict[str, str]:
        values: dict[str, Any] = self.optional(path, entry, "env", dict, {})
        for key, value in values.items():
            if not isinstance(value, str) or not key or "=" in key:
                raise self.fail((*path, "env", key), "must be a variable's name with text (put numbers in quotes)")
        return values

    def image(self, path: _Path, value: Any) -> Image:
        entry = self.mapping(path, value, _IMAGE_FIELDS)
        for key in ("image", "environment"):
            if not self.text(path, entry, key):
                raise self.fail(path, f"needs the field {key!r}")
        try:
            parse_reference(entry["image"])
        except ValueError as e:
            raise self.fail((*path, "image"), str(e)) from None
        return Image(
            pattern=entry["image"],
            environment=entry["environment"],
            env=self.variables(path, entry),
            path=tuple(str(self._absolute(p)) for p in self.texts(path, entry, "path")),
            workdir=self.text(path, entry, "workdir"),
            entrypoint=self.texts(path, entry, "entrypoint"),
            command=self.texts(path, entry, "command"),
            source=str(self._file),
        )

    def environment(self, path: _Path, name: str, value: Any) -> Environment:
        entry = self.mapping(path, value, _ENVIRONMENT_FIELDS)
        if not _NAME.match(name):
            raise self.fail(path, "must be a name of lower-case letters, digits, '-' and '.'")
        python = self.text(path, entry, "python")
        if python and not _PYTHON.match(python):
            raise self.fail((*path, "python"), f'{python!r} is no version; write it as "3.12"')
        return Environment(
            name=name,
            requirements=self._requirements(path, entry),
            python=python,
            env=self.variables(path, entry),
            warm=self.texts(path, entry, "warm"),
            torch_backend=self.text(path, entry, "torch_backend"),
            about=self.text(path, entry, "about"),
            source=str(self._file),
        )

    def _requirements(self, path: _Path, entry: Mapping[str, Any]) -> Sequence[str]:
        """Give the lines of the requirements, which stand here or in the file that is named."""
        lines: Sequence[str]
        if isinstance(entry.get("requirements"), str):
            file = self._absolute(entry["requirements"])
            try:
                lines = file.read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as e:
                raise self.fail((*path, "requirements"), f"the requirements file {file} cannot be read: {e}") from e
        else:
            lines = self.texts(path, entry, "requirements")
        for line in lines:
            if line.startswith(_ELSEWHERE):
                # What stands in another file is not part of the identity: a change there would go unseen.
                raise self.fail((*path, "requirements"), f"{line!r} points to another place; write the pins out")
        return tuple(lines)

    def _absolute(self, text: str) -> Path:
        return (self._file.parent / Path(text).expanduser()).resolve()

    def _value(self, node: yaml.Node, path: _Path) -> Any:
        """Make the plain value of a node. Mappings have texts as keys, each once."""
        self._lines[path] = node.start_mark.line + 1
        if isinstance(node, yaml.SequenceNode):
            return [self._value(child, (*path, i)) for i, child in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode):
            return _scalar(node)
        result: dict[str, Any] = {}
        for key_node, child in node.value:
            key = key_node.value
            if not isinstance(key, str):
                raise self.fail(path, "has a key that is no text")
            value = self._value(child, (*path, key))
            self._lines[(*path, key)] = key_node.start_mark.line + 1
            if key in result:
                raise self.fail((*path, key), "stands here twice")
            result[key] = value
        return result


def _scalar(node: yaml.Node) -> Any:
    """Give a scalar as YAML means it; only texts and nothing matter here, all else is refused by its type."""
    if node.tag == "tag:yaml.org,2002:str":
        return node.value
    return None if node.tag == "tag:yaml.org,2002:null" else _Other()


class _Other:
    """A scalar that is neither text nor nothing, such as a number: no field takes one."""
