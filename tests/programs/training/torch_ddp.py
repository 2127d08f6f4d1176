"""Train a line through points with PyTorch's DistributedDataParallel over gloo, each rank on its own share of them."""

import os

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel


def main() -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(rank)
    inputs = torch.rand(64, 1) + rank
    targets = 3 * inputs + 1
    model = DistributedDataParallel(torch.nn.Linear(1, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.2)
    for _ in range(150):
        optimizer.zero_grad()
        loss = ((model(inputs) - targets) ** 2).mean()
        loss.backward()
        optimizer.step()
    weight = model.module.weight.item()
    total = torch.tensor([float(rank + 1)])
    dist.all_reduce(total)
    print(f"rank {rank} of {world} on {os.environ['HOSTNAME']}: weight {weight:.6f} sum {total.item():.0f}", flush=True)
    dist.destroy_process_group()


main()
