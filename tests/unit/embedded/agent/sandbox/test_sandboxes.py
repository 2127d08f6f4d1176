import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from beamhall.embedded.agent.sandbox import AlreadyStarted, Sandbox, Sandboxes, StartFailed
from tests.unit.embedded.agent.sandbox.conftest import PYTHON, alive, text_of, until


async def adopt(sandboxes: Sandboxes, directory: Path) -> Sandbox:
    found = await sandboxes.adopt(directory)
    assert found is not None
    return found


DAEMON = """
import os, sys, time
def fork():
    if os.fork(): os._exit(0)
if os.fork() == 0:
    os.setsid(); fork(); os.setsid(); fork()
    os.environ.clear()
    with open(sys.argv[1] + ".new", "w") as f: f.write(str(os.getpid()))
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    time.sleep(600)
while not os.path.exists(sys.argv[1]): time.sleep(0.01)
"""


@pytest.mark.parametrize("code", [0, 1, 3, 255])
async def test_the_exit_code_is_the_programs(sandboxes, spec, code):
    sandbox = await sandboxes.launch(spec("sh", "-c", f"exit {code}"))
    ended = await sandbox.wait()
    assert (ended.code, ended.signal, ended.reason) == (code, None, "Error" if code else "Completed")
    assert ended.started_at == sandbox.started_at
    assert ended.started_at is not None
    assert ended.finished_at >= ended.started_at
    assert not ended.killed


async def test_a_program_that_dies_of_a_signal_reports_it(sandboxes, spec):
    ended = await (await sandboxes.launch(spec("sh", "-c", "kill -SEGV $$"))).wait()
    assert (ended.code, ended.signal, ended.reason) == (128 + signal.SIGSEGV, signal.SIGSEGV, "Error")


async def test_output_is_logged_line_by_line_with_its_stream(sandboxes, spec):
    sandbox = await sandboxes.launch(spec("sh", "-c", "echo one; echo two >&2; printf three"))
    await sandbox.wait()
    log = sandbox.log_path.read_text()
    assert text_of(sandbox.log_path) == "one\nthree"
    assert text_of(sandbox.log_path, "stderr") == "two\n"
    assert " stdout P three\n" in log
    for line in log.splitlines():
        assert line[:20].startswith("20")
        assert line.split(" ")[0].endswith("Z")


async def test_only_the_environment_that_was_given_is_seen(sandboxes, spec):
    given = spec("env", env={"PATH": os.environ["PATH"], "A": "b c", "Ü": "ß"})
    sandbox = await sandboxes.launch(given)
    await sandbox.wait()
    assert sorted(text_of(sandbox.log_path).splitlines()) == sorted(
        [f"PATH={os.environ['PATH']}", "A=b c", "Ü=ß", f"BEAMHALL_SANDBOX={given.id}"]
    )


@pytest.mark.parametrize("niceness", [0, 19])
async def test_a_program_stands_back_as_far_as_it_is_told(sandboxes, spec, niceness):
    sandbox = await sandboxes.launch(spec(PYTHON, "-c", "import os; print(os.nice(0))", niceness=niceness))
    await sandbox.wait()
    assert int(text_of(sandbox.log_path)) == max(niceness, os.nice(0))


async def test_working_directory_umask_and_descriptors_are_fresh(sandboxes, spec, tmp_path):
    sandbox = await sandboxes.launch(
        spec("sh", "-c", "pwd; umask; ls /proc/self/fd | wc -l; cat; grep SigIgn /proc/self/status", umask=0o077)
    )
    await sandbox.wait()
    cwd, umask, descriptors, ignored = text_of(sandbox.log_path).splitlines()
    assert (cwd, umask, descriptors) == (str(tmp_path), "0077", "4")  # 0, 1, 2 and ls's own
    own = 0b11 << 31  # 32 and 33 are the C library's, which lets nobody reset them: as the tests were started
    assert int(ignored.split()[1], 16) & ~own == 0


