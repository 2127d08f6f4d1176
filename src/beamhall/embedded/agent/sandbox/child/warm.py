"""Running a Python program in a process that was forked from an interpreter with modules imported.

The program must not be able to tell, but by its speed: arguments, environment, paths, ``__main__``, output, signals,
random numbers and the way it ends are those of a new interpreter. Where that cannot be had, a new one is started.
Known differences: the hash seed is shared by all that were forked from one interpreter, ``sys.flags.unbuffered`` is not
set by ``-u``, the stack has two frames more, and at the end the modules that were there already are not taken apart.
Source: CPython, Modules/main.c, Python/pylifecycle.c, Lib/runpy.py.
"""

from __future__ import annotations

import atexit
import builtins
import ctypes
import importlib.machinery
import io
import linecache
import os
import runpy
import sys
import time
import types
from collections.abc import Callable, Mapping
from typing import Any

from beamhall.embedded.agent.sandbox.child import ending, linux, pages, record

_FILE = "\0file"  # as in ``specification``
_CUSTOMIZERS = frozenset(("sitecustomize", "usercustomize"))
_OURS = frozenset(("beamhall", "__main__"))
_UNSPARED = _OURS | {"sys", "builtins"}


def prepare(spec: Mapping[str, Any]) -> bool:
    """Make the process look like a new interpreter of this container.

    Args:
        spec: With ``env``, ``namespaces``, and ``warm``: ``kind``, ``target``, ``arguments``, ``is_unbuffered``,
            ``executable``; ``argv`` and ``env`` are the program's own; ``file_name``, ``file_text``.

    Returns:
        False, with only the environment changed, if a new interpreter is needed after all.
    """
    warm = spec["warm"]
    _set_environment({**spec["env"], **warm["env"]}, spec["id"])
    additions = _python_path(spec["env"].get("PYTHONPATH", ""))
    first = _first_path(warm["kind"], warm["target"])
    if first is None or _hides([first or os.getcwd(), *additions]):
        return False
    if warm["file_name"]:
        # The shell would have done this; where it fails, it may say so itself.
        try:
            path = _write_file(warm["file_name"], warm["file_text"])
        except (OSError, UnicodeEncodeError):
            return False
        _leave_no_bytecode(path)
        os.environ["PWD"] = os.getcwd()  # as a shell exports it
        for words in (warm["argv"], warm["arguments"]):
            words[:] = [path if word == _FILE else word for word in words]
    _set_command_line(warm["argv"])
    if spec["namespaces"] == "user" and os.geteuid() != 0:
        linux.drop_capabilities()
    sys.path[:0] = ([] if getattr(sys.flags, "safe_path", False) else [first]) + additions
    sys.executable = warm["executable"]
    head = {"script": warm["target"], "module": "-m", "code": "-c"}[warm["kind"]]
    sys.argv[:] = [head, *warm["arguments"]]
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[:] = warm["argv"]
    _set_outputs(is_unbuffered=warm["is_unbuffered"])
    _refresh()
    return True


def rehearse() -> None:
    """Have memory copied that other containers wrote to, in one that does not know yet what it is."""
    _pages[0].copy()


_pages: list[pages.Pages] = []
_kept: dict[str, types.ModuleType] = {}
_loaded: set[str] = set()


def register() -> None:
    """In the zygote, before all else: let ``_spare`` be what happens last when a program ends."""
    atexit.register(_spare)


def remember() -> None:
    """In the zygote, after all else: note what is there for all programs, so that none has to find it out."""
    _kept.update({n: m for n, m in sys.modules.items() if n.partition(".")[0] not in _UNSPARED and m is not None})
    _loaded.update({name.partition(".")[0] for name in sys.modules} - _OURS - set(sys.builtin_module_names))
    _pages.append(pages.Pages())


