"""The same by MPI."""

from mpi4py import MPI


def main() -> None:
    """Add up the ranks."""
    world = MPI.COMM_WORLD
    assert world.allreduce(world.rank) == world.size * (world.size - 1) / 2


main()
