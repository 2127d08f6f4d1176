"""Claims for those who use them: bound, written, protected while in use, and gone with their data."""

import json
from typing import Any

from tests.service import ServiceProcess, needs_kubectl, wait_for

pytestmark = needs_kubectl

CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""


def pod(name: str, script: str, **volume: Any) -> str:
    mount = [{"name": "v", "mountPath": "/mine"}]
    container = {"name": "main", "image": "python", "command": ["sh", "-c", script], "volumeMounts": mount}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container]}
    spec["volumes"] = [{"name": "v", **volume}]
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def test_a_claim_from_its_first_to_its_last_day(service: ServiceProcess) -> None:
    claimed = {"persistentVolumeClaim": {"claimName": "data"}}
    service.kubectl("create", "-f", "-", stdin=pod("writer", "echo kept > /mine/x; sleep 600", **claimed))
    service.kubectl("create", "-f", "-", stdin=CLAIM)
    service.kubectl("wait", "--for=jsonpath={.status.phase}=Bound", "pvc/data", "--timeout=30s")
    service.kubectl("wait", "--for=condition=Ready", "pod/writer", "--timeout=60s")
    file = service.data / "volumes/default/data/x"
    assert wait_for("the file", file.exists)

    service.kubectl("delete", "pvc", "data", "--wait=false")
    assert "Terminating" in service.kubectl("get", "pvc", "data")
    assert file.exists()
    service.kubectl("delete", "pod", "writer")
    service.kubectl("wait", "--for=delete", "pvc/data", "--timeout=30s")
    wait_for("the directory's end", lambda: not file.parent.exists())
    wait_for("the volume's end", lambda: "pvc-" not in service.kubectl("get", "pv"))

    service.kubectl("create", "-f", "-", stdin=CLAIM)
    service.kubectl("create", "-f", "-", stdin=pod("reader", "ls /mine; echo end", **claimed))
    service.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/reader", "--timeout=60s")
    assert service.kubectl("logs", "reader") == "end\n", "nothing of the claim that had this name before"


def test_an_ephemeral_volume_goes_with_its_pod(service: ServiceProcess) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    made = pod("scratch", "echo x > /mine/x; ls /mine", ephemeral={"volumeClaimTemplate": {"spec": spec}})
    service.kubectl("create", "-f", "-", stdin=made)
    service.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/scratch", "--timeout=60s")
    assert service.kubectl("logs", "scratch") == "x\n"
    service.kubectl("delete", "pod", "scratch")
    service.kubectl("wait", "--for=delete", "pvc/scratch-v", "--timeout=30s")
    wait_for("the directory's end", lambda: not (service.data / "volumes/default/scratch-v").exists())
