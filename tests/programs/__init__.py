"""Programs that the tests run in Pods, and the manifests that run them."""

from pathlib import Path
from typing import Any

CODE = Path(__file__).parent

IMAGE = "gcr.io/your-project/your-image"


def tfjob(
    namespace: str, *, workers: int = 3, steps: int = 20, pause_s: float = 0.0, success_policy: str | None = None
) -> dict[str, Any]:
    """Make the TFJob as users have it today: one parameter server and workers, by ``generateName``.

    It succeeds with worker 0. A test that looks at every worker's end asks for ``success_policy="AllWorkers"``.
    """
    command = ["python", "-m", "trainer.task", "--batch_size=32", f"--training_steps={steps}", f"--pause={pause_s}"]

    def replica(replicas: int) -> dict[str, Any]:
        return {
            "replicas": replicas,
            "restartPolicy": "OnFailure",
            "template": {
                "metadata": {"annotations": {"sidecar.istio.io/inject": "false"}},
                "spec": {"containers": [{"name": "tensorflow", "image": IMAGE, "command": command}]},
            },
        }

    policy = {"successPolicy": success_policy} if success_policy else {}
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "metadata": {"generateName": "tfjob", "namespace": namespace},
        "spec": {"tfReplicaSpecs": {"PS": replica(1), "Worker": replica(workers)}} | policy,
    }
