"""Which command lines can be started in an interpreter that is there already, and what that interpreter must have seen.

Pure. What is decided from files (a script that is no script, a module that hides a warm one) is decided in
``child.warm``, which then starts afresh after all.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from beamhall.embedded.agent.sandbox.specification import ContainerSpec, Direct, WarmStart

_READ_AT_START = (
    "PYTHON", "LANG", "LC_", "LD_", "MALLOC_", "GLIBC_", "OMP_", "OPENBLAS_", "GOTO_", "MKL_", "KMP_", "BLIS_",
    "NUMEXPR_", "TBB_", "TF_", "XLA_", "JAX_", "TORCH_", "PYTORCH_", "CUDA_", "NVIDIA_", "NCCL_", "KERAS_", "MPL",
    "NPY_", "NUMPY_", "GRPC_", "ABSL_", "RAY_", "ARROW_",
)  # fmt: skip
_READ_LATER = frozenset({
    "PYTHONPATH", "PYTHONUNBUFFERED", "TF_CONFIG", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES",
})  # fmt: skip
_OF_SERVICE = re.compile(r"_SERVICE_(HOST|PORT)|_PORT_\d+_(TCP|UDP|SCTP)")
_FORBIDDEN = frozenset({"PYTHONINSPECT", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "PYTHONHOME"})


@dataclass(frozen=True, slots=True)
class WarmProgram:
    """What a Python command line runs.

    Attributes:
        kind: ``script``, ``module`` (``-m``) or ``code`` (``-c``).
        target: The script's path, the module's name, or the code.
        arguments: What follows it.
        is_unbuffered: Whether output is to be written at once.
        executable: What ``sys.executable`` is.
    """

    kind: Literal["script", "module", "code"]
    target: str
    arguments: tuple[str, ...]
    is_unbuffered: bool
    executable: str


def warm_command(argv: Sequence[str], env: Mapping[str, str], warm: WarmStart) -> WarmProgram | None:
    """Decide whether a command line can start warm.

    Args:
        argv: The command line.
        env: Its environment variables.
        warm: The environment whose interpreter is there.

    Returns:
        None if it cannot: another program or interpreter, or options and variables that change how Python starts.
    """
    executable = _interpreter(argv[0], env.get("PATH", ""), warm.python) if argv else ""
    if not executable or any(env.get(name) for name in _FORBIDDEN):
        return None
    rest = list(argv[1:])
    is_unbuffered = bool(env.get("PYTHONUNBUFFERED"))
    while rest[:1] == ["-u"]:
        is_unbuffered = True
        rest.pop(0)
    if not rest:
        return None
    kind: Literal["script", "module", "code"] = "script"
    if rest[0] in ("-m", "-c"):
        kind = "module" if rest.pop(0) == "-m" else "code"
    elif rest[0].startswith("-"):
        return None
    if not rest or not rest[0]:
        return None
    return WarmProgram(kind, rest[0], tuple(rest[1:]), is_unbuffered, executable)


def warm_order(spec: ContainerSpec) -> dict[str, Any] | None:
    """Write what the container is told of a warm start; None if it cannot start so."""
    if spec.warm is None:
        return None
    direct = spec.direct or Direct(spec.argv, {}, "", "")
    program = warm_command(direct.argv, {**spec.env, **direct.env}, spec.warm)
    return None if program is None else asdict(program) | asdict(direct)


def _interpreter(command: str, path: str, python: Path) -> str:
    """Give the interpreter's path, if the command is that of the environment; else nothing."""
    names = {"python", "python3", python.name}
    if "/" in command:
        given = Path(command)
        return command if given.parent == python.parent and given.name in names else ""
    # Only where it comes first: a file of that name in a directory before it would be another interpreter.
    first = path.split(":", maxsplit=1)[0]
    return str(python.parent / command) if first == str(python.parent) and command in names else ""


def start_environment(env: Mapping[str, str], warm: WarmStart) -> dict[str, str]:
    """Give the environment variables under which the modules are imported for a container.

    The image's own ones, but with the container's value for all that the interpreter and the usual libraries read only
    once. So containers that differ in those have interpreters of their own, and all others share one.
    """
    kept = {name: value for name, value in warm.env.items() if not _is_read_at_start(name)}
    kept.update({name: value for name, value in env.items() if _is_read_at_start(name) and not _tells(name, value)})
    for name in _READ_LATER:
        kept.pop(name, None)
    return kept


def _tells(name: str, value: str) -> bool:
    """Whether a variable tells of a Service, as Pods are told of all. One named ``jax`` is no setting of JAX."""
    return bool(_OF_SERVICE.search(name)) or (name.endswith("_PORT") and value.startswith(("tcp://", "udp://")))


def _is_read_at_start(name: str) -> bool:
    return name.startswith(_READ_AT_START) and name not in _READ_LATER
