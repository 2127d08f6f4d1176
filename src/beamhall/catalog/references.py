"""Image references and the patterns that match them. Pure text; what stands for an image is in ``entries``.

Source: the OCI distribution specification's names, and Docker's normalisation of short names (``python`` is
``docker.io/library/python:latest``).
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

_DEFAULT_REGISTRIES = ("docker.io", "index.docker.io", "registry-1.docker.io")
_WILD = "*?["


@dataclass(frozen=True, slots=True)
class Reference:
    """An image's name in its parts.

    Attributes:
        name: Registry and repository; without the registry (and ``library/``) where that is Docker's own.
        tag: The tag; empty if none is given.
        digest: Such as ``sha256:…``; empty if none is given.
    """

    name: str
    tag: str = ""
    digest: str = ""


def parse_reference(text: str) -> Reference:
    """Read an image reference, or a pattern of references.

    Raises:
        ValueError: The text is empty, or has blanks in it.
    """
    text = text.strip()
    if not text or any(c.isspace() for c in text):
        raise ValueError(f"{text!r} is no image name; write it as repository/name:tag")
    rest, _, digest = text.partition("@")
    head, slash, last = rest.rpartition("/")
    last, _, tag = last.partition(":")
    if not head + last:
        raise ValueError(f"{text!r} is no image name; write it as repository/name:tag")
    return Reference(_normalise(head + slash + last), tag, digest)


def matches(pattern: str, reference: str) -> bool:
    """Tell whether a pattern (``*``, ``?``, ``[abc]``; ``*`` also matches ``/``) means an image reference.

    A pattern without a tag means every tag, one without a digest every digest. No tag in the reference is ``latest``.
    """
    wanted, given = parse_reference(pattern), parse_reference(reference)
    if wanted.digest and wanted.digest != given.digest:
        return False
    if wanted.tag and not fnmatchcase(given.tag or ("" if given.digest else "latest"), wanted.tag):
        return False
    return fnmatchcase(given.name, wanted.name)


def specificity(pattern: str) -> tuple[bool, int, int]:
    """Rank a pattern: a plain name beats one with wildcards, then the one that spells out more characters wins."""
    parts = parse_reference(pattern)
    text = f"{parts.name}:{parts.tag}@{parts.digest}"
    n_wild = sum(text.count(c) for c in _WILD)
    return n_wild == 0, len(text) - n_wild, -n_wild


def _normalise(name: str) -> str:
    registry, slash, rest = name.partition("/")
    if slash and registry in _DEFAULT_REGISTRIES:
        name = rest
    return name.removeprefix("library/")
