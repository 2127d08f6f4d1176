"""Running uv: its variables, its output as progress for people, and its errors as one sentence.

Nothing here knows where environments are or when one is complete; that is ``preparation``.
"""

import asyncio
import os
import re
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from beamhall.catalog.pip_settings import uv_variables

_KEPT_LINES = 400
_GRACE_S = 5.0
_TIED = """
exec 3<&0
"$@" </dev/null 3<&- & child=$!
( read -r line <&3; kill -KILL $child ) 2>/dev/null & watcher=$!
exec 3<&-
wait $child; code=$?
kill $watcher 2>/dev/null
exit $code
"""
"""Runs a program that is killed when standard input ends: as it does when we close it, or are killed ourselves."""
_NOT_OURS = ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONHOME", "PYTHONPATH", "UV_PYTHON", "UV_PROJECT")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run of uv ended: its exit status, and the last lines that it wrote."""

    exit_code: int
    lines: Sequence[str]


async def run_uv(command: Sequence[str], env: Mapping[str, str], lock: int, on_line: Callable[[str], None]) -> Outcome:
    """Run uv to its end. When cancelled, it and its children are gone before this returns.

    Args:
        command: The program and its arguments.
        env: All its variables.
        lock: A file descriptor that it inherits: a lock on it is held until uv is gone too, even if we are killed.
        on_line: Called with each line of output.
    """
    kept: deque[str] = deque(maxlen=_KEPT_LINES)
    async with _process(command, env, lock) as process:
        stream = process.stdout
        assert stream is not None
        while True:
            try:
                raw = await stream.readline()
            except ValueError:
                continue  # a line beyond the reader's limit, which drops it
            if not raw:
                break
            line = raw.decode(errors="replace").rstrip()
            kept.append(line)
            on_line(line)
        return Outcome(await process.wait(), tuple(kept))


