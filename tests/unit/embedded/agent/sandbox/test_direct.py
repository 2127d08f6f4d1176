"""A shell that writes a file and runs a program on it, and the same program started warm without the shell."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from beamhall.embedded.agent.sandbox import FILE, Direct, WarmStart
from tests.unit.embedded.agent.sandbox.conftest import PYTHON, text_of

SCRIPT = 'd=$(mktemp -d)\nprintf "%s" "$0" > "$d/c.py"\nOWN=yes python3 -m {module} --path "$d/c.py" "$@"\n'
TASK = """
import json, os, sys
path = sys.argv[2]
print(sys.argv, sys.orig_argv[1:], sys.path[:1], os.getcwd(), __file__, __name__, __spec__.name)
print(oct(os.stat(path).st_mode))
print(repr(open(path, "rb").read()), oct(os.stat(os.path.dirname(path)).st_mode), sorted(os.environ.items()))
print(open("/proc/self/cmdline", "rb").read().split(b"\\0")[1:3], "runs" in vars(sys.modules["json"]))
namespace = {}
exec(compile(open(path).read(), path, "exec"), namespace)
namespace["main"]()
"""
SOURCES = {
    "ends well": "def main():\n    print('ran')\n",
    "fails": "def main():\n    raise ValueError('no: \\u00e9')\n",
    "exits": "def main():\n    raise SystemExit(7)\n",
    "text": "# 100% 'quoted' \"$HOME\" `x` \\n \u00e9\ndef main(): pass",
}


@pytest.fixture
def start(sandboxes, spec, tmp_path):
    (tmp_path / "task.py").write_text(TASK)
    env = {"PATH": f"{Path(PYTHON).parent}:/usr/bin:/bin", "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}

    async def start(source, *, module="task", warm=(), **fields):
        made = spec("sh", "-ec", SCRIPT.format(module=module), source, "x", "", env={**env, **fields})
        direct = Direct(("python3", "-m", module, "--path", FILE, "x", ""), {"OWN": "yes"}, "c.py", source)
        parent = WarmStart(Path(PYTHON), warm, {}) if warm else None
        sandbox = await sandboxes.launch(replace(made, id="same", warm=parent, direct=direct))
        ended = await sandbox.wait()
        outputs = [text_of(sandbox.log_path, name) for name in ("stdout", "stderr")]
        return sandbox.warm, [ended.code, *(re.sub(r"tmp\.\w{10}", "tmp.X", text) for text in outputs)]

    return start


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
async def test_the_program_cannot_tell(start, source):
    is_warm, found = await start(source, warm=("json",))
    assert is_warm
    assert (False, found) == await start(source)


async def test_a_module_that_was_imported_to_be_run_is_run_as_ever(start):
    for module in ("json.tool", "task"):
        is_warm, found = await start("def main(): pass", module=module, warm=("json.tool",))
        assert is_warm
        assert (False, found) == await start("def main(): pass", module=module)


async def test_where_the_file_cannot_be_written_the_shell_says_so(start, tmp_path):
    is_warm, found = await start("def main(): pass", warm=("json",), TMPDIR=str(tmp_path / "absent"))
    assert not is_warm
    assert found == (await start("def main(): pass", TMPDIR=str(tmp_path / "absent")))[1]
    assert "mktemp" in found[2]
