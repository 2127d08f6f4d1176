"""The least that processes can train together: every rank adds its number to all the others', once."""

import torch
import torch.distributed as dist


def main() -> None:
    """Add up the ranks."""
    dist.init_process_group("gloo")
    total = torch.tensor([float(dist.get_rank())])
    dist.all_reduce(total)
    n_ranks = dist.get_world_size()
    assert total.item() == n_ranks * (n_ranks - 1) / 2
    dist.destroy_process_group()


main()
