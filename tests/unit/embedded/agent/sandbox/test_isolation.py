import asyncio
import dataclasses
import os
import signal
import socket
from pathlib import Path
from textwrap import dedent

import pytest

from beamhall.embedded.agent.sandbox import Capabilities, Capability, Mount, Sandboxes, StartFailed, WarmStart
from tests.unit.embedded.agent.sandbox.conftest import PYTHON, text_of, until


@pytest.fixture(params=["root", "user namespace"])
async def isolating(request, capabilities: Capabilities):
    """Sandboxes that isolate as root does, and as others do."""
    if not capabilities.mounts.works or (request.param == "root" and capabilities.mounts.how != "root"):
        pytest.skip(f"no mount namespaces by way of {request.param} here: {capabilities.mounts.reason}")
    how = Capability(works=True, how=request.param)
    async with Sandboxes(capabilities=dataclasses.replace(capabilities, mounts=how, hostname=how)) as running:
        yield running


async def output(sandboxes, spec) -> str:
    sandbox = await sandboxes.launch(spec)
    ended = await sandbox.wait()
    assert ended.code == 0, sandbox.log_path.read_text()
    return text_of(sandbox.log_path)


async def test_volumes_appear_at_paths_that_the_host_lacks(isolating, spec, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_text("from the host")
    (tmp_path / "one.txt").write_text("one file")
    before = sorted(Path("/").iterdir())
    etc = sorted(Path("/etc").iterdir())
    mounts = [
        Mount(tmp_path / "data", "/no-such-top/deep/data"),
        Mount(tmp_path / "data", "/no-such-top/other", read_only=True),
        Mount(tmp_path / "one.txt", "/etc/no-such-directory/one.txt", read_only=True),
        Mount(None, "/no-such-top/scratch", kind="tmpfs"),
        Mount(tmp_path / "data", "/mnt"),
    ]
    script = """
        cat /no-such-top/deep/data/x /etc/no-such-directory/one.txt /mnt/x; echo
        echo new > /no-such-top/deep/data/written && cat /no-such-top/other/written
        echo no > /no-such-top/other/x || echo read-only
        echo no > /etc/no-such-directory/one.txt || echo read-only
        echo yes > /no-such-top/scratch/file && cat /no-such-top/scratch/file
        test -r /etc/passwd && test -d /proc/self && test -c /dev/null && pwd
    """
    text = await output(isolating, spec("sh", "-c", script, mounts=mounts))
    assert text.splitlines() == [
        "from the hostone filefrom the host", "new", "read-only", "read-only", "yes", str(tmp_path),
    ]  # fmt: skip
    assert (tmp_path / "data" / "written").read_text() == "new\n"
    assert (tmp_path / "data" / "x").read_text() == "from the host"
    assert sorted(Path("/").iterdir()) == before
    assert sorted(Path("/etc").iterdir()) == etc
    assert "no-such-top" not in Path("/proc/mounts").read_text()


async def test_a_mount_below_a_volume_is_made_in_it(isolating, spec, tmp_path):
    for name in ("outer", "inner"):
        (tmp_path / name).mkdir()
    (tmp_path / "inner" / "x").write_text("inner")
    mounts = [Mount(tmp_path / "inner", "/no-such-top/a/b"), Mount(tmp_path / "outer", "/no-such-top")]
    assert await output(isolating, spec("cat", "/no-such-top/a/b/x", mounts=mounts)) == "inner"
    assert (tmp_path / "outer" / "a" / "b").is_dir()


async def test_what_a_covered_directory_held_is_still_there(isolating, spec, tmp_path):
    home = tmp_path / "home"
    (home / "d").mkdir(parents=True)
    (home / "f").write_text("f")
    (home / "link").symlink_to("f")
    (tmp_path / "volume").mkdir()
    script = (
        f"cat {home}/f {home}/link; echo; readlink {home}/link; echo kept > {home}/d/new; ls {home}; stat -c %a {home}"
    )
    home.chmod(0o750)
    text = await output(isolating, spec("sh", "-c", script, mounts=[Mount(tmp_path / "volume", f"{home}/new/volume")]))
    assert text.splitlines() == ["ff", "f", "d", "f", "link", "new", "750"]
    assert (home / "d" / "new").read_text() == "kept\n"
    assert sorted(p.name for p in home.iterdir()) == ["d", "f", "link"]


@pytest.mark.parametrize("target", ["/etc/hosts", "/no-such-top/x"])
async def test_a_missing_source_is_named(isolating, spec, tmp_path, target):
    with pytest.raises(StartFailed, match="missing: No such file") as failed:
        await isolating.launch(spec("true", mounts=[Mount(tmp_path / "missing", target)]))
    assert failed.value.stage == "mount"


async def test_names_and_the_host_name_are_the_pods(isolating, spec, tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("127.9.8.7 some-service.some-namespace some-service\n127.0.0.1 localhost\n")
    script = "getent hosts some-service | cut -d' ' -f1; hostname; cat /proc/self/status | grep Cap; id -u"
    text = await output(isolating, spec("sh", "-c", script, hosts_file=hosts, hostname="pod-0"))
    lines = text.splitlines()
    assert lines[:2] == ["127.9.8.7", "pod-0"]
    assert lines[-1] == str(os.getuid())
    assert "some-service" not in Path("/etc/hosts").read_text()
    assert socket.gethostname() != "pod-0"


async def test_a_warm_program_is_isolated_like_any_other(isolating, spec, tmp_path, port):
    hosts = tmp_path / "hosts"
    hosts.write_text("127.9.8.7 some-service\n")
    code = f"""
import os, socket
print(socket.gethostbyname("some-service"), socket.gethostname(), os.getuid(), open("/no-such-top/hosts").read() != "")
server = socket.create_server(("", {port})); print(server.getsockname()[0])
client = socket.create_connection(("127.0.0.1", {port})); print(client.getpeername()[0])
print([line for line in open("/proc/self/status") if line.startswith("CapEff")], os.access("/proc/self/fd", os.R_OK))
"""
    fields = {
        "hosts_file": hosts,
        "hostname": "pod-0",
        "mounts": [Mount(tmp_path, "/no-such-top")],
        "address": "127.77.0.6",
    }
    warm = WarmStart(Path(PYTHON), ("decimal",), {})
    env = {"PATH": f"{Path(PYTHON).parent}:/usr/bin:/bin"}
    cold = await output(isolating, spec(Path(PYTHON).name, "-c", code, env=env, **fields))
    sandbox = await isolating.launch(spec(Path(PYTHON).name, "-c", code, env=env, warm=warm, **fields))
    assert (await sandbox.wait()).code == 0, sandbox.log_path.read_text()
    assert sandbox.warm
    assert text_of(sandbox.log_path) == cold
    assert cold.startswith(f"127.9.8.7 pod-0 {os.getuid()} True\n127.77.0.6\n127.77.0.6\n")


async def test_without_namespaces_names_are_left_out_but_volumes_are_refused(capabilities, spec, tmp_path):
    none = Capability(works=False, reason="not here")
    async with Sandboxes(capabilities=Capabilities(none, none, none)) as sandboxes:
        hosts = tmp_path / "hosts"
        hosts.write_text("")
        given = spec("hostname", hosts_file=hosts, hostname="pod-0", address="127.9.9.9")
        assert await output(sandboxes, given) == socket.gethostname() + "\n"
        with pytest.raises(StartFailed, match="no mount namespaces"):
            await sandboxes.launch(spec("true", mounts=[Mount(tmp_path, "/no-such-top")]))


SERVER = """
import socket, sys, os
family, host, port, options = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
s = socket.socket(getattr(socket, family))
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if family == "AF_INET6":
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int("only" in options))
s.bind((host, port)); s.listen()
if "also4" in options:
    t = socket.socket(); t.bind(("0.0.0.0", port)); t.listen(); s.close(); s = t
print(s.getsockname()[:2], flush=True)
open(sys.argv[5], "w").close()
while True:
    c, _ = s.accept()
    c.sendall(sys.argv[5].encode()); c.close()
"""
CLIENT = """
import socket, sys
for text in sys.argv[1:]:
    family, mode, host, port = text.split(",")
    s = socket.socket(getattr(socket, family))
    if mode == "timeout":
        s.settimeout(10)
    try:
        s.connect((host, int(port)))
        print(s.recv(1000).decode().rpartition("/")[2])
    except OSError as error:
        print(type(error).__name__)
"""


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


SERVERS = [
    ("AF_INET", "0.0.0.0", "-"),
    ("AF_INET", "127.0.0.1", "-"),
    ("AF_INET6", "::", "-"),
    ("AF_INET6", "::1", "-"),
    ("AF_INET6", "::ffff:127.0.0.1", "-"),
    ("AF_INET6", "::", "only,also4"),
]


@pytest.mark.parametrize(("family", "host", "options"), SERVERS)
async def test_two_pods_have_the_same_port(sandboxes, capabilities, spec, tmp_path, port, family, host, options):
    if not capabilities.network.works:
        pytest.skip(capabilities.network.reason)
    servers = []
    for number in (1, 2):
        ready = tmp_path / f"server{number}"
        servers.append(
            await sandboxes.launch(
                spec(PYTHON, "-c", SERVER, family, host, str(port), options, str(ready), address=f"127.77.0.{number}")
            )
        )
        await until(ready.exists)
    calls = [f"AF_INET,{mode},{ip},{port}" for mode in ("block", "timeout") for ip in ("127.0.0.1", "127.77.0.2")]
    calls += [f"AF_INET6,block,::1,{port}", f"AF_INET6,timeout,::ffff:127.0.0.1,{port}"]
    client = await sandboxes.launch(spec(PYTHON, "-c", CLIENT, *calls, address="127.77.0.1"))
    await client.wait()
    assert text_of(client.log_path).split() == ["server1", "server2", "server1", "server2", "server1", "server1"]
    outside = await sandboxes.launch(spec(PYTHON, "-c", CLIENT, f"AF_INET,block,127.0.0.1,{port}"))
    await outside.wait()
    assert text_of(outside.log_path).split() == ["ConnectionRefusedError"]
    assert "127.77.0.1" in text_of(servers[0].log_path)
    for server in servers:
        assert (await server.kill(30)).signal == signal.SIGTERM


async def test_a_port_that_is_taken_in_the_pod_is_refused(sandboxes, capabilities, spec, tmp_path, port):
    if not capabilities.network.works:
        pytest.skip(capabilities.network.reason)
    ready = tmp_path / "server"
    arguments = ("AF_INET", "0.0.0.0", str(port), "-", str(ready))
    first = await sandboxes.launch(spec(PYTHON, "-c", SERVER, *arguments, address="127.77.0.3"))
    await until(ready.exists)
    second = await sandboxes.launch(spec(PYTHON, "-c", SERVER, *arguments, address="127.77.0.3"))
    assert (await second.wait()).code == 1
    assert "Address already in use" in text_of(second.log_path, "stderr")
    await first.kill(0)


async def test_nobody_signals_everybody(sandboxes, capabilities, spec, tmp_path):
    """Signal 0 does nothing, and is permitted where any other is: -1 would be every process of the machine's user."""
    if not capabilities.network.works:
        pytest.skip(capabilities.network.reason)
    script = """
        import os
        for whom in (-1, 0, os.getpid()):
            try:
                os.kill(whom, 0)
                print("may")
            except PermissionError:
                print("may not")
    """
    lines = (await output(sandboxes, spec(PYTHON, "-c", dedent(script), address="127.77.0.9"))).splitlines()
    assert lines == ["may not", "may", "may"]


async def test_services_of_the_host_are_reached(sandboxes, capabilities, spec):
    if not capabilities.network.works:
        pytest.skip(capabilities.network.reason)

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"/the-host")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        client = await sandboxes.launch(
            spec(PYTHON, "-c", CLIENT, f"AF_INET,block,127.0.0.1,{port}", address="127.77.0.4")
        )
        await client.wait()
    assert text_of(client.log_path) == "the-host\n"


OTHERS = """
import socket, os, sys
u = socket.socket(socket.AF_UNIX); u.bind(sys.argv[1])
d = socket.socket(type=socket.SOCK_DGRAM); d.bind(("0.0.0.0", 0)); print(d.getsockname()[0])
e = socket.socket(type=socket.SOCK_DGRAM); e.bind(("0.0.0.0", int(sys.argv[2]))); print(e.getsockname()[0])
t = socket.socket(); t.bind(("0.0.0.0", 0)); print(t.getsockname()[0])
l = socket.socket(); l.bind(("127.0.0.1", 0)); print(l.getsockname()[0])
o = socket.socket(); o.bind(("127.77.0.99", 0)); print(o.getsockname()[0])
c = socket.socket(type=socket.SOCK_DGRAM); c.connect(("127.0.0.1", int(sys.argv[2]))); print(c.getpeername()[0])
if os.fork() == 0:
    f = socket.socket(); f.bind(("127.0.0.1", int(sys.argv[2]))); print(f.getsockname()[0], flush=True); os._exit(0)
os.wait()
os.close(9999) if False else None
try: socket.socket().bind(("0.0.0.0", -1))
except OverflowError: print("overflow")
"""


async def test_only_what_could_collide_is_changed(sandboxes, capabilities, spec, tmp_path, port):
    if not capabilities.network.works:
        pytest.skip(capabilities.network.reason)
    text = await output(sandboxes, spec(PYTHON, "-uc", OTHERS, str(tmp_path / "s"), str(port), address="127.77.0.5"))
    assert text.split() == [
        "0.0.0.0", "127.77.0.5", "127.77.0.5", "127.0.0.1", "127.77.0.99", "127.77.0.5", "127.77.0.5", "overflow",
    ]  # fmt: skip