def _spare() -> None:
    """Spare the end of the interpreter the modules that the zygote had imported, where ``ending`` does not do it all.

    Taking them apart would cost more than many a program: it writes to memory that is shared until then. What is the
    program's own is taken apart as ever, so that its files are flushed and its finalizers run.
    """
    if ending.is_begun:
        return
    for name in _kept:
        sys.modules.pop(name, None)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(_kept))  # for good


def _write_file(name: str, text: str) -> str:
    """Write a file into a new directory, as ``mktemp -d`` makes it, and give its path. Raises OSError."""
    directory = os.path.join(os.environ.get("TMPDIR") or "/tmp", f"tmp.{os.urandom(5).hex()}")  # noqa: S108
    os.mkdir(directory, 0o700)
    path = os.path.join(directory, name)
    with open(path, "xb") as file:
        file.write(os.fsencode(text))
    return path


def _leave_no_bytecode(path: str) -> None:
    """Let the compiled form of a file not be written: the file is there for one program only."""
    loader: Any = importlib.machinery.SourceFileLoader
    write = loader._cache_bytecode

    def write_others(self: object, source_path: str, bytecode_path: str, data: bytes) -> None:
        if source_path != path:
            write(self, source_path, bytecode_path, data)

    loader._cache_bytecode = write_others


def _set_environment(env: Mapping[str, str], sandbox_id: str) -> None:
    # An interpreter that was started in the C locale sets this, for itself and for what it starts (PEP 538). The
    # locale's variables were the same ones then.
    coerced = {} if "LC_ALL" in env else {n: v for n, v in os.environ.items() if n == "LC_CTYPE"}
    os.environ.clear()
    linux.clear_environment()
    os.environ.update({**coerced, **env})
    time.tzset()
    # What ``/proc/PID/environ`` shows is the memory that the interpreter was started with.
    fields = linux.stat_fields("self")
    with open("/proc/self/environ", "rb") as file:
        memory = file.read()
    start = memory.find(f"{record.MARKER}=".encode())
    if start >= 0 and len(fields) > 48:
        room = memory.index(b"\0", start) - start
        text = f"{record.MARKER}={sandbox_id}".encode()[:room]
        linux.write_memory(int(fields[47]) + start, text.ljust(room, b"\0"))


def _set_command_line(argv: list[str]) -> None:
    """Show the program's own command line in ``ps``, as far as there is room."""
    linux.prctl(linux.PR_SET_NAME, os.fsencode(os.path.basename(argv[0])))
    fields = linux.stat_fields("self")
    if len(fields) > 46:
        start, room = int(fields[45]), int(fields[46]) - int(fields[45])
        linux.write_memory(start, b"\0".join(map(os.fsencode, argv))[: room - 1].ljust(room, b"\0"))


def _python_path(text: str) -> list[str]:
    paths = [os.path.abspath(part) for part in text.split(":")] if text else []
    return list(dict.fromkeys(p for p in paths if p not in sys.path))


def _first_path(kind: str, target: str) -> str | None:
    """Give what ``sys.path`` begins with; None if the script is nothing that can be compiled here."""
    if kind == "code":
        return ""
    if kind == "module":
        return os.getcwd()
    if not os.path.isfile(target) or not os.access(target, os.R_OK):
        return None
    with open(target, "rb") as file:
        if file.read(4) == b"PK\x03\x04" or target.endswith(".pyc"):
            return None
    return os.path.dirname(os.path.realpath(target))


def _hides(directories: list[str]) -> bool:
    """Tell whether a module of the program would have been found in place of one that is imported already."""
    for directory in directories:
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        for name in names:
            stem, _, ending = name.partition(".")
            if stem in _CUSTOMIZERS and ending == "py":
                return True
            is_module = ending == "py" or ending.endswith("so")
            if stem in _loaded and (is_module or os.path.isfile(os.path.join(directory, name, "__init__.py"))):
                return True
    return False


