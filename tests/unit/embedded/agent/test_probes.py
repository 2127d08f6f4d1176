"""Probes and lifecycle hooks on real processes."""

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived, StreamEnded

from beamhall.embedded.agent.grpchealth import check
from beamhall.embedded.agent.handlers import Answer, HandlerError, Target, ask, call
from beamhall.embedded.agent.sandbox import StartFailed
from beamhall.kernel.kinds import POD
from tests.unit.embedded.agent.conftest import pod_of, running
from tests.unit.embedded.agent.test_agent import conditions_of, main_of

SERVE = """exec python3 -c '
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        there = os.path.exists(self.path[1:]) and self.headers.get("X-Who", "me") == "me"
        self.send_response(200 if there else 503)
        self.end_headers()
http.server.HTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
'"""
QUICK = {"periodSeconds": 0.1, "timeoutSeconds": 5, "failureThreshold": 2}


def probed(name, script, policy="Always", lifecycle=None, grace=5, **probes):
    pod = pod_of(name, script, policy=policy, terminationGracePeriodSeconds=grace)
    container = pod["spec"]["containers"][0] | {"workingDir": "/tmp", "ports": [{"name": "web", "containerPort": 8080}]}
    container |= {kind: QUICK | probe for kind, probe in probes.items()}
    pod["spec"]["containers"] = [container | ({"lifecycle": lifecycle} if lifecycle else {})]
    return pod


def sh(script):
    return {"exec": {"command": ["sh", "-c", script]}}


def messages(cluster, name, reason):
    return [event["message"] for event in cluster.events(name, reason)]


async def said(cluster, name, reason, n=1):
    """Wait for so many events of a reason, which are written after what they tell of, and give what they say."""
    return await cluster.until(lambda: len(m := messages(cluster, name, reason)) >= n and m)


async def restarts(cluster, name, n):
    def reached():
        status = cluster.pod(name).get("status") or {}
        return "containerStatuses" in status and main_of(cluster.pod(name))["restartCount"] == n

    await cluster.until(reached)
    return cluster.pod(name)


async def ready(cluster, name, wanted="True"):
    return await cluster.until(
        lambda: (pod := cluster.pod(name)).get("status") and conditions_of(pod).get("Ready") == wanted and pod
    )


async def test_a_pod_is_ready_when_its_server_says_so(agent, cluster, tmp_path):
    path = tmp_path / "up"
    get = {"path": str(path), "port": "web", "httpHeaders": [{"name": "X-Who", "value": "me"}]}
    await cluster.create(POD, probed("one", f"cd /; {SERVE}", readinessProbe={"httpGet": get}))
    (message,) = await cluster.until(lambda: _failing_with(cluster, "HTTP probe failed with statuscode: 503"))
    assert message == "Readiness probe failed: HTTP probe failed with statuscode: 503"
    assert (main_of(cluster.pod("one"))["started"], main_of(cluster.pod("one"))["ready"]) == (True, False)
    path.touch()
    pod = await ready(cluster, "one")
    assert main_of(pod)["ready"]
    path.unlink()
    pod = await ready(cluster, "one", "False")
    assert main_of(pod)["restartCount"] == 0


def _failing_with(cluster, text):
    return [m for m in messages(cluster, "one", "Unhealthy") if text in m]


async def test_a_container_that_is_not_alive_is_restarted(agent, cluster):
    live = sh("test -e $HOME/live") | {"terminationGracePeriodSeconds": 1}
    script = (
        'trap "echo asked" TERM; test ! -e $HOME/ran || touch $HOME/live; touch $HOME/ran; while :; do sleep 0.1; done'
    )
    await cluster.create(POD, probed("one", script, livenessProbe=live, grace=600))
    pod = await restarts(cluster, "one", 1)
    assert await said(cluster, "one", "Killing") == ["Container main failed liveness probe, will be restarted"]
    assert main_of(pod)["lastState"]["terminated"]["exitCode"] == 137
    assert await said(cluster, "one", "Unhealthy") == ["Liveness probe failed: "]


