"""Train a line through points with Paddle's DataParallel over gloo, each rank on its own share of them."""

import paddle
import paddle.distributed as dist


def main() -> None:
    dist.init_parallel_env()
    rank, world = dist.get_rank(), dist.get_world_size()
    paddle.seed(rank)
    inputs = paddle.rand([64, 1]) + rank
    targets = 3 * inputs + 1
    model = paddle.DataParallel(paddle.nn.Linear(1, 1))
    optimizer = paddle.optimizer.Adam(0.2, parameters=model.parameters())
    for _ in range(150):
        loss = ((model(inputs) - targets) ** 2).mean()
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
    weight = model.state_dict()["weight"].item()
    total = paddle.to_tensor([float(rank + 1)])
    dist.all_reduce(total)
    print(f"rank {rank} of {world}: weight {weight:.6f} sum {total.item():.0f}", flush=True)


main()
