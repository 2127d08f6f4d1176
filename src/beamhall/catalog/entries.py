"""The values of the catalog: an environment, an image, and an environment that is ready to run programs.

Plain values; ``document`` reads them from YAML, ``preparation`` makes a ``Prepared``.
"""

import hashlib
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from beamhall.catalog.installs import Install, key_of

_LAYOUT = "1"
"""Change this when environments are made in another way, so that old ones are not taken for new ones."""


@dataclass(frozen=True)
class Environment:
    """A Python environment that can be made.

    Attributes:
        name: What users call it.
        requirements: The lines of its requirements file, hashes and all; empty: the standard library alone.
        python: Version of the interpreter, such as ``3.12``; empty: the one that runs Beamhall.
        env: Variables of every program that runs in it.
        warm: Modules that a warm parent process imports. None where a module starts threads when imported.
        torch_backend: Where uv takes PyTorch from (uv's ``--torch-backend``); empty: from the index like all else.
        about: One line for people.
        source: The file that states it.
        base: What this one is derived from, with the same requirements; None: nothing.
        installs: What it has on top of its base, in this order.
    """

    name: str
    requirements: Sequence[str] = ()
    python: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    warm: Sequence[str] = ()
    torch_backend: str = ""
    about: str = ""
    source: str = ""
    base: "Environment | None" = None
    installs: tuple[Install, ...] = ()

    @cached_property
    def identity(self) -> str:
        """Give the name of the environment's directory: a hash of its pins, its interpreter and the machine's kind."""
        if self.base is not None:
            text = f"{_LAYOUT}\0{self.base.identity}\0{key_of(self.installs)}"
            return f"step-{self.base.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        python = self.python or platform.python_version()
        parts = (_LAYOUT, sys.implementation.name, python, platform.machine(), self.torch_backend, *self.pins)
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        return f"{self.name}-{digest[:12]}"

    @property
    def pins(self) -> Sequence[str]:
        """Give the requirement lines that count: no comments, no empty lines."""
        lines = (line.split(" #")[0].strip() for line in self.requirements)
        return tuple(line for line in lines if line and not line.startswith("#"))


@dataclass(frozen=True, slots=True)
class Image:
    """What stands for the images that a pattern matches.

    Attributes:
        pattern: An image name with wildcards; see ``references.matches``.
        environment: Name of its environment.
        env: Variables of the image, over those of the environment.
        path: Absolute directories with the image's own modules, put on ``PYTHONPATH``.
        workdir: The working directory; empty: none of the image's own.
        entrypoint: As in an image's configuration: what a container's ``command`` replaces.
        command: As in an image's configuration: what a container's ``args`` replace.
        source: The file that states it.
        installs: What a program of it needs on top of its environment.
    """

    pattern: str
    environment: str
    env: Mapping[str, str] = field(default_factory=dict)
    path: Sequence[str] = ()
    workdir: str = ""
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    source: str = ""
    installs: tuple[Install, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """An environment that is complete, for one image.

    Attributes:
        image: The entry that asked for it.
        environment: The environment's name.
        prefix: Its directory.
        python: Its interpreter.
        bin: Where its commands are; goes first in ``PATH``.
        env: Variables of the environment, then of the image. ``PATH`` and ``PYTHONPATH`` are left to the caller.
        warm: Modules that a warm parent process imports; none: start afresh each time.
    """

    image: Image
    environment: str
    prefix: Path
    python: Path
    bin: Path
    env: Mapping[str, str]
    warm: Sequence[str]

    @property
    def workdir(self) -> str:
        """The image's working directory; empty: none."""
        return self.image.workdir

    @property
    def entrypoint(self) -> Sequence[str]:
        """The image's entrypoint."""
        return self.image.entrypoint

    @property
    def command(self) -> Sequence[str]:
        """The image's default arguments."""
        return self.image.command


def derived(base: Environment, installs: Sequence[Install]) -> Environment:
    """Give an environment with more installed; the base itself where there is no more."""
    if not installs:
        return base
    names = ", ".join(r for install in installs for r in install.requirements)
    return replace(base, name=f"{base.name} with {names}", base=base, installs=tuple(installs))


def prepared_at(prefix: Path, environment: Environment, image: Image) -> Prepared:
    """Say how programs of an image run in an environment that is complete."""
    # A user's own site-packages would shadow the pins, and make two users' jobs differ.
    own = {"VIRTUAL_ENV": str(prefix), "PYTHONNOUSERSITE": "1"}
    return Prepared(
        image=image,
        environment=environment.name,
        prefix=prefix,
        python=prefix / "bin" / "python",
        bin=prefix / "bin",
        env={**own, **environment.env, **image.env},
        warm=tuple(environment.warm),
    )