async def test_a_clean_exit_after_a_failed_probe_is_no_success(cluster, catalog, settings, tmp_path):
    async with running(cluster, catalog, tmp_path, settings):
        script = 'trap "exit 0" TERM; test -e $HOME/ran && exit 0; touch $HOME/ran; while :; do sleep 0.05; done'
        await cluster.create(POD, probed("one", script, "OnFailure", livenessProbe=sh("! test -e $HOME/ran")))
        pod = await cluster.phase("one", "Succeeded")
        assert main_of(pod)["restartCount"] == 1
        assert main_of(pod)["lastState"]["terminated"]["exitCode"] == 0


async def test_startup_comes_before_the_other_probes(agent, cluster):
    probes = {
        "startupProbe": sh("test -e started") | {"failureThreshold": 1000},
        "livenessProbe": sh("test -e started || touch too-early"),
        "readinessProbe": sh("test ! -e too-early"),
    }
    script = "rm -f started too-early go; until test -e go; do sleep 0.05; done; touch started; sleep 600"
    pod = probed("one", script, **probes)
    pod["spec"]["containers"][0]["workingDir"] = ""
    await cluster.create(POD, pod)
    await said(cluster, "one", "Unhealthy")
    assert not main_of(cluster.pod("one"))["started"]
    (agent.worker_of(cluster.pod("one")["metadata"]["uid"]).own.scratch("main") / "go").touch()
    await ready(cluster, "one")
    assert main_of(cluster.pod("one"))["restartCount"] == 0


async def test_a_startup_that_fails_ends_the_pod_that_is_not_restarted(agent, cluster):
    probe = {"tcpSocket": {"port": 9}, "failureThreshold": 1}
    await cluster.create(POD, probed("one", "sleep 600", "Never", startupProbe=probe))
    pod = await cluster.phase("one", "Failed")
    assert main_of(pod)["state"]["terminated"]["exitCode"] == 143
    assert await said(cluster, "one", "Killing") == ["Container main failed startup probe"]
    where = f"{pod['status']['podIP']}:9"
    assert await said(cluster, "one", "Unhealthy") == [
        f"Startup probe failed: dial tcp {where}: connect: connection refused"
    ]


async def test_an_exec_probe_runs_where_its_container_does(agent, cluster):
    sees = 'test "$FROM_IMAGE $COLOUR $PWD" = "1 blue /tmp" && test $HOSTNAME = one && touch $HOME/seen'
    pod = probed("one", "sleep 600", readinessProbe=sh(sees))
    pod["spec"]["containers"][0]["env"] = [{"name": "COLOUR", "value": "blue"}]
    await cluster.create(POD, pod)
    await ready(cluster, "one")


async def test_what_cannot_be_asked_says_nothing(agent, cluster):
    probes = {"livenessProbe": {"exec": {"command": ["no-such-command"]}}, "readinessProbe": {"httpGet": {"port": "x"}}}
    await cluster.create(POD, probed("one", "sleep 600", **probes))
    heard = sorted(await said(cluster, "one", "Unhealthy", 2))
    assert heard[0].startswith(
        "Liveness probe errored and resulted in unknown state: rpc error: code = Unknown desc = "
    )
    assert heard[1] == "Readiness probe errored and resulted in unknown state: couldn't find port: x"
    assert main_of(cluster.pod("one"))["restartCount"] == 0


@pytest.mark.parametrize(
    "action",
    [
        {"httpGet": {"port": 9, "host": "a..b"}},
        {"httpGet": {"port": 9, "host": "x" * 300}},
        {"httpGet": {"port": 9, "httpHeaders": [{"name": "ä b", "value": "\n"}]}},
        {"httpGet": {"port": 9, "path": "/a b?ü=\n"}},
        {"httpGet": {"port": 9, "host": "127.0.0.1\0"}},
        {"tcpSocket": {"port": 9, "host": "a..b"}},
        {"tcpSocket": {"port": 70000}},
        {"grpc": {"port": 9, "service": "ü"}},
        {"exec": {"command": []}},
        {},
    ],
)
async def test_whatever_is_asked_ends_no_service(action):
    target = Target({"name": "c"}, "127.0.0.1", _gone)
    answer = Answer(False)
    with suppress(HandlerError):
        answer = await ask(action, target, 5)
    assert not answer.is_good
    assert await call(action, target)


