"""Trains a network on scikit-learn's handwritten digits, across the processes of a TFJob.

The parameter servers keep the variables. Each worker learns from its own share of the data: it fetches the weights,
computes gradients, and applies them on the servers without waiting for the others (between-graph replication,
asynchronous). So a worker may be killed and come back at any time, and a parameter server too, since the lead keeps a
copy of the state. The lead (the chief, or worker 0) evaluates at the end and saves the model.

Run it alone, or in a TFJob, which tells each process by TF_CONFIG who it is::

    python -m trainer.task --batch_size=32 --training_steps=1000
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from trainer.cluster import Task, read_task, share_of

v1 = tf.compat.v1

LAYERS = (64, 128, 64, 10)
MAX_TRAINERS = 256
_POLL_S = 0.2
_SAVE_EVERY_S = 5.0

_GONE = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.NotFoundError,
    tf.errors.UnavailableError,
    tf.errors.UnknownError,
)
"""What TensorFlow raises when a parameter server is lost, or has come back empty."""


@dataclass(frozen=True)
class Graph:
    """The training graph of one process; its variables live on the parameter servers."""

    graph: tf.Graph
    pixels: Any
    labels: Any
    step: Any
    train: Any
    loss: Any
    accuracy: Any
    weights: Sequence[Any]
    steps_by_trainer: Any
    has_joined: Any
    join: Any
    uninitialised: Any
    initialise: Any
    state: Sequence[Any]
    feeds: Sequence[Any]
    restore: Any


def main() -> None:
    """Play this process's part, and end with 0 when the job's steps are done."""
    options = parse_options()
    try:
        task = read_task(os.environ)
    except ValueError as e:
        sys.exit(f"error: {e}")
    tf.get_logger().setLevel("ERROR")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(2)
    if task.type == "evaluator":
        say("evaluator: the lead evaluates; nothing to do")
        return
    say(f"{task.name}: TensorFlow {tf.__version__}, cluster {json.dumps(task.cluster)}")
    server = start_server(task)
    if task.type == "ps":
        say(f"{task.name}: serving variables")
        server.join()
        return
    began = time.monotonic()
    weights, counts = train(task, server, options)
    if task.is_lead:
        finish(task, options, weights, counts, time.monotonic() - began)
    say(f"{task.name}: done")
    # The server of this process has no orderly end in TensorFlow; its threads would be torn down in any order.
    os._exit(0)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--training_steps", type=int, default=1000, help="steps of all workers together")
    parser.add_argument("--learning_rate", type=float, default=0.002)
    parser.add_argument("--log_every", type=int, default=100, help="steps between two lines of progress")
    parser.add_argument(
        "--join_timeout", type=float, default=60.0, help="seconds to wait for other workers at the start"
    )
    parser.add_argument("--step_delay", type=float, default=0.0, help="seconds to wait after each step, to watch it")
    parser.add_argument("--data", type=Path, help="arrays learn_x, learn_y, held_x, held_y; default: made here")
    parser.add_argument("--model_dir", type=Path, default=Path(os.environ.get("MODEL_DIR") or Path.cwd() / "model"))
    return parser.parse_args()


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def start_server(task: Task) -> Any:
    """Start TensorFlow's server of this process."""
    config = v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=2)
    if task.is_alone:
        return v1.train.Server.create_local_server(config=config)
    return v1.train.Server(
        tf.train.ClusterSpec(task.cluster), job_name=task.type, task_index=task.index, protocol="grpc", config=config
    )


