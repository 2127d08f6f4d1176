"""A program that starts warm must not be able to tell: each runs both ways, and what comes out is compared."""

# ruff: noqa: E501  (programs read better unbroken)
import dataclasses
import difflib
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from beamhall.embedded.agent.sandbox import ContainerSpec, Sandboxes, WarmStart
from tests.unit.embedded.agent.sandbox.conftest import PYTHON

INTERPRETER = os.environ.get("BEAMHALL_TEST_PYTHON", PYTHON)  # to try those of other versions, 3.9 and newer
WARM = WarmStart(
    Path(INTERPRETER),
    ("random", "logging", "decimal", "multiprocessing", "concurrent.futures", "tempfile", "sqlite3"),
    {"IMAGE": "yes"},
)

LOOK = """
import sys, os, signal, subprocess, threading, time, io, site, gc, faulthandler
print(sys.argv, getattr(sys, 'orig_argv', 0), sys.executable, sys.prefix, sys.flags._replace if 0 else "")
print([f for f in dir(sys.flags) if not f.startswith(("_", "n_", "count", "index", "unbuffered"))
       and getattr(sys.flags, f)])
print(sys.path)
m = sys.modules["__main__"]
print(sorted(k for k in vars(m) if k.startswith("__")), m.__dict__.get("__file__"), m.__spec__, m.__package__, m.__doc__)
print(type(m.__loader__).__name__, getattr(m.__loader__, "name", None), getattr(m.__loader__, "path", None), __name__)
print(sorted(os.environ.items()))
print(sorted(e.split(b"=")[0] for e in subprocess.check_output(["env", "-0"]).split(b"\\0") if e))
print(os.getcwd(), oct(os.umask(0)), os.getpid() == os.getsid(0), os.getpgid(0) == os.getpid())
for s in (sys.stdin, sys.stdout, sys.stderr):
    print(s.name, s.mode, s.encoding, s.errors, s.line_buffering, s.write_through, s.seekable(), s.isatty(), s.newlines,
          type(s.buffer).__name__, s.buffer.name, getattr(s.buffer, "mode", ""), s is getattr(sys, "__" + s.name[1:-1] + "__"))
print({n: str(signal.getsignal(n)) for n in signal.valid_signals() if str(signal.getsignal(n)) != "0"
       and signal.getsignal(n) is not signal.SIG_DFL}, signal.pthread_sigmask(signal.SIG_BLOCK, ()), signal.set_wakeup_fd(-1))
print([line for line in open("/proc/self/status") if line.startswith(("SigI", "SigB", "SigC", "Cap", "NoNewPrivs", "Threads", "Name"))])
print(sorted(os.readlink(f"/proc/self/fd/{f}")[:6] for f in os.listdir("/proc/self/fd") if int(f) < 3), len(os.listdir("/proc/self/fd")))
print(threading.current_thread(), threading.main_thread(), threading.active_count(), time.tzname, os.environ.get("TZ"))
print(sys.stdin.read() == "", gc.isenabled(), sys.getrecursionlimit(), sys.warnoptions, sys.dont_write_bytecode)
print(sys.excepthook is sys.__excepthook__, sys.displayhook, sys.gettrace(), "beamhall" in sys.modules, site.ENABLE_USER_SITE)
import multiprocessing.process; print(multiprocessing.process.ORIGINAL_DIR)
import tempfile; print(tempfile.gettempdir())
print(sys.version_info, sys.getfilesystemencoding(), sys.byteorder, faulthandler.is_enabled())
print(b"BEAMHALL_SANDBOX=" + os.environb[b"BEAMHALL_SANDBOX"] in open("/proc/self/environ", "rb").read().split(b"\\0"))
print(globals().get("__annotations__"), __builtins__)
"""