def _set_outputs(*, is_unbuffered: bool) -> None:
    """Make the standard streams anew, in place: modules that hold them hold the new ones."""
    for fd, stream in ((0, sys.stdin), (1, sys.stdout), (2, sys.stderr)):
        if not isinstance(stream, io.TextIOWrapper):
            continue
        raw = is_unbuffered and fd > 0
        # The descriptor is the process's own: nothing closes it.
        buffer: Any = open(fd, "rb" if fd == 0 else "wb", buffering=0 if raw else -1, closefd=False)  # noqa: SIM115
        named = buffer if raw else buffer.raw
        named.name = stream.name
        encoding, errors = stream.encoding, stream.errors
        stream.__init__(  # type: ignore[misc]
            buffer,
            encoding,
            errors,
            None if fd == 0 else "\n",
            line_buffering=fd == 2 and not raw,
            write_through=is_unbuffered,
        )


def _refresh() -> None:
    """Renew what modules remember of the process that they were imported in."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        process.ORIGINAL_DIR = os.getcwd()  # type: ignore[attr-defined]
    tempfile = sys.modules.get("tempfile")
    if tempfile is not None:
        tempfile.tempdir = None  # type: ignore[attr-defined]
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    # A directory that was changed since is noticed by its time; one that was not there is remembered as no directory.
    for path in [path for path, finder in sys.path_importer_cache.items() if finder is None]:
        del sys.path_importer_cache[path]


def program(warm: Mapping[str, Any]) -> Callable[[], None]:
    """Give what runs the program; to be called at the bottom of the stack, when all is prepared.

    It ends the process, or returns or raises SystemExit, so that the interpreter ends as it always does (``ending``).
    """
    main = types.ModuleType("__main__")
    main.__dict__.update(__builtins__=builtins, __annotations__={}, __loader__=importlib.machinery.BuiltinImporter)
    sys.modules["__main__"] = main
    del main  # held by nothing else, its end is that of every program's

    def run() -> None:
        code = _run(warm)
        _pages[0].tell()
        ending.end_process(code, _kept, _spare)
        raise SystemExit(code)

    return run


def _run(warm: Mapping[str, Any]) -> int:
    """Run the program and give its exit code; what the interpreter itself has to end is raised."""
    try:
        if warm["kind"] == "module":
            _unload(warm["target"])
            runpy._run_module_as_main(warm["target"])  # type: ignore[attr-defined]
        elif warm["kind"] == "code":
            exec(_code(warm["target"]), sys.modules["__main__"].__dict__)  # noqa: S102
        else:
            exec(_script(warm["target"]), sys.modules["__main__"].__dict__)  # noqa: S102
    except SystemExit as end:
        if end.code is not None and type(end.code) is not int:
            raise
        return end.code or 0
    except BaseException as error:  # noqa: BLE001  (what no program caught, as the interpreter does)
        return _die(error)
    return 0


def _unload(name: str) -> None:
    """Forget a module that is to be run, where it was imported to have what it imports: it is not imported yet."""
    module = sys.modules.get(name)
    if module is not None and not hasattr(module, "__path__"):
        del sys.modules[name]
        parent, _, last = name.rpartition(".")
        sys.modules.get(parent, module).__dict__.pop(last, None)


def _code(source: str) -> types.CodeType:
    if sys.version_info >= (3, 13):  # from then on, tracebacks show its lines
        lines = [line + "\n" for line in source.splitlines()]
        linecache.cache["<string>"] = (len(source), None, lines, "<string>")
    return compile(source, "<string>", "exec")


def _script(target: str) -> types.CodeType:
    main = sys.modules["__main__"]
    path = os.path.join(os.getcwd(), target)
    main.__file__ = path
    main.__dict__["__cached__"] = None
    main.__loader__ = importlib.machinery.SourceFileLoader("__main__", path)
    with io.open_code(path) as file:
        return compile(file.read(), path, "exec")


def _die(error: BaseException) -> int:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    error.__traceback__ = trace
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    sys.excepthook(type(error), error, trace)
    if isinstance(error, KeyboardInterrupt):
        sys.excepthook = lambda *_: None
        raise error  # the interpreter then dies of SIGINT
    return 1