def build(task: Task, learning_rate: float) -> Graph:
    """Build the graph: the network's variables, Adam's, and the job's tables go to the parameter servers."""
    graph = tf.Graph()
    setter = None
    if not task.is_alone:
        setter = v1.train.replica_device_setter(
            ps_tasks=len(task.cluster["ps"]), worker_device=f"/job:{task.type}/task:{task.index}"
        )
    with graph.as_default(), v1.device(setter):
        step = v1.train.get_or_create_global_step()
        pixels = v1.placeholder(tf.float32, [None, LAYERS[0]])
        labels = v1.placeholder(tf.int64, [None])
        weights, logits = network(pixels)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
        accuracy = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, 1), labels), tf.float32))
        counts, joined = table("steps_by_trainer"), table("has_joined")
        apply = v1.train.AdamOptimizer(learning_rate).minimize(loss, global_step=step)
        with tf.control_dependencies([apply]):
            counted = counts.assign_add(tf.one_hot(task.slot, MAX_TRAINERS, dtype=tf.int64), read_value=False)
        state = v1.global_variables()
        feeds = [v1.placeholder(variable.dtype.base_dtype, variable.shape) for variable in state]
        return Graph(
            graph=graph,
            pixels=pixels,
            labels=labels,
            step=step,
            train=counted,
            loss=loss,
            accuracy=accuracy,
            weights=weights,
            steps_by_trainer=counts,
            has_joined=joined,
            join=joined.assign_add(tf.one_hot(task.slot, MAX_TRAINERS, dtype=tf.int64), read_value=False),
            uninitialised=v1.report_uninitialized_variables(),
            initialise=v1.global_variables_initializer(),
            state=state,
            feeds=feeds,
            restore=tf.group(*(variable.assign(feed) for variable, feed in zip(state, feeds, strict=True))),
        )


def network(pixels: Any) -> tuple[list[Any], Any]:
    """Build the layers; give their variables (kernel, bias, kernel, …) and the logits."""
    weights = []
    values = pixels
    for number, (n_in, n_out) in enumerate(pairwise(LAYERS)):
        kernel = v1.get_variable(
            f"kernel_{number}", [n_in, n_out], initializer=v1.glorot_uniform_initializer(seed=number), use_resource=True
        )
        bias = v1.get_variable(f"bias_{number}", [n_out], initializer=v1.zeros_initializer(), use_resource=True)
        weights += [kernel, bias]
        values = tf.matmul(values, kernel) + bias
        if n_out != LAYERS[-1]:
            values = tf.nn.relu(values)
    return weights, values


def table(name: str) -> Any:
    """Make a table with a row for each trainer, on a parameter server."""
    return v1.get_variable(
        name, [MAX_TRAINERS], dtype=tf.int64, initializer=v1.zeros_initializer(), trainable=False, use_resource=True
    )


def train(task: Task, server: Any, options: argparse.Namespace) -> tuple[list[np.ndarray], np.ndarray]:
    """Train until the job's steps are done, whatever is lost meanwhile; give the weights and the steps by trainer."""
    pixels, labels, _, _ = digits(options.data)
    share = np.asarray(share_of(len(labels), task))
    say(f"{task.name}: learning from {len(share)} of {len(labels)} images")
    graph = build(task, options.learning_rate)
    while True:
        try:
            with open_session(task, server, graph) as session:
                wait_until_initialised(task, session, graph, state_file(task, options))
                wait_for_others(task, session, graph, options.join_timeout)
                run_steps(task, session, graph, options, batches(pixels[share], labels[share], options.batch_size))
                weights, counts = session.run([list(graph.weights), graph.steps_by_trainer])
                return weights, counts
        except _GONE as e:
            say(f"{task.name}: lost a parameter server ({type(e).__name__}); going on when it is back")
            time.sleep(1)


def open_session(task: Task, server: Any, graph: Graph) -> Any:
    """Connect to the parameter servers, and to nobody else: other workers may come and go."""
    config = v1.ConfigProto(
        intra_op_parallelism_threads=1, inter_op_parallelism_threads=2, operation_timeout_in_ms=30_000
    )
    if not task.is_alone:
        config.device_filters.extend(["/job:ps", f"/job:{task.type}/task:{task.index}"])
    return v1.Session(server.target, graph=graph.graph, config=config)


def wait_until_initialised(task: Task, session: Any, graph: Graph, saved: Path) -> None:
    """Wait until the variables have values. The lead gives them, from its copy of the state if there is one."""
    while len(session.run(graph.uninitialised)) > 0:
        if not task.is_lead:
            time.sleep(_POLL_S)
        elif saved.exists():
            with np.load(saved) as state:
                values = [state[str(i)] for i in range(len(graph.state))]
            session.run(graph.restore, dict(zip(graph.feeds, values, strict=True)))
            say(f"{task.name}: variables restored at step {session.run(graph.step)}")
        else:
            session.run(graph.initialise)
            say(f"{task.name}: variables initialised")


