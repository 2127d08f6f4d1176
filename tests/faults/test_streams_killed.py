"""A service that is killed while clients are in its Pods: nothing of them is left, and what lasts goes on."""

from collections.abc import Callable
from pathlib import Path

from tests.programs import CODE, IMAGE
from tests.service import ServiceProcess, needs_kubectl, wait_for

pytestmark = needs_kubectl
POD = f"""
apiVersion: v1
kind: Pod
metadata: {{name: p}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: {IMAGE}
    stdin: true
    command: [sh, -c, "while read line; do echo got $line; done"]
"""


def test_commands_end_and_inputs_go_on_when_the_service_is_killed(make_service: Callable[..., ServiceProcess]) -> None:
    service = make_service()
    service.start()
    service.add_image(IMAGE, "python", CODE)
    service.kubectl("apply", "-f", "-", stdin=POD)
    service.kubectl("wait", "pod/p", "--for=condition=Ready", "--timeout=80s")
    script = "setsid sleep 600 & echo $! $$; exec sleep 600"
    with (
        service.kubectl_running("exec", "p", "--", "sh", "-c", script) as (_, output),
        service.kubectl_running("attach", "-i", "p") as (stdin, got),
    ):
        pids = [int(pid) for pid in output.readline().split()]
        stdin.write("one\n")
        assert got.readline() == "got one\n"
        assert len(pids) == 2
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
        service.kill()
        wait_for("their ends", lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    service.start()
    with service.kubectl_running("attach", "-i", "p") as (stdin, got):
        stdin.write("two\n")
        assert got.readline() == "got two\n"
    service.kubectl("delete", "pod", "p")
    wait_for("the Pod's end", lambda: not service.processes())