FILES = {
    "look.py": LOOK,
    "pkg/__init__.py": "print('package', __name__)",
    "pkg/task.py": "import sys; print(__package__, __spec__.name, __file__, sys.argv)\n" + LOOK,
    "pkg/__main__.py": "import sys; print('main of pkg', sys.argv, __file__)",
    "deep/inner/look.py": LOOK,
    "lib/extra_module.py": "value = 'from PYTHONPATH'",
    "fails.py": "def f():\n    raise ValueError('no')\nprint('before')\nf()\n",
    "syntax.py": "print('x')\nx = = 1\n",
    "chain.py": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise RuntimeError('later') from e\n",
    "module_fails.py": "import fails\n",
    "hook.py": "import sys\nsys.excepthook = lambda t, v, b: print('hook', t, v, b.tb_lineno, b.tb_frame.f_code.co_name)\n1/0\n",
    "ends.py": (
        "import atexit, sys, threading, time\natexit.register(print, 'atexit')\n"
        "threading.Thread(target=lambda: (time.sleep(0.05), print('thread'))).start()\nprint('end', end='')\n"
        "sys.exit(eval(sys.argv[1]))\n"
    ),
    "random.py": "value = 'hides the library'\n",
    "hidden/random.py": "value = 'hides the library'",
    "hidden/run.py": "import random; print(random.value)",
    "site/sitecustomize.py": "print('customized')",
    "pool.py": (
        "import multiprocessing as m, sys, os\n"
        "def f(x): return x * x, __name__, sys.argv[1:], os.getcwd()\n"
        "def main():\n"
        "    for way in ('fork', 'spawn', 'forkserver'):\n"
        "        with m.get_context(way).Pool(2) as p: print(way, p.map(f, range(3)))\n"
        "if __name__ == '__main__': main()\n"
    ),
    "sub.py": (
        "import subprocess, sys, os\n"
        "print(subprocess.run([sys.executable, '-c', 'import sys; print(sys.prefix, sys.path)'], capture_output=True, text=True).stdout)\n"
        "print(os.system('exit 3'))\n"
    ),
    "binary.py": "import sys\nsys.stdout.buffer.write(bytes(range(256)) * 300)\nsys.stderr.write('é\\udc80')\n",
    "dies.py": (
        "import atexit, logging, weakref, threading, random\n"
        "class A:\n    def __init__(self, n): self.n = n\n    def __del__(self): print('del', self.n, random is not None)\n"
        "a = A(1)\nb = A(2); b.me = b\nweakref.finalize(a, print, 'finalized')\natexit.register(print, 'atexit')\n"
        "f = open('unclosed', 'w')\nf.write('flushed')\nlogging.program = 3\n"
    ),
    "held.py": (
        "import sys, threading, time, weakref\n"
        "class A:\n    def __del__(self): print('del', sys.argv[1])\n"
        "def main():\n    a = A()\n    a.me = a if sys.argv[1] == 'cycle' else None\n"
        "    if sys.argv[1] == 'fails': raise ValueError('no')\n    sys.exit(int(len(sys.argv) > 2) + 4)\n"
        "if sys.argv[1] == 'daemon': threading.Thread(target=lambda: time.sleep(60), daemon=True).start()\n"
        "main()\n"
    ),
    "own.py": (
        "import io, sys\nsys.stdout = io.TextIOWrapper(io.FileIO('own.txt', 'w'))\nprint('to a file')\n"
        "class Bad(io.StringIO):\n    def flush(self): raise OSError('cannot')\n"
        "if len(sys.argv) > 1: sys.stdout = Bad()\n"
    ),
    "close.py": "import os, sys\nprint('x')\nsys.stdout.flush()\nos.close(1)\nprint('y')\n",
    "dataclass.py": "import dataclasses, typing, pickle\n@dataclasses.dataclass\nclass A:\n    x: int = 1\n"
    "print(pickle.loads(pickle.dumps(A(3))), A.__module__, typing.get_type_hints(A))\n",
    "recursion.py": "import sys, inspect\ndef f(n):\n    return f(n + 1)\ntry:\n    f(0)\nexcept RecursionError as e:\n    print(e)\n",
    "coding.py": "# -*- coding: latin-1 -*-\nprint('\xe9')\n",
    "log.py": "import logging\nlogging.warning('w')\nlogging.basicConfig(level='INFO')\nlogging.info('i')\n",
}  # fmt: skip

