"""Count steps together, in rounds over gloo, until somebody says stop: an elastic job whose workers come and go.

DIRECTORY holds the step that was reached, so that a restarted group goes on there, and the file ``stop``.
"""

import os
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

DIRECTORY = Path(os.environ["DIRECTORY"])


def main() -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=timedelta(seconds=20))
    is_first = dist.get_rank() == 0
    reached = DIRECTORY / "step"
    state = torch.tensor([int(reached.read_text()) if is_first and reached.exists() else 0, 0])
    dist.broadcast(state, 0)
    while not state[1]:
        n_ranks = torch.ones(1)
        dist.all_reduce(n_ranks)
        state[0] += 1
        state[1] = int((DIRECTORY / "stop").exists())
        dist.broadcast(state, 0)
        if is_first:
            reached.with_suffix(".new").write_text(str(int(state[0])))
            reached.with_suffix(".new").rename(reached)
            print(f"step {int(state[0])} of {int(n_ranks.item())} ranks", flush=True)
        time.sleep(0.05)
    dist.destroy_process_group()


main()
