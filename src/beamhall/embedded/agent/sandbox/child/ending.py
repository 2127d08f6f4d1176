"""Ending a program that was forked from a warm interpreter, without the end of that interpreter.

What Python does after a program writes to nearly all memory that the program shares with its parent until then: it took
longer than many a step of a pipeline. What a program can notice of it is done here in the same order: threads are
waited for, ``atexit`` functions run, the program's own modules are taken apart, so that their files are flushed and
their finalizers run, and the standard streams are flushed; then C's ``exit`` does what libraries want of it.
Source: CPython, ``Py_FinalizeEx`` in Python/pylifecycle.c, ``finalize_modules`` there, Objects/moduleobject.c.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import sys
import threading
import types
import weakref
from collections.abc import Callable

_LEFT = frozenset(("sys", "builtins"))
_FORGOTTEN = (
    "path", "argv", "ps1", "ps2", "last_exc", "last_type", "last_value", "last_traceback", "path_hooks",
    "path_importer_cache", "meta_path",
)  # fmt: skip
"""What of ``sys`` goes first, in this order."""


is_begun = False
"""Whether this module ends the process: the interpreter's own end need not be prepared then."""


def end_process(code: int, kept: dict[str, types.ModuleType], prepare: Callable[[], None]) -> None:
    """End this process as the interpreter does, but for what ``kept`` and its own insides have.

    Args:
        code: The exit code.
        kept: Modules that are not the program's own, in the order in which they were imported.
        prepare: Prepares the interpreter's own end where that has to come after all, once ``atexit`` functions ran.

    Returns:
        Only where the interpreter has to end it: something runs beside the program, such as a daemon thread, or what
        was written cannot be flushed.
    """
    if sys.hexversion < 0x030A0000:  # where a function of ``atexit`` that fails changes the exit code
        return
    threading._shutdown()  # type: ignore[attr-defined]
    if len(os.listdir("/proc/self/task")) > 1:
        return
    global is_begun  # noqa: PLW0603  there is one end of a process
    is_begun = True
    atexit._run_exitfuncs()
    if _flushed():
        _take_apart(kept)
        if _flushed():
            ctypes.pythonapi.exit(code & 0xFF)
    is_begun = False
    prepare()


def _flushed() -> bool:
    """Flush the standard streams; False if that fails, of which the interpreter tells when it fails again."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
    except BaseException:  # noqa: BLE001  (whatever a stream of the program's own raises)
        return False
    return True


def _take_apart(kept: dict[str, types.ModuleType]) -> None:
    """Let go of the program's own modules; empty those that something else holds, newest first."""
    if gc.isenabled():
        gc.collect()
    for name in _FORGOTTEN:
        if name in sys.__dict__:
            sys.__dict__[name] = None
    for name in ("stdin", "stdout", "stderr"):
        sys.__dict__[name] = sys.__dict__[f"__{name}__"]
    names = _own_names(kept)
    own = [weakref.ref(module) for name in names if _is_module(module := sys.modules[name])]
    del module
    for name in names:
        del sys.modules[name]
    gc.collect()
    for held in reversed(own):
        _empty(held())
    gc.collect()


def _own_names(kept: dict[str, types.ModuleType]) -> list[str]:
    """Give the names of the program's own modules, oldest first.

    They come after those that were there already, which are not looked at: that writes to memory which is shared until
    then. ``__main__`` has the place of another.
    """
    last = next((name for name in reversed(kept) if sys.modules.get(name) is kept[name]), None)
    names = []
    for name in reversed(sys.modules):
        if name == last:
            break
        if name not in _LEFT and kept.get(name) is not sys.modules[name]:
            names.append(name)
    if "__main__" in sys.modules and "__main__" not in names:
        names.append("__main__")
    return names[::-1]


def _is_module(value: object) -> bool:
    return isinstance(value, types.ModuleType)


def _empty(module: types.ModuleType | None) -> None:
    names = {} if module is None else module.__dict__
    for is_first in (True, False):
        for name in list(names):
            if (name.startswith("_") and not name.startswith("__")) is is_first and name != "__builtins__":
                names[name] = None
