"""The standard streams of a container: an input that clients write to, and a terminal."""

import os

from beamhall.embedded.agent.sandbox import Sandboxes
from tests.unit.embedded.agent.sandbox.conftest import PATH, text_of, until


def write(sandbox, data):
    """Write as a client that attaches does."""
    fd = os.open(sandbox.stdin_path, os.O_WRONLY | os.O_NONBLOCK)
    try:
        return os.write(fd, data)
    finally:
        os.close(fd)


async def test_an_input_goes_on_from_client_to_client_until_it_is_ended(sandboxes, spec):
    sandbox = await sandboxes.launch(spec("cat", stdin=True))
    write(sandbox, b"one\n")
    await until(lambda: text_of(sandbox.log_path) == "one\n")
    write(sandbox, b"two\n")
    await until(lambda: text_of(sandbox.log_path) == "one\ntwo\n")
    sandbox.end_input()
    assert (await sandbox.wait()).code == 0
    assert text_of(sandbox.log_path) == "one\ntwo\n"


async def test_without_an_input_there_is_nothing_to_read_or_to_write_to(sandboxes, spec):
    sandbox = await sandboxes.launch(spec("cat"))
    assert (await sandbox.wait()).code == 0
    assert not sandbox.stdin_path.exists()


async def test_a_prompt_is_logged_before_its_line_is_complete(sandboxes, spec):
    sandbox = await sandboxes.launch(spec("sh", "-c", "printf 'name? '; read name; echo hello $name", stdin=True))
    await until(lambda: text_of(sandbox.log_path) == "name? ")
    write(sandbox, b"you\n")
    await sandbox.wait()
    assert text_of(sandbox.log_path) == "name? hello you\n"


async def test_a_terminal_is_the_programs_own_and_has_a_size(sandboxes, spec):
    script = "tty <&2 >/dev/null && read x </dev/tty; stty size; echo $TERM; echo error >&2"
    sandbox = await sandboxes.launch(spec("sh", "-c", script, stdin=True, tty=True))
    sandbox.resize(40, 120)
    write(sandbox, b"\n")
    assert (await sandbox.wait()).code == 0
    assert text_of(sandbox.log_path).split() == ["40", "120", "xterm", "error"]


async def test_a_terminal_passes_interrupts_on(sandboxes, spec):
    sandbox = await sandboxes.launch(spec("sh", "-c", "echo ready; exec sleep 600", stdin=True, tty=True))
    await until(lambda: "ready" in text_of(sandbox.log_path))
    write(sandbox, b"\x03")
    assert (await sandbox.wait()).code == 130


async def test_much_input_passes_through_a_terminal_that_is_full(sandboxes, spec):
    script = "stty raw -echo; echo ready; sleep 0.3; head -c 200000 | wc -c"
    sandbox = await sandboxes.launch(spec("sh", "-c", script, stdin=True, tty=True))
    await until(lambda: "ready" in text_of(sandbox.log_path))
    left = 200_000
    while left:
        try:
            left -= write(sandbox, b"x" * min(left, 4096))
        except BlockingIOError:
            await until(lambda: True)
    assert (await sandbox.wait()).code == 0
    assert "200000" in text_of(sandbox.log_path)


async def test_input_and_terminal_outlive_the_service(capabilities, spec):
    given = spec("sh", "-c", "read one; read two; echo $one $two", stdin=True, tty=True, env={"PATH": PATH})
    async with Sandboxes(capabilities=capabilities) as before:
        write(await before.launch(given), b"1\n")
    async with Sandboxes(capabilities=capabilities) as after:
        sandbox = await after.adopt(given.directory)
        assert sandbox is not None
        write(sandbox, b"2\n")
        assert (await sandbox.wait()).code == 0
    assert text_of(sandbox.log_path).splitlines()[-1].strip() == "1 2"