@pytest.mark.parametrize(
    ("argv", "fields", "stage", "words"),
    [
        (["no-such-command"], {}, "command-not-found", "'no-such-command'"),
        (["/no/such/file"], {}, "command-not-found", "/no/such/file"),
        (["/etc/passwd"], {}, "permission", "/etc/passwd"),
        (["true"], {"cwd": "/no/such/directory"}, "cwd", "/no/such/directory"),
        (["broken-script"], {}, "exec", "interpreter"),
        (["not-a-program"], {}, "exec", "not a program"),
    ],
)
async def test_a_program_that_cannot_start_says_why(sandboxes, spec, tmp_path, argv, fields, stage, words):
    for name, text in (("broken-script", "#!/no/such/interpreter\n"), ("not-a-program", "\x01\x02")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    given = spec(*argv, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, **fields)
    with pytest.raises(StartFailed, match=words) as failed:
        await sandboxes.launch(given)
    assert failed.value.stage == stage
    adopted = await adopt(sandboxes, given.directory)
    assert adopted.exit
    assert adopted.exit.reason == "StartError"
    assert adopted.exit.code == 128
    assert adopted.exit.message == failed.value.message
    assert adopted.pid is None


async def test_a_directory_is_started_once_only(sandboxes, spec, tmp_path):
    ran = tmp_path / "ran"
    given = spec("sh", "-c", f"echo >> {ran}; sleep 600")
    results: list[Sandbox | AlreadyStarted] = []

    async def launch() -> None:
        try:
            results.append(await sandboxes.launch(given))
        except AlreadyStarted as error:
            results.append(error)

    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(launch())
    started = [r for r in results if not isinstance(r, AlreadyStarted)]
    assert len(results) == 5
    assert len(started) == 1
    await until(lambda: ran.exists() and ran.read_text())
    await started[0].kill(0)
    assert ran.read_text() == "\n"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


async def test_a_missing_parent_directory_is_our_own_fault(sandboxes, spec, tmp_path):
    with pytest.raises(StartFailed, match="No such file"):
        await sandboxes.launch(spec("true", directory=tmp_path / "no" / "parent"))


async def test_kill_lets_the_program_end_by_itself(sandboxes, spec, tmp_path):
    ready = tmp_path / "ready"
    sandbox = await sandboxes.launch(
        spec("sh", "-c", f"trap 'echo bye; exit 7' TERM; touch {ready}; while :; do sleep 0.01; done")
    )
    await until(ready.exists)
    ended = await sandbox.kill(60)
    assert (ended.code, ended.signal, ended.killed) == (7, None, True)
    assert text_of(sandbox.log_path) == "bye\n"


async def test_kill_ends_who_does_not_listen(sandboxes, spec, tmp_path):
    ready = tmp_path / "ready"
    sandbox = await sandboxes.launch(spec("sh", "-c", f"trap '' TERM; touch {ready}; sleep 600; sleep 600"))
    await until(ready.exists)
    ended = await sandbox.kill(0.05)
    assert (ended.code, ended.signal, ended.killed) == (137, signal.SIGKILL, True)


async def test_a_second_kill_shortens_the_first(sandboxes, spec, tmp_path):
    ready = tmp_path / "ready"
    sandbox = await sandboxes.launch(spec("sh", "-c", f"trap '' TERM; touch {ready}; while :; do sleep 600; done"))
    await until(ready.exists)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(sandbox.kill(3600))
        await sandbox.kill(0)
    assert first.result().code == 137


async def test_signals_reach_the_program(sandboxes, spec, tmp_path):
    ready = tmp_path / "ready"
    sandbox = await sandboxes.launch(
        spec("sh", "-c", f"trap 'exit 9' USR1; touch {ready}; while :; do sleep 0.01; done")
    )
    await until(ready.exists)
    sandbox.signal(signal.SIGUSR1)
    assert (await sandbox.wait()).code == 9
    sandbox.signal(signal.SIGUSR1)  # nobody is there any more


async def test_daemons_of_a_container_die_with_it(sandboxes, spec, tmp_path):
    child = tmp_path / "pid"
    sandbox = await sandboxes.launch(spec(PYTHON, "-c", DAEMON, str(child)))
    ended = await sandbox.wait()
    assert ended.code == 0
    assert not alive(int(child.read_text()))


async def test_a_killed_shim_is_noticed_and_its_processes_are_killed(sandboxes, spec, tmp_path):
    pids = tmp_path / "pids"
    script = f"setsid sleep 600 & echo $! > {pids}.new; mv {pids}.new {pids}; sleep 600"
    sandbox = await sandboxes.launch(spec("sh", "-c", script))
    await until(pids.exists)
    os.kill(sandbox.shim_pid, signal.SIGKILL)
    ended = await sandbox.wait()
    assert (ended.reason, ended.code) == ("Vanished", 137)
    assert not alive(sandbox.pid)
    assert not alive(int(pids.read_text()))
    again = await adopt(sandboxes, sandbox.directory)
    assert again.exit == ended


async def test_a_stopped_shim_does_not_stop_a_kill(sandboxes, spec, monkeypatch):
    monkeypatch.setattr("beamhall.embedded.agent.sandbox.sandbox._SHIM_LATE_S", 0.05)
    sandbox = await sandboxes.launch(spec("sleep", "600"))
    os.kill(sandbox.shim_pid, signal.SIGSTOP)
    ended = await sandbox.kill(0)
    assert ended.reason == "Vanished"
    assert not alive(sandbox.pid)


async def test_nothing_is_adopted_where_nothing_was_started(sandboxes, tmp_path):
    assert await sandboxes.adopt(tmp_path / "none") is None


async def test_a_killed_zygote_is_replaced(sandboxes, spec):
    first = await sandboxes.launch(spec("sleep", "600"))
    os.kill(sandboxes._plain.pid, signal.SIGKILL)
    second = await sandboxes.launch(spec("true"))
    assert (await second.wait()).code == 0
    assert alive(first.pid)
    await first.kill(0)


SERVICE = """
import asyncio, sys
from pathlib import Path
from beamhall.embedded.agent.sandbox import ContainerSpec, Sandboxes
async def main():
    async with Sandboxes() as sandboxes:
        script = "echo before; while [ ! -e go ]; do sleep 0.01; done; echo after; exit 5"
        cwd = sys.argv[1]
        for name, argv in (("a", ["sh", "-c", script]), ("b", ["true"]), ("c", ["sleep", "600"])):
            await sandboxes.launch(ContainerSpec(
                directory=Path(cwd, name), id=Path(cwd).name + name, argv=argv, env={"PATH": "/usr/bin:/bin"}, cwd=cwd))
        print(sandboxes._plain.pid, flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_containers_outlive_a_killed_service_and_are_adopted(capabilities, tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    service = await asyncio.to_thread(
        subprocess.Popen, [PYTHON, "-c", SERVICE, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert service.stdout
    zygote = int(await asyncio.to_thread(service.stdout.readline))
    service.kill()
    await asyncio.to_thread(service.communicate)
    await until(lambda: not alive(zygote))
    async with Sandboxes(capabilities=capabilities) as sandboxes:
        running = await adopt(sandboxes, tmp_path / "a")
        done = await adopt(sandboxes, tmp_path / "b")
        assert running.exit is None
        assert running.pid
        assert alive(running.pid)
        assert (await done.wait()).code == 0
        (tmp_path / "go").touch()
        ended = await running.wait()
        assert ended.code == 5
        assert text_of(running.log_path) == "before\nafter\n"
        assert ended.started_at == running.started_at
        killed = await (await adopt(sandboxes, tmp_path / "c")).kill(30)
        assert (killed.signal, killed.killed) == (signal.SIGTERM, True)


async def test_much_output_of_any_bytes_is_logged_whole(sandboxes, spec):
    program = "import sys; [sys.stdout.buffer.write(bytes(range(256)) * 4000) for _ in range(10)]"
    sandbox = await sandboxes.launch(spec(PYTHON, "-c", program))
    assert (await sandbox.wait()).code == 0
    parts = [line.split(b" ", 3) for line in sandbox.log_path.read_bytes().split(b"\n") if line]
    assert b"".join(p[3] + (b"\n" if p[2] == b"F" else b"") for p in parts) == bytes(range(256)) * 40000


async def test_a_program_may_close_its_output(sandboxes, spec, tmp_path):
    sandbox = await sandboxes.launch(spec("sh", "-c", "echo x; exec >&- 2>&-; sleep 0.05; touch done"))
    assert (await sandbox.wait()).code == 0
    assert (tmp_path / "done").exists()
    assert text_of(sandbox.log_path) == "x\n"


async def test_a_full_disk_keeps_the_exit_code(sandboxes, spec, tmp_path, capabilities):
    if capabilities.mounts.how != "root":
        pytest.skip("a small file system takes root")
    small = tmp_path / "small"
    small.mkdir()
    mounted = await asyncio.to_thread(
        subprocess.run, ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount: {mounted.stderr!r}")
    try:
        sandbox = await sandboxes.launch(
            spec("sh", "-c", "head -c 1000000 /dev/zero; echo; echo end; exit 6", directory=small / "c")
        )
        ended = await sandbox.wait()
        assert ended.code == 6
        assert ended.reason == "Error"
    finally:
        await asyncio.to_thread(subprocess.run, ["umount", small], check=True)


async def test_many_start_at_once(sandboxes, spec):
    results: list[int] = []

    async def one(number: int) -> None:
        ended = await (await sandboxes.launch(spec("sh", "-c", f"exit {number}"))).wait()
        results.append(ended.code)

    async with asyncio.TaskGroup() as group:
        for number in range(80):
            group.create_task(one(number))
    assert sorted(results) == list(range(80))


async def test_a_claim_of_a_dead_shim_is_vanished(sandboxes, tmp_path):
    directory: Path = tmp_path / "old"
    directory.mkdir()
    (directory / "shim").write_text('{"pid": 1, "ticks": 12345, "boot": "another", "id": "x", "warm": false}')
    adopted = await adopt(sandboxes, directory)
    assert adopted.exit
    assert adopted.exit.reason == "Vanished"