def wait_for_others(task: Task, session: Any, graph: Graph, timeout_s: float) -> None:
    """Wait until every trainer has come once, but not for ever: the job can be done by fewer."""
    session.run(graph.join)
    slots = list(task.slots)
    until = time.monotonic() + timeout_s
    while np.any(session.run(graph.has_joined)[slots] == 0) and session.run(graph.step) == 0:
        if time.monotonic() > until:
            say(f"{task.name}: not all {len(slots)} workers are here after {timeout_s:.0f} s; starting without them")
            return
        time.sleep(_POLL_S)


def run_steps(
    task: Task, session: Any, graph: Graph, options: argparse.Namespace, data: Iterator[tuple[np.ndarray, np.ndarray]]
) -> None:
    """Do steps until all workers together have done enough."""
    step = int(session.run(graph.step))
    said, saved_at = step // options.log_every, time.monotonic()
    while step < options.training_steps:
        pixels, labels = next(data)
        _, loss, accuracy = session.run(
            [graph.train, graph.loss, graph.accuracy], {graph.pixels: pixels, graph.labels: labels}
        )
        step = int(session.run(graph.step))
        if step // options.log_every > said:
            said = step // options.log_every
            shown = min(step, options.training_steps)
            say(f"step {shown}/{options.training_steps} loss {loss:.2f} accuracy {accuracy:.2f} {task.name}")
        if task.is_lead and time.monotonic() - saved_at > _SAVE_EVERY_S:
            save_state(session, graph, state_file(task, options))
            saved_at = time.monotonic()
        if options.step_delay:
            time.sleep(options.step_delay)


def state_file(task: Task, options: argparse.Namespace) -> Path:
    """Name the lead's copy of this run's state, kept for a parameter server that comes back empty."""
    return Path(options.model_dir) / f"state-{task.run}.npz"


def save_state(session: Any, graph: Graph, file: Path) -> None:
    """Keep a copy of all variables, whole or not at all."""
    values = session.run(list(graph.state))
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".new.npz")
    np.savez(draft, **{str(i): value for i, value in enumerate(values)})
    draft.replace(file)


def digits(file: Path | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Load the digits; give pixels (n, 64; 0 to 1) and labels to learn from, then those that are held out."""
    if file is not None:
        with np.load(file) as data:
            return data["learn_x"], data["learn_y"], data["held_x"], data["held_y"]
    pixels, labels = load_digits(return_X_y=True)
    learn_x, held_x, learn_y, held_y = train_test_split(
        pixels.astype(np.float32) / 16, labels, test_size=0.2, random_state=0, stratify=labels
    )
    return learn_x, learn_y, held_x, held_y


def batches(pixels: np.ndarray, labels: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give shuffled batches for ever."""
    generator = np.random.default_rng()
    while True:
        order = generator.permutation(len(labels))
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            yield pixels[rows], labels[rows]


def finish(
    task: Task, options: argparse.Namespace, weights: Sequence[np.ndarray], counts: np.ndarray, duration_s: float
) -> None:
    """Evaluate on images that nobody learned from, save the model, and say what came out."""
    steps = {
        f"{type_}-{index}": int(counts[slot]) for slot, (type_, index) in zip(task.slots, task.trainers, strict=True)
    }
    say("steps by worker: " + ", ".join(f"{name} {n}" for name, n in steps.items()))
    model = tf.keras.Sequential(
        [tf.keras.Input((LAYERS[0],), name="pixels")]
        + [tf.keras.layers.Dense(n, activation="relu") for n in LAYERS[1:-1]]
        + [tf.keras.layers.Dense(LAYERS[-1], activation="softmax", name="digit")]
    )
    model.set_weights(list(weights))
    _, _, pixels, labels = digits(options.data)
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    loss, accuracy = model.evaluate(pixels, labels, batch_size=len(labels), verbose=0)
    directory = Path(options.model_dir)
    directory.mkdir(parents=True, exist_ok=True)
    model.save(directory / "digits.keras")
    model.export(directory / "saved_model", verbose=False)
    metrics = {
        "accuracy": float(accuracy),
        "loss": float(loss),
        "training_steps": int(sum(steps.values())),
        "steps_by_worker": steps,
        "duration_s": round(duration_s, 2),
    }
    draft = directory / ".metrics.json.new"
    draft.write_text(json.dumps(metrics, indent=2) + "\n")
    draft.replace(directory / "metrics.json")
    state_file(task, options).unlink(missing_ok=True)
    say(f"held-out accuracy: {accuracy:.4f}")
    say(f"saved model: {directory / 'saved_model'}")


if __name__ == "__main__":
    main()
