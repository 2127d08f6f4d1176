"""Add up the ranks of JAX processes, each a device of one mesh, over gloo."""

import os

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def main() -> None:
    jax.distributed.initialize(
        coordinator_address=f"{os.environ['COORDINATOR_ADDRESS']}:{os.environ['COORDINATOR_PORT']}",
        num_processes=int(os.environ["NUM_PROCESSES"]),
        process_id=int(os.environ["PROCESS_ID"]),
    )
    mesh = Mesh(np.array(jax.devices()), ("ranks",))
    own = np.array([jax.process_index() + 1.0])
    ranks = jax.make_array_from_process_local_data(NamedSharding(mesh, PartitionSpec("ranks")), own)
    total = jax.jit(lambda x: x.sum(), out_shardings=NamedSharding(mesh, PartitionSpec()))(ranks)
    print(f"process {jax.process_index()} of {jax.process_count()}: sum {float(total):.0f}", flush=True)


main()
