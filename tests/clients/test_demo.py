"""``beamhall demo``: a pipeline on real data with real TensorFlow, twice."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest


def _demo(data: Path) -> str:
    command = [sys.executable, "-m", "beamhall", "demo", "--exit", "--data", str(data), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=840, check=False)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def _check_result(said: str) -> None:
    accuracy = re.search(r"evaluate +metrics +Metric +accuracy=(\d\.\d+)", said)
    assert accuracy is not None, said
    assert float(accuracy[1]) > 0.9
    assert "is \\ found" in said, "the confusion matrix is shown"
    model = re.search(r"train +model +Model +(\S+)", said)
    assert model is not None
    assert (Path(model[1]) / "saved_model" / "saved_model.pb").is_file()
    metrics = json.loads((Path(model[1]) / "metrics.json").read_text())
    assert min(metrics["steps_by_worker"].values()) > 100, "every worker trains"
    assert sum(metrics["steps_by_worker"].values()) in (1000, 1001)
    log = (Path(model[1]).parent / "logs" / "main.log").read_text()
    assert all(f"worker-{number} | " in log for number in (0, 1))


@pytest.mark.heavy
@pytest.mark.timeout(1800)
def test_the_demo_trains_and_a_second_run_makes_no_environment(tmp_path: Path) -> None:
    _check_result(_demo(tmp_path / "demo"))
    made = {path.name: path.stat().st_ino for path in (tmp_path / "demo" / "environments").iterdir()}
    _check_result(_demo(tmp_path / "demo"))
    assert {path.name: path.stat().st_ino for path in (tmp_path / "demo" / "environments").iterdir()} == made


def test_the_demo_forgets_nothing_but_a_demo(tmp_path: Path) -> None:
    (tmp_path / "objects.db").write_text("somebody's")
    command = [sys.executable, "-m", "beamhall", "demo", "--exit", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "something else than a demo" in done.stderr
    assert (tmp_path / "objects.db").read_text() == "somebody's"
