"""GPUs: exclusive, shared, the same ones each time, taken in after a restart."""

import sys
from collections import Counter
from types import SimpleNamespace

import pytest

from beamhall.embedded.agent.devices import Devices, Gpu, allot, find_gpus, gpus_wanted

GPUS = [Gpu(str(i), "X") for i in range(3)]


@pytest.mark.parametrize(
    ("shared_by", "in_use", "wanted", "expected"),
    [
        (1, {}, 0, []),
        (1, {}, 2, ["0", "1"]),
        (1, {"0": 1}, 2, ["1", "2"]),
        (1, {"0": 1}, 3, None),
        (2, {"0": 1}, 3, ["0", "1", "2"]),
        (2, {"0": 2, "1": 1}, 2, ["1", "2"]),
        (2, {"0": 1, "1": 1}, 1, ["2"]),
        (2, {"0": 2, "1": 2, "2": 2}, 1, None),
    ],
)
def test_allot(shared_by, in_use, wanted, expected):
    assert allot(GPUS, shared_by, Counter(in_use), wanted) == expected


def container(n, name="c"):
    return {"name": name, "resources": {"limits": {"nvidia.com/gpu": str(n)}}}


def test_a_container_keeps_its_gpus_and_gives_them_back():
    devices = Devices(GPUS)
    assert devices.give("a", container(2)) == ["0", "1"]
    assert devices.give("a", container(2)) == ["0", "1"]
    assert devices.give("b", container(2)) is None
    assert devices.give("b", {"name": "c"}) == ()
    assert devices.given("b") == {}
    devices.release("a")
    assert devices.give("b", container(2)) == ["0", "1"]


def test_what_was_given_before_a_restart_is_not_given_again():
    devices = Devices(GPUS)
    devices.restore("a", {"c": ["1"]})
    assert devices.give("b", container(2)) == ["0", "2"]
    assert devices.give("a", container(1)) == ["1"]


def test_simulated_gpus():
    assert [gpu.id for gpu in find_gpus(2)] == ["0", "1"]
    assert Devices(find_gpus(2), 3).capacity == 6
    assert find_gpus(0) == []


@pytest.mark.parametrize(
    ("resources", "wanted"),
    [
        ({}, 0),
        ({"limits": {"nvidia.com/gpu": 2}}, 2),
        ({"requests": {"nvidia.com/gpu": "1"}}, 1),
        ({"limits": {"cpu": 1}}, 0),
    ],
)
def test_gpus_wanted(resources, wanted):
    assert gpus_wanted({"name": "c", "resources": resources}) == wanted


class FakeNvml:
    """The calls of NVML that are used, with one GPU, or with a driver that fails at one of them."""

    class NVMLError(Exception):
        pass

    def __init__(self, fails_at=""):
        self.fails_at = fails_at
        self.is_open = False

    def _maybe_fail(self, call):
        if call == self.fails_at:
            raise self.NVMLError(call)

    def nvmlInit(self):
        self._maybe_fail("nvmlInit")
        self.is_open = True

    def nvmlShutdown(self):
        self.is_open = False

    def nvmlDeviceGetCount(self):
        self._maybe_fail("nvmlDeviceGetCount")
        return 1

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetUUID(self, handle):
        return b"GPU-1234"

    def nvmlDeviceGetName(self, handle):
        return "NVIDIA H200"

    def nvmlDeviceGetMemoryInfo(self, handle):
        return SimpleNamespace(total=2**37)


@pytest.mark.parametrize(
    ("fails_at", "expected"),
    [("", [Gpu("GPU-1234", "NVIDIA H200", 2**37)]), ("nvmlInit", []), ("nvmlDeviceGetCount", [])],
)
def test_gpus_are_found_by_nvml_and_none_where_it_fails(monkeypatch, fails_at, expected):
    nvml = FakeNvml(fails_at)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert find_gpus(None) == expected
    assert not nvml.is_open


def test_a_machine_without_the_library_has_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert find_gpus(None) == []
