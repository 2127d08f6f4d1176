"""Train XGBoost on points of three classes, each rank on its own, and say how good the shared model is on all."""

import os
import socket

import numpy as np
import xgboost as xgb
from xgboost.tracker import RabitTracker


def main() -> None:
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    tracker = None
    if rank == 0:
        tracker = RabitTracker(host_ip=socket.gethostbyname(host), n_workers=world, port=port)
        tracker.start()
    address = {"dmlc_tracker_uri": host, "dmlc_tracker_port": port, "dmlc_task_id": str(rank), "dmlc_retry": 20}
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 3, 300)
    inputs = generator.normal(targets[:, None] * 3.0, 1.0, (300, 4))
    with xgb.collective.CommunicatorContext(**address):
        own = xgb.DMatrix(inputs[rank::world], targets[rank::world])
        model = xgb.train({"objective": "multi:softmax", "num_class": 3, "nthread": 1}, own, num_boost_round=10)
        accuracy = float((model.predict(xgb.DMatrix(inputs)) == targets).mean())
        print(
            f"rank {xgb.collective.get_rank()} of {xgb.collective.get_world_size()}: accuracy {accuracy:.3f}",
            flush=True,
        )
    if tracker is not None:
        tracker.wait_for()


main()
