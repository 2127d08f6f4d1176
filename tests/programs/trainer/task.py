"""A stand-in for a distributed TensorFlow program that needs no TensorFlow: the same roles, names and ports.

The parameter server listens on *all* addresses at its TF_CONFIG port, as TensorFlow does, and never ends. Each worker
adds to a sum that the parameter server keeps, once a step, through its name in TF_CONFIG.
"""

import argparse
import json
import os
import socket
import socketserver
import time


class Adder(socketserver.StreamRequestHandler):
    """Keeps the sum: each line that comes in is a number to add, each line that goes out the sum so far."""

    total = 0

    def handle(self) -> None:
        for line in self.rfile:
            Adder.total += int(line)
            self.wfile.write(b"%d\n" % Adder.total)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def serve(port: int) -> None:
    with Server(("0.0.0.0", port), Adder) as server:
        server.serve_forever()


def connect(host: str, port: int) -> socket.socket:
    deadline = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection((host, port), timeout=30)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def work(host: str, port: int, index: int, steps: int, pause_s: float) -> None:
    with connect(host, port) as server, server.makefile("rw") as lines:
        for step in range(1, steps + 1):
            lines.write("1\n")
            lines.flush()
            print(f"worker {index} step {step}/{steps} total {lines.readline().strip()}", flush=True)
            time.sleep(pause_s)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch_size", type=int)
    parser.add_argument("--training_steps", type=int)
    parser.add_argument("--pause", type=float, default=0.0)
    arguments = parser.parse_args()
    config = json.loads(os.environ["TF_CONFIG"])
    task, cluster = config["task"], config["cluster"]
    host, _, port = cluster["ps"][0].rpartition(":")
    print(f"{task['type']} {task['index']} of {json.dumps(cluster)}", flush=True)
    if task["type"] == "ps":
        serve(int(port))
    else:
        work(host, int(port), task["index"], arguments.training_steps, arguments.pause)


main()
