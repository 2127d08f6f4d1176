"""Train a line through points with TensorFlow's MultiWorkerMirroredStrategy, each worker on its own share of them."""

import json
import os

import tensorflow as tf


def main() -> None:
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    rank = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    inputs = tf.random.stateless_uniform((64, 1), (rank, 0)) + rank
    with strategy.scope():
        line = [tf.Variable(0.0), tf.Variable(0.0)]

    def on_one_replica() -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((line[0] * inputs + line[1] - (3 * inputs + 1)) ** 2)
        gradients = tf.distribute.get_replica_context().all_reduce("mean", tape.gradient(loss, line))
        for variable, gradient in zip(line, gradients, strict=True):
            variable.assign_sub(0.1 * gradient)

    @tf.function
    def steps() -> None:
        for _ in tf.range(200):
            strategy.run(on_one_replica)

    steps()
    weight = line[0].numpy()
    print(f"rank {rank} of {strategy.num_replicas_in_sync}: weight {weight:.6f}", flush=True)


main()
