"""What goes into an environment's directory: an interpreter, its pins, and what is installed on top of them.

What is on top is resolved once, as pip would do it in the environment that stands, and the result is written down with
hashes: who asks for the same later gets the same. Who may fill a directory, and when it is complete, is
``preparation``'s.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import uv

from beamhall.catalog.entries import Environment
from beamhall.catalog.errors import EnvironmentFailed
from beamhall.catalog.installer import Outcome, explain, progress_of, run_uv, uv_environment
from beamhall.catalog.installs import Install, uv_index_arguments
from beamhall.catalog.kfp_sdk import bridge_local_paths, bridge_old_name, stand_in
from beamhall.catalog.pip_settings import has_local_wheel, uv_arguments

_REQUIREMENTS = "requirements.txt"
_SHOWN_LINES = 15
_NOTHING = "Would make no changes"


@dataclass(frozen=True, slots=True)
class Filling:
    """Fills the directory of one environment.

    Attributes:
        environment: Whose it is.
        prefix: The directory.
        lock: A file descriptor with the lock on it, which uv inherits.
        say: Called with a line for people at each step.
    """

    environment: Environment
    prefix: Path
    lock: int
    say: Callable[[str], None]

    async def fill(self) -> None:
        """Make the interpreter, and install the pins.

        Raises:
            EnvironmentFailed: It cannot be done; the message names the requirement that failed.
        """
        environment = self.environment
        self.say(f"making environment {environment.name}")
        wanted = environment.python or sys.executable
        made = await self._uv("venv", "--no-project", "--python", wanted, str(self.prefix), is_told=False)
        if made.exit_code != 0:
            _, why = explain(made.lines, ())
            mend = f"install Python {environment.python}, or change 'python' in {environment.source}"
            what, why = (f"python {environment.python}", f"{why}; {mend}") if environment.python else ("", why)
            raise EnvironmentFailed(environment.name, what, why, made.lines[-_SHOWN_LINES:])
        pins = environment.pins
        if not pins:
            return
        file = self.prefix / _REQUIREMENTS
        await asyncio.to_thread(file.write_text, "\n".join(pins) + "\n", encoding="utf-8")
        self.say("resolving")
        await self._install(file, self._sources(), pins, is_last=not environment.installs)

    async def adds_nothing(self, base: Path) -> bool:
        """Tell whether all that is to be on top is met by what the base has."""
        for install in self.environment.installs:
            wanted = _texts(install)
            command = ["pip", "install", "--dry-run", "--offline", "--no-index", "--python", str(base / "bin/python")]
            outcome = await self._uv(*command, *_depth(install), *wanted, is_told=False)
            if outcome.exit_code != 0 or not any(line.startswith(_NOTHING) for line in outcome.lines):
                return False
        return True

    async def add(self, pins: Path) -> None:
        """Install what is on top of the base.

        Args:
            pins: Beginning of the paths of the files that say what was installed: those that are there are followed.

        Raises:
            EnvironmentFailed: It cannot be done; the message names the requirement that failed.
        """
        for i, install in enumerate(self.environment.installs):
            is_last = i == len(self.environment.installs) - 1
            await self._add(install, pins.with_name(f"{pins.name}-{i}.txt"), is_last=is_last)
        await asyncio.to_thread(bridge_old_name, self.prefix)
        await asyncio.to_thread(bridge_local_paths, self.prefix)

    async def _add(self, install: Install, file: Path, *, is_last: bool) -> None:
        """Carry out one install; where the SDK that it names cannot be had any more, with a newer one."""
        try:
            await self._add_as_it_is(install, file, is_last=is_last)
        except EnvironmentFailed as failure:
            instead = stand_in(install)
            if instead is None:
                raise
            self.say(f"{failure.requirement or 'the SDK'} cannot be had; a newer kfp stands in for it")
            other = file.with_suffix(".instead")
            try:
                await self._add_as_it_is(instead, other, is_last=is_last)
            except EnvironmentFailed:
                await asyncio.to_thread(other.unlink, missing_ok=True)
                raise failure from None
            await asyncio.to_thread(other.replace, file)

    async def _add_as_it_is(self, install: Install, file: Path, *, is_last: bool) -> None:
        """Write down what an install comes to, unless that was done before, and install that."""
        sources = self._sources(install)
        if not await asyncio.to_thread(file.exists):
            self.say(f"resolving {', '.join(install.requirements)}")
            await self._resolve(install, file, sources)
        await self._install(file, ["--no-deps", *sources], install.requirements, is_last=is_last)

    async def _resolve(self, install: Install, file: Path, sources: Sequence[str]) -> None:
        """Write down what an install comes to. Versions that are there already are kept where they meet it."""
        wanted = self.prefix / "wanted.txt"
        draft = self.prefix / "resolved.txt"
        there = await self._uv("pip", "freeze", "--python", self._python, is_told=False)
        known = [line for line in there.lines if "==" in line]
        await asyncio.to_thread(wanted.write_text, "\n".join(_texts(install)) + "\n", encoding="utf-8")
        await asyncio.to_thread(draft.write_text, "\n".join(known) + "\n", encoding="utf-8")
        command = ["pip", "compile", "--python", self._python, "--generate-hashes", "--no-annotate", "--no-header"]
        command += ["--no-emit-index-url", "--no-emit-find-links", "--output-file", str(draft), *_depth(install)]
        outcome = await self._uv(*command, *sources, str(wanted))
        if outcome.exit_code != 0:
            raise self._failure(outcome, install.requirements)
        await asyncio.to_thread(_keep, draft, file)

    async def _install(
        self, file: Path, arguments: Sequence[str], requirements: Sequence[str], *, is_last: bool
    ) -> None:
        command = ["pip", "install", "--python", self._python, "--requirement", str(file), *arguments]
        # Once: what is compiled before it is replaced by another version of the same second and size stays as it was.
        outcome = await self._uv(*command, *(["--compile-bytecode"] if is_last else []))
        if outcome.exit_code != 0:
            raise self._failure(outcome, requirements)

    def _failure(self, outcome: Outcome, requirements: Sequence[str]) -> EnvironmentFailed:
        requirement, why = explain(outcome.lines, requirements)
        shown = [line for line in outcome.lines if line.strip()][-_SHOWN_LINES:]
        return EnvironmentFailed(self.environment.name, requirement, why, shown)

    @property
    def _python(self) -> str:
        return str(self.prefix / "bin" / "python")

    def _sources(self, install: Install | None = None) -> list[str]:
        """Say where packages come from: the indexes that an install names, else those of the machine's setup."""
        env = uv_environment(os.environ, self.prefix, self.environment.python)
        torch = _torch_arguments(self.environment, env)
        named = uv_index_arguments(install) if install else []
        return [*(named or uv_arguments(os.environ)), *torch]

    async def _uv(self, *arguments: str, is_told: bool = True) -> Outcome:
        env = uv_environment(os.environ, self.prefix, self.environment.python)
        command = [_program(self.environment), *arguments]
        return await run_uv(command, env, self.lock, self._report if is_told else lambda _: None)

    def _report(self, line: str) -> None:
        """Pass on what is worth saying of uv's lines."""
        message = progress_of(line)
        if message:
            self.say(message)


def _texts(install: Install) -> Sequence[str]:
    return sorted(set(install.requirements))


def _depth(install: Install) -> Sequence[str]:
    return ["--no-deps"] if install.is_alone else []


def _keep(draft: Path, file: Path) -> None:
    """Move a file to its place, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with draft.open("rb") as written:
        os.fsync(written.fileno())
    draft.replace(file)


def _torch_arguments(environment: Environment, env: dict[str, str]) -> list[str]:
    """Say where PyTorch comes from: a wheel at hand if one meets the pin, else the index of the wanted builds.

    ``--torch-backend`` looks at nothing but that index, so a machine without a way to it would fail with the wheel at
    hand.
    """
    if not environment.torch_backend or env.get("UV_TORCH_BACKEND"):
        return []
    pin = next((pin for pin in environment.pins if pin.startswith("torch==")), "")
    if pin and has_local_wheel(pin, env, environment.python):
        return []
    return ["--torch-backend", environment.torch_backend]


def _program(environment: Environment) -> str:
    try:
        return uv.find_uv_bin()
    except FileNotFoundError as e:
        raise EnvironmentFailed(environment.name, "", f"uv is missing beside Beamhall ({e}); pip install uv") from e
