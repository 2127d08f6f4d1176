import asyncio
import dataclasses
import os
import signal
from pathlib import Path

import pytest

from beamhall.embedded.agent.sandbox import Sandboxes, WarmStart
from beamhall.embedded.agent.sandbox.zygotes import WarmPool, Zygote, ZygoteFailed
from tests.unit.embedded.agent.sandbox.conftest import PYTHON, alive, text_of, until

BIN = Path(PYTHON).parent


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """An environment's interpreter that finds some modules of this test's."""
    directory = tmp_path / "modules"
    directory.mkdir()
    for name, text in {
        "fine": "value = 1",
        "broken": "import no_such_dependency",
        "leaves": "raise SystemExit('no')",
        "threads": "import threading, time; threading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
        "slow": f"import time; open({str(tmp_path / 'importing')!r}, 'w').close(); time.sleep(600)",
        "state": "import os; seen = dict(os.environ)",
    }.items():
        (directory / f"{name}.py").write_text(text)
    start = tmp_path / "bin" / "python"
    start.parent.mkdir()
    start.write_text(f'#!/bin/sh\nPYTHONPATH={directory}${{PYTHONPATH:+:$PYTHONPATH}} exec {PYTHON} "$@"\n')
    start.chmod(0o755)
    return start


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("broken", "no_such_dependency"),
        ("leaves", "it ended while it imported ['leaves']"),
        ("threads", "1 threads were started by importing threads"),
        ("absent", "No module named 'absent'"),
    ],
)
async def test_modules_that_cannot_be_warm_are_named_and_programs_start_afresh(modules, sandboxes, spec, module, words):
    warm = WarmStart(modules, (module,), {})
    env = {"PATH": f"{modules.parent}:/usr/bin:/bin"}
    assert words in await sandboxes.prewarm(warm, env)
    sandbox = await sandboxes.launch(spec("python", "-c", "print('afresh')", env=env, warm=warm))
    assert (await sandbox.wait()).code == 0
    assert not sandbox.warm
    assert text_of(sandbox.log_path) == "afresh\n"


async def test_a_missing_interpreter_is_named(sandboxes, tmp_path):
    assert "No such file" in await sandboxes.prewarm(WarmStart(tmp_path / "python", ("json",), {}), {})


async def test_an_import_without_end_is_ended(modules, tmp_path):
    zygote = Zygote([str(modules)], ("slow",), {}, start_limit_s=0.5)
    with pytest.raises(ZygoteFailed, match=r"more than 0.5 s to import \['slow'\]"):
        await zygote.ready()
    assert zygote.pid is None


async def test_a_start_that_nobody_awaits_any_more_leaves_nothing(modules, tmp_path):
    zygote = Zygote([str(modules)], ("slow",), {}, start_limit_s=60)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(zygote.ready())
        await until((tmp_path / "importing").exists)
        pid = zygote.pid
        assert pid is not None
        task.cancel()
    assert not alive(pid)
    assert zygote.pid is None


async def test_containers_that_differ_where_it_matters_have_interpreters_of_their_own(modules, sandboxes, spec):
    warm = WarmStart(modules, ("state",), {"OF_THE_IMAGE": "1"})
    path = f"{modules.parent}:/usr/bin:/bin"
    seen = []
    for extra in ({"X": "1"}, {"X": "2"}, {"OMP_NUM_THREADS": "3"}):
        code = "import state, os; print(state.seen.get('OMP_NUM_THREADS'), state.seen.get('X'), os.getppid() and "
        code += "state.seen.get('OF_THE_IMAGE'), os.environ.get('X'), os.environ.get('OF_THE_IMAGE'))"
        sandbox = await sandboxes.launch(spec("python", "-c", code, env={"PATH": path, **extra}, warm=warm))
        assert (await sandbox.wait()).code == 0
        assert sandbox.warm
        seen.append(text_of(sandbox.log_path).strip())
    assert seen == ["None None 1 1 None", "None None 1 2 None", "3 None 1 None None"]
    assert len(sandboxes._warm._places) == 2


async def test_the_interpreter_that_was_not_used_longest_makes_room(modules):
    pool = WarmPool(limit=2)
    warm = WarmStart(modules, ("fine",), {})
    pids = []
    for number in ("1", "2", "1", "3"):
        assert await pool.ready(warm, {"OMP_NUM_THREADS": number}) == ""
        pids.append(next(reversed(pool._places.values())).zygote.pid)
    first, second, again, third = pids
    assert first == again
    assert alive(first or 0)
    assert alive(third or 0)
    assert not alive(second or 0)
    await pool.stop()
    assert not alive(first or 0)


async def test_a_killed_warm_interpreter_is_replaced_and_its_programs_go_on(modules, sandboxes, spec, tmp_path):
    warm = WarmStart(modules, ("fine",), {})
    given = spec("python", "-c", "import fine, time; time.sleep(600)", env={"PATH": str(modules.parent)}, warm=warm)
    first = await sandboxes.launch(given)
    [place] = sandboxes._warm._places.values()
    old = place.zygote.pid
    os.kill(old, signal.SIGKILL)
    await until(lambda: not alive(old))
    second = await sandboxes.launch(dataclasses.replace(given, directory=tmp_path / "again", id=given.id + "b"))
    assert second.warm
    assert place.zygote.pid != old
    for sandbox in (first, second):
        assert alive(sandbox.pid or 0)
        await sandbox.kill(0)


async def test_strays_of_a_warm_program_are_found_too(modules, sandboxes, spec, tmp_path):
    pids = tmp_path / "pids"
    code = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n"
        f"    open('{pids}.new', 'w').write(str(os.getpid()))\n    os.rename('{pids}.new', '{pids}')\ntime.sleep(600)"
    )
    warm = WarmStart(modules, ("fine",), {})
    sandbox = await sandboxes.launch(spec("python", "-c", code, env={"PATH": str(modules.parent)}, warm=warm))
    await until(pids.exists)
    os.kill(sandbox.shim_pid, signal.SIGKILL)
    assert (await sandbox.wait()).reason == "Vanished"
    assert not alive(int(pids.read_text()))


async def test_closing_ends_all_interpreters(capabilities, modules):
    sandboxes = Sandboxes(capabilities=capabilities)
    await sandboxes.start()
    assert await sandboxes.prewarm(WarmStart(modules, ("fine",), {}), {}) == ""
    [place] = sandboxes._warm._places.values()
    pids = [place.zygote.pid, sandboxes._plain.pid]
    await sandboxes.close()
    assert not any(alive(pid or 0) for pid in pids)