@asynccontextmanager
async def _process(
    command: Sequence[str], env: Mapping[str, str], lock: int
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-c",
        _TIED,
        "uv",
        *command,
        env=dict(env),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,  # so that what uv starts can be killed with it
        pass_fds=(lock,),
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End uv, then whatever it started."""
    assert process.stdin is not None
    process.stdin.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(_GRACE_S):
            await process.wait()
    _signal(process.pid, signal.SIGKILL)
    await process.wait()


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def uv_environment(environ: Mapping[str, str], target: Path, python: str = "") -> dict[str, str]:
    """Give uv's variables: those of this process, pip's settings translated, and none that point to our own venv.

    Args:
        environ: The variables of this process.
        target: Where environments are made.
        python: Version of the interpreter that uv is to find; empty: it is told which one.
    """
    env = {key: value for key, value in environ.items() if key not in _NOT_OURS}
    env |= uv_variables(environ)
    env["NO_COLOR"] = "1"
    env["UV_NO_PROGRESS"] = "1"  # its bars are for terminals; its lines stay
    env.setdefault("UV_PYTHON_DOWNLOADS", "never")  # an interpreter is the administrator's choice
    if "UV_LINK_MODE" not in env and _device(_cache(environ)) != _device(target):
        env["UV_LINK_MODE"] = "copy"  # links cannot cross file systems, and uv would warn each time
    env["PATH"] = _path(environ, python)
    return env


def _path(environ: Mapping[str, str], python: str) -> str:
    """Give PATH with pyenv's fitting interpreters in the place of its shims, which fail unless made 'global'."""
    root = Path(environ.get("PYENV_ROOT") or Path(environ.get("HOME") or "/") / ".pyenv")
    plain = [d for d in environ.get("PATH", os.defpath).split(os.pathsep) if Path(d) != root / "shims"]
    fitting = sorted(root.glob(f"versions/{python}*/bin")) if python else []
    return os.pathsep.join([*plain, *map(str, fitting)])


def _cache(environ: Mapping[str, str]) -> Path:
    if environ.get("UV_CACHE_DIR"):
        return Path(environ["UV_CACHE_DIR"])
    home = Path(environ.get("HOME") or "/")
    return Path(environ.get("XDG_CACHE_HOME") or home / ".cache") / "uv"


def _device(path: Path) -> int:
    """Give the file system that a path is on, or will be on once it exists."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path.stat().st_dev


_PROGRESS = (
    (re.compile(r"^Resolved (\d+ packages?)"), r"resolved \1"),
    (re.compile(r"^Downloading (\S+) \((\S+)\)"), r"downloading \1 (\2)"),
    (re.compile(r"^ *Downloaded (\S+)"), r"downloaded \1"),
    (re.compile(r"^ *Building (\S+)"), r"building \1"),
    (re.compile(r"^Prepared (\d+ packages?)"), r"downloaded \1, installing"),
    (re.compile(r"^Installed (\d+ packages?)"), r"installed \1, compiling"),
)


def progress_of(line: str) -> str:
    """Say a line of uv's output for people; empty where it is not worth saying."""
    for pattern, text in _PROGRESS:
        if match := pattern.match(line):
            return match.expand(text)
    return ""


_FAILED = (
    re.compile(r"Failed to (?:download|build|install|prepare|unpack|extract|read metadata)[^`]*`([^`]+)`"),
    re.compile(r"(?:Hash mismatch for|Failed to install:) `?([^`\s]+)"),
    re.compile(r"there (?:is|are) no versions? of (\S+)"),
    re.compile(r"[Bb]ecause (\S+) (?:was not found|needs to be downloaded|has no |could not be|is unavailable)"),
    re.compile(r"[Bb]ecause only (\S+)\S* is available"),
    re.compile(r"you require (\S+?),? (?:and|we)"),
    re.compile(r"Failed to fetch: \S+?/([^/\s`]+)/?`?(?:\s|$)"),
)
_UNPARSED = re.compile(r"Couldn't parse requirement[^\n]*\n[^\n]*\n\s*(\S[^\n]*)")
_DRAWING = re.compile(r"[×╰─▶├│]")


def explain(lines: Sequence[str], requirements: Sequence[str]) -> tuple[str, str]:
    """Find out from uv's output which requirement failed, and why.

    Args:
        lines: The last lines of its output.
        requirements: The lines of the requirements file.

    Returns:
        The requirement, as the file has it where it is one of the file's own, empty if uv does not say; and the reason.
    """
    text = _DRAWING.sub(" ", "\n".join(lines))
    at = max(text.find("\nerror:"), 0)
    wrong = text[at:]
    if match := _UNPARSED.search(wrong):
        return match[1].strip(), _reason(wrong)
    flat = " ".join(wrong.split())
    found = next((m[1] for pattern in _FAILED if (m := pattern.search(flat))), "")
    if not found:
        return "", _reason(wrong)
    named = _named(requirements)
    return named.get(_name_of(found), found.rstrip(".,")), _reason(wrong)


def _reason(wrong: str) -> str:
    """Put the error and its causes into one line."""
    parts = []
    for line in wrong.splitlines():
        text = line.strip()
        is_said = text.startswith(("error:", "cause:", "hint:"))
        if is_said:
            parts.append(text.partition(":")[2].strip())
    said = ": ".join(dict.fromkeys(parts)) if parts else " ".join(wrong.split())
    return said if len(said) <= 600 else said[:600] + "…"


def _named(requirements: Sequence[str]) -> dict[str, str]:
    plain = (
        line.split(" --hash")[0].rstrip(" \\") for line in requirements if not line.lstrip().startswith(("-", "#"))
    )
    return {_name_of(line): line.strip() for line in plain if line.strip()}


def _name_of(requirement: str) -> str:
    """Give the normalised name that a requirement begins with. Source: PyPA's "Names and normalization"."""
    match = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement.strip())
    return re.sub(r"[-_.]+", "-", match[0]).lower().rstrip("-") if match else ""
