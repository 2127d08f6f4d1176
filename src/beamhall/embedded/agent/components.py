"""What the command line of a pipeline's step comes to: packages to install, then a Python program.

The KFP SDK writes steps as shell scripts: one that installs packages and goes on with the rest, and one that writes
the component's source to a file and runs ``kfp.dsl.executor_main`` on it. Both are read here, exactly; what differs in
anything is not recognised and runs as it is written. The launcher may come first, which fetches and stores the files of
a step. What the training SDKs write is read by ``training_scripts``. Pure; knows neither environments nor processes.
Next: ``pulling`` has the packages installed, ``launching`` starts the rest.

Source: kfp 2.0 to 2.17, ``kfp/dsl/component_factory.py``; kfp 1.8, ``kfp/components/_python_op.py``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from beamhall.catalog.installs import Install
from beamhall.embedded.agent.pip_commands import read_commands, read_install
from beamhall.embedded.agent.sandbox import FILE, Direct
from beamhall.embedded.agent.training_scripts import read_training_script

_GO_ON = re.compile(r'\s*&&\s*"\$0"\s+"\$@"$')
_ENSURE_PIP = re.compile(
    r'if ! \[ -x "\$\(command -v pip\)" \]; then\s+'
    r"python3 -m ensurepip \|\| python3 -m ensurepip --user \|\| apt-get install python3-pip\s+fi\s+"
)
_VENV = re.compile(
    r'\s*export PIP_DISABLE_PIP_VERSION_CHECK=1\ntmp=\$\(mktemp -d\)\npython3 -m venv "\$tmp/venv"'
    r' --system-site-packages\n\. "\$tmp/venv/bin/activate"\s+'
)
_OR_FOR_USER = re.compile(r"\((?P<one>[^()|]+) \|\| (?P=one) --user\)")
_SHELLS = ("sh", "/bin/sh", "bash", "/bin/bash")
_LAUNCHER = ("beamhall-launcher", "--")
_INITIALIZER = "beamhall-initializer"
_EXECUTORS = ("kfp.dsl.executor_main", "kfp.components.executor_main")
_PROGRAM = re.compile(
    r'program_path=\$\(mktemp -d\)\s+printf "%s" "\$0" > "\$program_path/ephemeral_component\.py"\s*?\n[ \t]*'
    r"(?P<runtime>_KFP_RUNTIME=true )?python3 -m (?P<module>kfp\.(?:dsl|components)\.executor_main)[ \t]+"
    r'--component_module_path[ \t]+"\$program_path/ephemeral_component\.py"[ \t]+"\$@"'
)


@dataclass(frozen=True, slots=True)
class Component:
    """A recognised command line.

    Attributes:
        installs: What is to be installed first.
        argv: What is to run then, as it is written; that may be a shell's command line still.
        direct: What that comes to, where it only writes a component and runs it; else None.
    """

    installs: tuple[Install, ...]
    argv: tuple[str, ...]
    direct: Direct | None = None

    @property
    def modules(self) -> tuple[str, ...]:
        """What a warm parent process is to have imported: what runs components."""
        argv = self.direct.argv if self.direct else self.argv
        return tuple(argv[2:3]) if argv[1:2] == ("-m",) and argv[2:3] and argv[2] in _EXECUTORS else ()


def recognise(argv: Sequence[str]) -> Component:
    """Read a command line; one that is not recognised comes out as it is, with nothing to install."""
    if tuple(argv[:2]) == _LAUNCHER:
        installs, rest = _installs(argv[2:])
        return Component(installs, (*_LAUNCHER, *rest))
    installs, rest = _installs(argv)
    return Component(installs, rest, _direct(rest))


def with_interpreter(argv: Sequence[str], python: str) -> Sequence[str]:
    """Have our programs, which are no part of any image, run by a Python that has them, whatever the variables."""
    if tuple(argv[:2]) == _LAUNCHER:
        return (python, "-I", "-m", "beamhall.launcher", *argv[1:])
    return (python, "-I", "-m", "beamhall.launcher.initializer", *argv[1:]) if argv[:1] == (_INITIALIZER,) else argv


def _installs(argv: Sequence[str]) -> tuple[tuple[Install, ...], tuple[str, ...]]:
    if len(argv) < 3 or argv[0] not in _SHELLS or argv[1] != "-c":
        return (), tuple(argv)
    if len(argv) == 3:
        training = read_training_script(argv[2])
        return (training[0], (*argv[:2], training[1])) if training else ((), tuple(argv))
    found = _script(argv[2])
    return (found, tuple(argv[3:])) if found else ((), tuple(argv))


def _script(text: str) -> tuple[Install, ...] | None:
    """Read a script that installs packages, and then runs the rest of the command line."""
    text = text.strip()
    end = _GO_ON.search(text)
    if end is None:
        return None
    text = text[: end.start()]
    if ensured := _ENSURE_PIP.match(text):
        text = text[ensured.end() :]
    text = _VENV.sub(" ", text, count=1)
    if twice := _OR_FOR_USER.fullmatch(text):
        text = twice["one"]
    commands = read_commands(text)
    installs = [read_install(words) for words in commands] if commands else []
    read = tuple(install for install in installs if install is not None)
    return read if read and len(read) == len(installs) else None


def _direct(argv: Sequence[str]) -> Direct | None:
    if len(argv) < 4 or argv[0] not in ("sh", "/bin/sh") or argv[1] != "-ec":
        return None
    program = _PROGRAM.fullmatch(argv[2].strip())
    if program is None:
        return None
    python = ("python3", "-m", program["module"], "--component_module_path", FILE, *argv[4:])
    env = {"_KFP_RUNTIME": "true"} if program["runtime"] else {}
    return Direct(python, env, file_name="ephemeral_component.py", file_text=argv[3])
