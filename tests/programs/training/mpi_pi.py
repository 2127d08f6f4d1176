"""Compute pi by Monte Carlo with MPI, each rank its share of the points, and add them up."""

import random
import socket

from mpi4py import MPI

N_POINTS = 200_000


def main() -> None:
    world = MPI.COMM_WORLD
    generator = random.Random(world.rank)
    n_inside = sum(generator.random() ** 2 + generator.random() ** 2 < 1 for _ in range(N_POINTS // world.size))
    total = world.reduce(n_inside, op=MPI.SUM, root=0)
    places = world.gather(socket.gethostname(), root=0)
    if world.rank == 0:
        print(f"pi is about {4 * total / N_POINTS:.3f} by {world.size} ranks on {','.join(places)}", flush=True)


main()
