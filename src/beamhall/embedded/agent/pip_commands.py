"""Reading ``pip install`` command lines as values. Pure; what is not known is not read. Used by ``components``."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from beamhall.catalog.installs import Install, is_requirement

_WORD = re.compile(
    r"""[ \t]*(?:(?P<and>&&)|'(?P<single>[^'\n]*)'|"(?P<double>[^"$`\\\n]*)"|(?P<plain>[\w@%+=:,./-]+))(?=[ \t]|$)"""
)
_QUIET = frozenset(("--quiet", "-q", "--no-warn-script-location", "--disable-pip-version-check", "--no-cache-dir"))
_PIP = (
    ("python3", "-m", "pip", "install"),
    ("python", "-m", "pip", "install"),
    ("pip", "install"),
    ("pip3", "install"),
)
_NO_CHECK = "PIP_DISABLE_PIP_VERSION_CHECK=1"


def read_commands(text: str) -> list[list[tuple[str, bool]]] | None:
    """Split commands joined by ``&&`` into words, each with whether it was quoted; None: the shell would do more."""
    commands: list[list[tuple[str, bool]]] = [[]]
    at, text = 0, text.strip(" \t")
    while at < len(text):
        word = _WORD.match(text, at)
        if word is None:
            return None
        at = word.end()
        if word["and"]:
            commands.append([])
        elif word["plain"] is not None:
            commands[-1].append((word["plain"], False))
        else:
            commands[-1].append((word["single"] if word["single"] is not None else word["double"], True))
    return commands


@dataclass(slots=True)
class _Options:
    requirements: list[str] = field(default_factory=list)
    is_alone: bool = False
    index: str = ""
    more_indexes: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)


def read_install(words: Sequence[tuple[str, bool]]) -> Install | None:
    """Read a ``pip install`` of words, each with whether it was quoted; None: it is none, or asks for more."""
    plain = [text for text, _ in words]
    if plain[:1] == [_NO_CHECK]:
        plain, words = plain[1:], words[1:]
    head = next((len(pip) for pip in _PIP if tuple(plain[: len(pip)]) == pip), 0)
    if not head or any(is_quoted for _, is_quoted in words[:head]):
        return None
    options, rest = _Options(), iter(plain[head:])
    for word in rest:
        if not _take(options, word, rest):
            return None
    if not options.requirements or (options.more_indexes and not options.index):
        return None
    indexes = (options.index, *options.more_indexes) if options.index else ()
    return Install(tuple(options.requirements), options.is_alone, indexes, tuple(options.hosts))


def _take(options: _Options, word: str, rest: Iterator[str]) -> bool:
    """Take one argument of pip's. False: it is none that is known."""
    if word in _QUIET:
        return True
    if word == "--no-deps":
        options.is_alone = True
        return True
    if word in ("--index-url", "-i", "--extra-index-url", "--trusted-host"):
        value = next(rest, "")
        if word == "--trusted-host":
            options.hosts.append(value)
        elif word == "--extra-index-url":
            options.more_indexes.append(value)
        else:
            options.index = value
        return bool(value) and not value.startswith("-")
    options.requirements.append(word)
    return is_requirement(word)
