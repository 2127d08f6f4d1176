"""Send a tensor from rank 0 to each other rank, which adds its own rank to it and sends it back."""

import torch
import torch.distributed as dist


def main() -> None:
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    if rank == 0:
        for other in range(1, world):
            dist.send(torch.full((3,), 10.0), other)
            answer = torch.empty(3)
            dist.recv(answer, other)
            print(f"rank 0 of {world}: rank {other} answered {answer.tolist()}", flush=True)
    else:
        given = torch.empty(3)
        dist.recv(given, 0)
        dist.send(given + rank, 0)
    dist.destroy_process_group()


main()
