"""Digits as a pipeline: prepare the images, train on them across processes by a TFJob, evaluate, publish what came out.

``pipeline.yaml`` beside this file is this file, compiled: ``kfp dsl compile --py pipeline.py --output pipeline.yaml``.
Run it by ``beamhall run pipeline.py -p training_steps=2000``, or by ``kfp.Client``. See README.md for what it needs.
"""

from kfp import dsl

IMAGE = "beamhall/digits"


@dsl.component(base_image=IMAGE)
def prepare(dataset: dsl.Output[dsl.Dataset], held_out: float, seed: int):
    """Take scikit-learn's handwritten digits and hold some out, as many of each digit."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    pixels = pixels.astype(np.float32) / 16
    learn_x, held_x, learn_y, held_y = train_test_split(
        pixels, labels, test_size=held_out, random_state=seed, stratify=labels
    )
    with open(dataset.path, "wb") as file:
        np.savez(file, learn_x=learn_x, learn_y=learn_y, held_x=held_x, held_y=held_y)
    dataset.metadata["images"] = len(labels)
    dataset.metadata["held_out"] = len(held_y)
    print(f"{len(learn_y)} images to learn from, {len(held_y)} held out")


@dsl.component(base_image="python:3.11", packages_to_install=["kubernetes>=30"])
def train(dataset: dsl.Input[dsl.Dataset], model: dsl.Output[dsl.Model], image: str, training_steps: int, workers: int):
    """Train by a TFJob with one parameter server; it goes when this step goes before it has ended."""
    import signal
    import sys

    from kubernetes import client, config, watch

    def replicas(number: int) -> dict:
        command = ["python", "-m", "trainer.task", f"--training_steps={training_steps}"]
        command += [f"--data={dataset.path}", f"--model_dir={model.path}"]
        resources = {"requests": {"cpu": "200m"}}  # a share of a busy machine
        container = {"name": "tensorflow", "image": image, "command": command, "resources": resources}
        return {"replicas": number, "restartPolicy": "OnFailure", "template": {"spec": {"containers": [container]}}}

    config.load_incluster_config()
    with open("/var/run/secrets/kubernetes.io/serviceaccount/namespace") as file:
        namespace = file.read()
    jobs, pods = client.CustomObjectsApi(), client.CoreV1Api()
    where = ("kubeflow.org", "v1", namespace, "tfjobs")
    job = {
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "metadata": {"generateName": "digits-"},
        "spec": {
            "runPolicy": {"cleanPodPolicy": "Running"},
            "tfReplicaSpecs": {"PS": replicas(1), "Worker": replicas(workers)},
        },
    }
    name = jobs.create_namespaced_custom_object(*where, job)["metadata"]["name"]
    print(f"TFJob {name}: 1 parameter server, {workers} workers", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    end = None
    try:
        changes = watch.Watch()
        for change in changes.stream(
            jobs.list_namespaced_custom_object, *where, field_selector=f"metadata.name={name}", timeout_seconds=3600
        ):
            conditions = change["object"].get("status", {}).get("conditions") or []
            end = next((c for c in conditions if c["type"] in ("Succeeded", "Failed") and c["status"] == "True"), None)
            if end:
                changes.stop()
        for pod in pods.list_namespaced_pod(namespace, label_selector=f"training.kubeflow.org/job-name={name}").items:
            try:
                log = pods.read_namespaced_pod_log(pod.metadata.name, namespace)
            except client.ApiException as gone:
                if gone.status != 404:  # a parameter server still runs when the job ends, and goes meanwhile
                    raise
                continue
            for line in log.splitlines():
                print(f"{pod.metadata.name.removeprefix(name + '-')} | {line}", flush=True)
    finally:
        if end is None:
            jobs.delete_namespaced_custom_object(*where, name)
    if end is None or end["type"] == "Failed":
        sys.exit(f"TFJob {name} did not succeed: {end['message'] if end else 'it took more than an hour'}")
    model.metadata["framework"] = "tensorflow"
    model.metadata["job"] = name


@dsl.component(base_image=IMAGE)
def evaluate(
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    confusion: dsl.Output[dsl.ClassificationMetrics],
    report: dsl.Output[dsl.Markdown],
) -> float:
    """Measure the model on the images that it has not seen."""
    import numpy as np
    import tensorflow as tf

    with np.load(dataset.path) as data:
        pixels, labels = data["held_x"], data["held_y"]
    network = tf.keras.models.load_model(f"{model.path}/digits.keras")
    found = np.argmax(network.predict(pixels, batch_size=len(labels), verbose=0), axis=1)
    accuracy = float(np.mean(found == labels))
    matrix = np.zeros((10, 10), dtype=int)
    np.add.at(matrix, (labels, found), 1)
    metrics.log_metric("accuracy", accuracy)
    metrics.log_metric("held_out", len(labels))
    confusion.log_confusion_matrix([str(digit) for digit in range(10)], matrix.tolist())
    with open(report.path, "w") as file:
        file.write(f"# Digits\n\nAccuracy on {len(labels)} images that were held out: **{accuracy:.4f}**\n\n")
        file.write("| is \\ found | " + " | ".join(str(digit) for digit in range(10)) + " |\n" + "|---" * 11 + "|\n")
        for digit, row in enumerate(matrix):
            file.write(f"| **{digit}** | " + " | ".join(str(count) for count in row) + " |\n")
    print(f"held-out accuracy: {accuracy:.4f}")
    return accuracy


@dsl.pipeline(name="digits", description="Trains a network on handwritten digits, across processes.")
def digits(training_steps: int = 1000, workers: int = 2, held_out: float = 0.2, seed: int = 0) -> float:
    """Prepare, train, evaluate."""
    prepared = prepare(held_out=held_out, seed=seed)
    trained = train(dataset=prepared.output, image=IMAGE, training_steps=training_steps, workers=workers)
    trained.set_caching_options(False)
    evaluated = evaluate(dataset=prepared.output, model=trained.output)
    for step in (prepared, trained, evaluated):
        step.set_cpu_request("200m")
    return evaluated.outputs["Output"]
