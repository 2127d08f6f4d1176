"""Train XGBoost on points of three classes, each rank on its own, and say how good the shared model is on all.

Takes the options of the program in upstream's image of the iris example, as far as they mean something here.
"""

import argparse
import os
import socket
from pathlib import Path

import numpy as np
import xgboost as xgb
from xgboost.tracker import RabitTracker


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--xgboost_parameter", default="objective:multi:softprob,num_class:3")
    parser.add_argument("--n_estimators", type=int, default=10)
    parser.add_argument("--learning_rate", type=float, default=0.3)
    parser.add_argument("--model_path", type=Path)
    return parser.parse_known_args()[0]


def main() -> None:
    given = options()
    parameters = dict(pair.split(":", 1) for pair in given.xgboost_parameter.strip('"').split(","))
    parameters |= {"nthread": 1, "learning_rate": given.learning_rate}
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
        model = xgb.train(parameters, own, num_boost_round=given.n_estimators)
        accuracy = float((model.predict(xgb.DMatrix(inputs)).argmax(axis=1) == targets).mean())
        print(
            f"rank {xgb.collective.get_rank()} of {xgb.collective.get_world_size()}: accuracy {accuracy:.3f}",
            flush=True,
        )
    if given.model_path and rank == 0:
        given.model_path.parent.mkdir(parents=True, exist_ok=True)
        model.save_model(given.model_path.with_suffix(".json"))
    if tracker is not None:
        tracker.wait_for()


main()