CASES = {
    "code": ["-c", LOOK, "a", "-b", "c d"],
    "script": ["look.py", "--flag", "x=1"],
    "script in a directory": ["deep/inner/look.py"],
    "script by a dotted path": ["./look.py"],
    "script by an absolute path": ["{dir}/look.py"],
    "script by a link": ["link.py"],
    "module": ["-m", "pkg.task", "--batch_size=32"],
    "package": ["-m", "pkg", "x"],
    "library module": ["-m", "json.tool", "--help"],
    "unbuffered": ["-u", "look.py"],
    "unbuffered module": ["-u", "-m", "pkg.task"],
    "missing module": ["-m", "no_such_module"],
    "missing submodule": ["-m", "pkg.none"],
    "missing script": ["none.py"],
    "uncaught": ["fails.py"],
    "uncaught in a module": ["-m", "fails"],
    "uncaught in code": ["-c", "import fails"],
    "uncaught in code itself": ["-c", "1/0"],
    "uncaught in an import": ["module_fails.py"],
    "chained": ["chain.py"],
    "syntax": ["syntax.py"],
    "syntax in code": ["-c", "x = = 1"],
    "hook": ["hook.py"],
    "exit 0": ["ends.py", "0"],
    "exit 7": ["ends.py", "7"],
    "exit None": ["ends.py", "None"],
    "exit text": ["ends.py", "'message'"],
    "exit 300": ["ends.py", "300"],
    "exit True": ["ends.py", "True"],
    "no exit": ["-c", "import atexit; atexit.register(print, 'bye'); print('hi')"],
    "abort": ["-c", "import os; os.abort()"],
    "interrupt": ["-c", "import os, signal; os.kill(os.getpid(), signal.SIGINT); import time; time.sleep(9)"],
    "terminate": ["-c", "import os, signal; os.kill(os.getpid(), signal.SIGTERM); import time; time.sleep(9)"],
    "pools": ["pool.py", "x"],
    "subprocess": ["sub.py"],
    "binary output": ["binary.py"],
    "ends and finalizers": ["dies.py"],
    "unclosed file": ["-c", "print(open('unclosed').read())"],
    "exit in a function": ["held.py", "x"],
    "exit in a function, with a cycle": ["held.py", "cycle", "more"],
    "uncaught in a function": ["held.py", "fails"],
    "daemon thread": ["held.py", "daemon"],
    "own output": ["own.py"],
    "what was written to it": ["-c", "print(open('own.txt').read())"],
    "own output that cannot be flushed": ["own.py", "bad"],
    "closed output": ["close.py"],
    "pickle": ["dataclass.py"],
    "recursion": ["recursion.py"],
    "coding": ["coding.py"],
    "logging": ["log.py"],
    "hidden": ["hidden/run.py"],
    "extra": ["-c", "import extra_module; print(extra_module.value)"],
    "asyncio": ["-c", "import asyncio; print(asyncio.run(asyncio.sleep(0.001, 'done')))"],
    "version": ["--version"],
    "directory": ["pkg"],
    "isolated": ["-I", "-c", LOOK],
}
VARIABLES = {
    "plain": {},
    "odd": {
        "PYTHONPATH": "lib:{dir}/lib:/no/such", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "TZ": "Asia/Tokyo",
        "LANG": "C.UTF-8", "TF_CONFIG": "{}", "PYTHONHASHSEED": "0", "ÄÖ": "ü", "EMPTY": "", "PYTHONWARNINGS": "default",
    },
}  # fmt: skip


VARIED = ("code", "script", "unbuffered", "unbuffered module", "uncaught in a module", "extra", "logging", "subprocess",
          "binary output", "hidden", "isolated")  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> Path:
    directory = tmp_path / "work"
    for name, text in FILES.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text, "latin-1" if name == "coding.py" else "utf-8")
    (directory / "random.py").unlink()
    (directory / "links").mkdir()
    (directory / "link.py").symlink_to("deep/inner/look.py")
    return directory


def program(files: Path, make: Callable[..., ContainerSpec], *arguments: str, **variables: str) -> ContainerSpec:
    env = {"PATH": f"{Path(INTERPRETER).parent}:/usr/bin:/bin", "HOME": str(files), **variables}
    env = {k: v.replace("{dir}", str(files)) for k, v in env.items()}
    argv = [a if "\n" in a else a.replace("{dir}", str(files)) for a in arguments]
    return dataclasses.replace(make(Path(INTERPRETER).name, *argv, env=env, cwd=str(files)), id="same-in-both")


async def run(sandboxes: Sandboxes, given: ContainerSpec) -> tuple[bool, list[object]]:
    sandbox = await sandboxes.launch(given)
    ended = await sandbox.wait()
    out, err = (text_of_bytes(sandbox.log_path, name) for name in ("stdout", "stderr"))
    return sandbox.warm, [ended.code, ended.signal, out, err]


def text_of_bytes(log: Path, stream: str) -> str:
    parts = [line.split(b" ", 3) for line in log.read_bytes().split(b"\n") if line]
    text = b"".join(p[3] + (b"\n" if p[2] == b"F" else b"") for p in parts if p[1] == stream.encode())
    return re.sub(r"0x[0-9a-f]{6,}|\d{12,}", "#", text.decode("utf-8", "backslashreplace"))


def lines_of(result: list[object]) -> list[str]:
    return "\n".join(map(str, result)).splitlines()


@pytest.mark.parametrize("variables", VARIABLES)
async def test_programs_cannot_tell_a_warm_start(sandboxes, spec, files, variables):
    cold: dict[str, list[object]] = {}
    warm: dict[str, list[object]] = {}
    was_warm: set[str] = set()
    chosen = CASES if variables == "plain" else {name: CASES[name] for name in VARIED}
    for name, arguments in chosen.items():
        given = program(files, spec, *arguments, **VARIABLES[variables])
        _, cold[name] = await run(sandboxes, given)
        is_warm, warm[name] = await run(
            sandboxes, dataclasses.replace(given, warm=WARM, directory=given.directory.with_suffix(".warm"))
        )
        if is_warm:
            was_warm.add(name)
    different = "".join(
        f"--- {name} ---\n" + "\n".join(difflib.unified_diff(lines_of(cold[name]), lines_of(warm[name]), n=0)) + "\n"
        for name in chosen
        if warm[name] != cold[name]
    )
    assert not different, different
    assert set(chosen) - was_warm == {"missing script", "hidden", "version", "directory", "isolated"} & set(chosen)
