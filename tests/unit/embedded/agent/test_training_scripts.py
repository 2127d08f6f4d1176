"""Which scripts of the training SDKs are read, as the SDKs of today write them, and what comes of them."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from kubeflow.trainer.backends.kubernetes import utils as trainer
from kubeflow.training.utils import utils as training

from beamhall.catalog.installs import Install
from beamhall.embedded.agent.components import recognise
from beamhall.embedded.agent.training_scripts import read_training_script

_REST = '\nread -r -d \'\' SCRIPT << EOM\n\nprint(1)\nEOM\nprintf "%s" "$SCRIPT" > "f.py"\npython "f.py"'
_PYPI = "https://pypi.org/simple"


def _of_trainer(packages: list[str], indexes: list[str]) -> str:
    script: Any = trainer.get_script_for_python_packages(packages, indexes)
    return str(script) + _REST


def _of_training(packages: list[str], index: str) -> str:
    script: Any = training.get_script_for_python_packages(packages, index)
    return str(script) + _REST


@pytest.mark.parametrize(
    ("script", "install"),
    [
        (_of_trainer(["a"], [_PYPI]), Install(("a",))),
        (_of_trainer(["a[x]>=1,<2", "b==1"], [_PYPI]), Install(("a[x]>=1,<2", "b==1"))),
        (_of_trainer(["a"], ["https://lab/s"]), Install(("a",), index_urls=("https://lab/s",))),
        (_of_trainer(["a"], [_PYPI, "https://lab/s"]), Install(("a",), index_urls=(_PYPI, "https://lab/s"))),
        (_of_training(["a", "b==1"], _PYPI), Install(("a", "b==1"))),
        (_of_training(["a"], "https://lab/s"), Install(("a",), index_urls=("https://lab/s",))),
    ],
)
def test_what_is_installed_and_what_is_left(script: str, install: Install, tmp_path: Path) -> None:
    component = recognise(["bash", "-c", script])
    assert component.installs == (install,)
    assert component.argv[:2] == ("bash", "-c")
    assert component.argv[2].strip() == _REST.strip()
    if shutil.which("bash"):
        done = subprocess.run(component.argv, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout == "1\n"


@pytest.mark.parametrize(
    "script",
    [
        _REST,
        _of_trainer(["./local"], [_PYPI]),
        _of_trainer(["a"], ["--evil"]),
        _of_trainer(["a"], [_PYPI]).replace("exit 1", "exit 2"),
        _of_training(["a>=1"], _PYPI),  # unquoted: the shell would redirect
        _of_training(["a; rm x"], _PYPI),
        _of_training(["a"], _PYPI).replace("--quiet", "--target /x"),
        "echo hello\n" + _of_trainer(["a"], [_PYPI]),
    ],
)
def test_what_differs_runs_as_it_is_written(script: str) -> None:
    assert read_training_script(script) is None
    assert recognise(["bash", "-c", script]).argv == ("bash", "-c", script)
