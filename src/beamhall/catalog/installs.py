"""What is installed on top of an environment: the ``pip install`` commands of a step, as values.

Pure. ``entries`` has the environment that comes of it, ``derivation`` makes it; who reads such commands out of a
container's command line is the agent.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = r"(?:===|==|~=|!=|<=|>=|<|>)\s*[A-Za-z0-9.*+!_-]+"
_URL = r"(?:(?:git|hg|svn)\+)?(?:https?|ssh)://[^\s;]+"
_REQUIREMENT = re.compile(
    rf"(?P<name>{_NAME.pattern})\s*(?P<extras>\[[A-Za-z0-9._,\s-]*\])?\s*"
    rf"(?P<what>@\s*{_URL}|\(?\s*(?:{_VERSION}(?:\s*,\s*{_VERSION})*)?\s*\)?)\s*(?P<marker>;[^\n\\]*)?"
)
_ADDRESS = re.compile(_URL)
_FILE = re.compile(r"\.(?:whl|zip|tar|tar\.[a-z0-9]+|tgz)$", re.IGNORECASE)
_OPTION = re.compile(r"\s(?:--|#)")


@dataclass(frozen=True, slots=True)
class Install:
    """One ``pip install``.

    Attributes:
        requirements: What it installs, as ``is_requirement`` permits; the order does not count.
        is_alone: Whether what these need in turn is left out (``--no-deps``).
        index_urls: Package indexes in place of the configured one; pip takes the best version from any of them.
        trusted_hosts: Hosts whose certificates are not checked, such as ``pypi.lab:8443``.
    """

    requirements: tuple[str, ...]
    is_alone: bool = False
    index_urls: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()

    @property
    def is_usual(self) -> bool:
        """Whether all of it comes from the configured index, by name."""
        is_named = not any(_ADDRESS.search(text) for text in self.requirements)
        return is_named and not self.index_urls and not self.trusted_hosts


def is_requirement(text: str) -> bool:
    """Tell whether a text names a package, by name or by address, and is no option, no file and no directory.

    Source: PyPA, "Dependency specifiers" (PEP 508); pip's "VCS support".
    """
    if _OPTION.search(text):
        return False
    if _ADDRESS.fullmatch(text):
        return True
    match = _REQUIREMENT.fullmatch(text)
    return match is not None and not _FILE.search(match["name"])


def normalised(requirement: str) -> str:
    """Write a requirement the one way in which equal ones are equal texts: names as PEP 503 has them, no blanks."""
    match = _REQUIREMENT.fullmatch(requirement.strip())
    if match is None:
        return requirement.strip()
    name = re.sub(r"[-_.]+", "-", match["name"]).lower()
    extras = sorted(e.strip().lower() for e in (match["extras"] or "").strip("[]").split(",") if e.strip())
    what = match["what"]
    if not what.startswith("@"):
        what = ",".join(sorted("".join(part.split()) for part in what.strip("() ").split(",")))
    marker = " ".join((match["marker"] or "").removeprefix(";").split())
    return name + (f"[{','.join(extras)}]" if extras else "") + what + (f"; {marker}" if marker else "")


def key_of(installs: Sequence[Install]) -> str:
    """Give a text that two sequences of installs have in common if, and only if, they ask for the same."""
    return "\n".join(
        "\0".join(
            (
                "alone" if install.is_alone else "",
                " ".join(install.index_urls),
                " ".join(sorted(install.trusted_hosts)),
                *sorted({normalised(r) for r in install.requirements}),
            )
        )
        for install in installs
    )


def uv_index_arguments(install: Install) -> list[str]:
    """Give uv's arguments for where packages come from; none where the install names no index.

    A trusted "host" that is an address is left out, as pip makes nothing of one; the SDK writes them so. That indexes
    count alike is pip's way, and not uv's.
    """
    arguments: list[str] = []
    for i, url in enumerate(install.index_urls):
        arguments += ["--extra-index-url" if i else "--index-url", url]
    if len(install.index_urls) > 1:
        arguments += ["--index-strategy", "unsafe-best-match"]
    for host in install.trusted_hosts:
        if "/" not in host:
            arguments += ["--allow-insecure-host", host]
    return arguments