async def _gone(argv, *, timeout_s):
    raise StartFailed("gone", "the container is not running")


async def test_hooks_and_redirects_over_http():
    seen = []

    async def serve(reader, writer):
        seen.append((await reader.readuntil(b"\r\n\r\n")).decode())
        path = seen[-1].split()[1]
        answers = {"/here": "302 Found\r\nLocation: /there", "/away": "302 Found\r\nLocation: http://example.org/"}
        status = answers.get(path, "200 OK")
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 4\r\n\r\nbody".encode())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        target = Target({"name": "c", "ports": [{"name": "web", "containerPort": port}]}, "127.0.0.1", _gone)
        assert await ask({"httpGet": {"port": "web", "path": "here"}}, target, 5) == Answer(True, "body")
        assert [line.split()[1] for line in seen] == ["/here", "/there"]
        assert "User-Agent: kube-probe/" in seen[0]
        assert f"Host: 127.0.0.1:{port}" in seen[0]
        away = await ask({"httpGet": {"port": port, "path": "/away"}}, target, 5)
        assert away == Answer(True, "Probe terminated redirects, Response body: body", is_warning=True)
        assert await call({"httpGet": {"port": port, "path": "/hook"}}, target) == ""
        assert seen[-1].startswith("GET /hook ")


async def test_a_probe_that_takes_too_long_fails(agent, cluster):
    await cluster.create(POD, probed("one", "sleep 600", readinessProbe=sh("sleep 60") | {"timeoutSeconds": 0.2}))
    assert await said(cluster, "one", "Unhealthy") == [
        'Readiness probe failed: command timed out: "sh -c sleep 60" timed out after 0.2s'
    ]


async def test_probes_go_on_after_a_restart_of_the_service(cluster, catalog, settings, tmp_path):
    (tmp_path / "data").mkdir()
    async with running(cluster, catalog, tmp_path / "data", settings):
        probe = sh(f"echo x >> {tmp_path}/asked; test -e {tmp_path}/up")
        (tmp_path / "up").touch()
        await cluster.create(POD, probed("one", "sleep 600", readinessProbe=probe))
        await ready(cluster, "one")
        before = cluster.pod("one")["status"]
    asked = (tmp_path / "asked").stat().st_size
    async with running(cluster, catalog, tmp_path / "data", settings) as agent:
        await _until(lambda: (tmp_path / "asked").stat().st_size > asked)
        assert cluster.pod("one")["status"] == before  # it did not become unready in between
        (tmp_path / "up").unlink()
        await ready(cluster, "one", "False")
        await cluster.delete(POD, "one", "default", grace_period_s=0)
        await _until(lambda: not agent._workers)  # an agent that stops before leaves the Pod running, as it should


async def test_hooks_are_called_in_their_order(agent, cluster, tmp_path):
    log = tmp_path / "log"
    hooks = {"postStart": sh(f"sleep 0.3; echo post >> {log}"), "preStop": sh(f"sleep 0.3; echo pre >> {log}")}
    script = f'trap "echo term >> {log}; exit 0" TERM; while :; do sleep 0.05; done'
    await cluster.create(POD, probed("one", script, lifecycle=hooks))
    await cluster.phase("one", "Running")
    assert log.read_text() == "post\n"
    await cluster.delete(POD, "one", "default", grace_period_s=20)
    await cluster.until(lambda: cluster.pod("one") is None)
    assert log.read_text() == "post\npre\nterm\n"


async def test_a_failed_post_start_hook_ends_the_container(agent, cluster):
    hooks = {"postStart": sh("echo out of luck; exit 3")}
    await cluster.create(POD, probed("one", "sleep 600", "Never", lifecycle=hooks))
    await cluster.phase("one", "Failed")
    assert await said(cluster, "one", "FailedPostStartHook") == [
        "PostStartHook failed: command exited with 3: out of luck\n"
    ]
    assert await said(cluster, "one", "Killing") == ["Container main failed PostStartHook"]


