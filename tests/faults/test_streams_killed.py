"""A service that is killed while clients are in its Pods: nothing of them is left, and what lasts goes on."""

import subprocess
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
    kubectl = ["kubectl", "--kubeconfig", str(service.kubeconfig)]
    script = "setsid sleep 600 & echo $! $$; exec sleep 600"
    with (
        subprocess.Popen([*kubectl, "exec", "p", "--", "sh", "-c", script], stdout=subprocess.PIPE, text=True) as run,
        subprocess.Popen(
            [*kubectl, "attach", "-i", "p"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as attached,
    ):
        assert run.stdout is not None
        assert attached.stdin is not None
        assert attached.stdout is not None
        pids = [int(pid) for pid in run.stdout.readline().split()]
        attached.stdin.write("one\n")
        attached.stdin.flush()
        assert attached.stdout.readline() == "got one\n"
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
        service.kill()
        wait_for("their ends", lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    assert run.returncode != 0
    service.start()
    with subprocess.Popen(
        ["kubectl", "--kubeconfig", str(service.kubeconfig), "attach", "-i", "p"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as attached:  # fmt: skip
        assert attached.stdin is not None
        assert attached.stdout is not None
        attached.stdin.write("two\n")
        attached.stdin.flush()
        assert attached.stdout.readline() == "got two\n"
        attached.stdin.close()
    service.kubectl("delete", "pod", "p")
    assert service.processes() == []
