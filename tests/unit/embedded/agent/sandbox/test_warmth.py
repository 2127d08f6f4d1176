from pathlib import Path

import pytest

from beamhall.embedded.agent.environment import service_variables
from beamhall.embedded.agent.sandbox import WarmStart, warm_command
from beamhall.embedded.agent.sandbox.warmth import WarmProgram, start_environment

BIN = "/e/bin"
WARM = WarmStart(
    Path(BIN, "python"), ("numpy",), {"A": "image", "TF_X": "image", "TF_ONLY_IMAGE": "1", "PYTHONPATH": "/i"}
)
ENV = {"PATH": f"{BIN}:/usr/bin"}


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["python", "x.py"], WarmProgram("script", "x.py", (), False, f"{BIN}/python")),
        (["python3", "x.py", "-u", "b"], WarmProgram("script", "x.py", ("-u", "b"), False, f"{BIN}/python3")),
        ([f"{BIN}/python3", "-u", "/d/x.py"], WarmProgram("script", "/d/x.py", (), True, f"{BIN}/python3")),
        (
            ["python", "-m", "trainer.task", "-m"],
            WarmProgram("module", "trainer.task", ("-m",), False, f"{BIN}/python"),
        ),
        (["python", "-u", "-c", "pass", "a"], WarmProgram("code", "pass", ("a",), True, f"{BIN}/python")),
        (["python"], None),
        (["python", "-"], None),
        (["python", "-u"], None),
        (["python", "-m"], None),
        (["python", "-c", ""], None),
        (["python", "-O", "x.py"], None),
        (["python", "-um", "x"], None),
        (["python", "-i", "x.py"], None),
        (["python", "-X", "dev", "x.py"], None),
        (["python", "--version"], None),
        (["python2", "x.py"], None),
        (["/usr/bin/python", "x.py"], None),
        (["./python", "x.py"], None),
        (["sh", "-c", "python x.py"], None),
        ([], None),
    ],
)
def test_which_command_lines_start_warm(argv, expected):
    assert warm_command(argv, ENV, WARM) == expected


@pytest.mark.parametrize(
    ("env", "unbuffered"),
    [
        ({"PATH": "/usr/bin:/e/bin"}, None),
        ({}, None),
        ({**ENV, "PYTHONINSPECT": "1"}, None),
        ({**ENV, "PYTHONHOME": "/x"}, None),
        ({**ENV, "PYTHONINSPECT": ""}, False),
        ({**ENV, "PYTHONUNBUFFERED": "x"}, True),
        ({**ENV, "PYTHONUNBUFFERED": ""}, False),
        ({**ENV, "PYTHONHASHSEED": "1"}, False),
    ],
)
def test_which_variables_permit_it(env, unbuffered):
    program = warm_command(["python", "x.py"], env, WARM)
    assert (program and program.is_unbuffered) == unbuffered


def test_the_interpreter_starts_with_what_it_reads_only_once():
    env = {
        "A": "pod", "TF_X": "pod", "TF_CONFIG": "{}", "OMP_NUM_THREADS": "2", "PYTHONPATH": "/p", "PYTHONHASHSEED": "1",
        "PYTHONUNBUFFERED": "1", "LANG": "C.UTF-8", "CUDA_VISIBLE_DEVICES": "0", "USER": "me",
    }  # fmt: skip
    assert start_environment(env, WARM) == {
        "A": "image", "TF_X": "pod", "OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "1", "LANG": "C.UTF-8",
    }  # fmt: skip


def test_services_of_any_name_share_an_interpreter():
    ports = [{"port": 80, "name": "web"}, {"port": 53, "protocol": "UDP"}]
    service = {"metadata": {"name": "tf-jax"}, "spec": {"clusterIP": "10.0.0.1", "ports": ports}}
    told = service_variables([service])
    assert "TF_JAX_PORT_80_TCP_ADDR" in told
    assert start_environment(told | {"TF_JAX_LEVEL_PORT": "3"}, WARM) == {"A": "image", "TF_JAX_LEVEL_PORT": "3"}