async def test_a_pre_stop_hook_has_no_more_than_the_grace_period(agent, cluster):
    await cluster.create(POD, probed("one", "sleep 600", lifecycle={"preStop": {"sleep": {"seconds": 600}}}))
    await cluster.phase("one", "Running")
    await cluster.delete(POD, "one", "default", grace_period_s=1)
    await cluster.until(lambda: cluster.pod("one") is None)
    (message,) = await said(cluster, "one", "FailedPreStopHook")
    assert "grace period" in message


async def test_sidecars_start_in_order_and_end_last_one_first(agent, cluster, tmp_path):
    trap = 'trap "sleep 0.1; echo {0} ends >> {1}; exit 0" TERM; {2} echo {0} >> {1}; while :; do sleep 0.05; done'
    pod = pod_of("one", trap.format("main", tmp_path / "log", ""), policy="Always")
    pod["spec"]["initContainers"] = [
        {"name": name, "image": "python", "restartPolicy": "Always", "command": ["sh", "-c", script]}
        | {"startupProbe": QUICK | {"failureThreshold": 1000} | sh(f"grep {name} {tmp_path}/log")}
        for name in ("a", "b")
        for script in [trap.format(name, tmp_path / "log", "sleep 0.2;")]
    ]
    await cluster.create(POD, pod)
    await cluster.phase("one", "Running")
    await _until(lambda: "main" in (tmp_path / "log").read_text())
    await cluster.delete(POD, "one", "default", grace_period_s=20)
    await cluster.until(lambda: cluster.pod("one") is None)
    assert (tmp_path / "log").read_text().split("\n")[:-1] == ["a", "b", "main", "main ends", "b ends", "a ends"]


async def test_a_container_that_ends_is_not_asked_any_more(agent, cluster, tmp_path):
    probe = sh(f"echo x >> {tmp_path}/asked")
    await cluster.create(POD, probed("one", f"until test -e {tmp_path}/asked; do sleep 0.05; done", "Never",
                                     livenessProbe=probe))  # fmt: skip
    pod = await cluster.phase("one", "Succeeded")
    worker = agent.worker_of(pod["metadata"]["uid"])
    assert not worker._care._cared


@asynccontextmanager
async def grpc_server(status):
    """A server that answers every call with a HealthCheckResponse, or, for None, that it knows no such service."""

    async def serve(reader, writer):
        connection = H2Connection(H2Configuration(client_side=False))
        connection.initiate_connection()
        while data := await reader.read(65536):
            for event in connection.receive_data(data):
                if isinstance(event, RequestReceived):
                    asked.append(dict(event.headers)[b":path"])
                if isinstance(event, StreamEnded):
                    connection.send_headers(1, [(":status", "200"), ("content-type", "application/grpc")])
                    if status is not None:
                        connection.send_data(1, b"\0\0\0\0\x02\x08" + bytes([status]))
                    trailers = ("0", "") if status is not None else ("12", "unknown%20service")
                    connection.send_headers(
                        1, [("grpc-status", trailers[0]), ("grpc-message", trailers[1])], end_stream=True
                    )
            writer.write(connection.data_to_send())
        writer.close()
        served.set()

    asked: list[bytes] = []
    served = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], asked
        await served.wait()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (1, (True, "service healthy")),
        (2, (False, 'service unhealthy (responded with "NOT_SERVING")')),
        (
            None,
            (
                False,
                "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): "
                "unknown service",
            ),
        ),
    ],
)
async def test_grpc(status, expected):
    async with grpc_server(status) as (port, asked):
        assert await check("127.0.0.1", port, "svc", 10) == expected
    assert asked == [b"/grpc.health.v1.Health/Check"]


async def _until(holds, timeout_s=20):
    async with asyncio.timeout(timeout_s):
        while not holds():
            await asyncio.sleep(0.01)
